"""Suffix automaton: all strings of the tokens read so far, their counts, and what followed them.

A state stands for all strings that end at the same positions. They are suffixes of one another, so
a state needs only the length of its longest; the longest shorter suffix that occurs elsewhere too
is in the state's `link`. n tokens make at most 2 n - 1 states.
"""

from __future__ import annotations

from collections.abc import Iterable

ROOT = 0  # the state of the empty string
DEEPEST = 64


class SuffixAutomaton:
    """Suffix automaton of texts that grow token by token; a token takes amortised constant time.

    Parameters
    ----------
    tokens : iterable of int
        The beginning of the first text.
    deepest : int
        Occurrences are counted of strings of up to so many tokens: in a text of one repeated token
        the number of suffixes to count would grow with the text.

    Attributes
    ----------
    next : list of dict
        For each state the states that one more token leads to.
    link, length, count, latest : list of int
        For each state its link, the length of its longest string, how often its strings occurred,
        and after how many tokens they last did.
    size : int
        Tokens read, of all texts.

    References
    ----------
    Blumer et al., The smallest automaton recognizing the subwords of a text, 1985.
    Hu et al., SAM decoding: speculative decoding via suffix automaton, ACL 2025.

    Examples
    --------
    >>> automaton = SuffixAutomaton([1, 2, 3, 1, 2, 4, 1, 2, 3, 9, 1, 2])
    >>> state, length = automaton.repeated()
    >>> length, automaton.count[state]
    (2, 4)
    >>> automaton.likeliest(state, 2)  # 3 followed in two of three cases, 1 or 9 after that
    [(3, 0.6666666666666666), (9, 0.5)]
    """

    def __init__(self, tokens: Iterable[int] = (), deepest: int = DEEPEST):
        if deepest < 2:
            raise ValueError(f"deepest={deepest}; use 2 or more")
        self.deepest, self.size = deepest, 0
        self.next: list[dict[int, int]] = [{}]
        self.link, self.length, self.count, self.latest = [-1], [0], [0], [0]
        self.start_text()
        for token in tokens:
            self.append(token)

    def start_text(self) -> None:
        """End the text; the next token begins another, and no string spans both."""
        self._end = self._counted = ROOT

    def append(self, token: int) -> None:
        """Read the next token of the text."""
        following, link = self.next, self.link
        state = self._end
        if token in following[state]:  # an earlier text begins like this one
            self._end = self._exactly(state, token)
        else:
            new = self._state(self.length[state] + 1, {}, ROOT, 0, 0)
            while state >= 0 and token not in following[state]:
                following[state][token] = new
                state = link[state]
            if state >= 0:
                link[new] = self._exactly(state, token)
            self._end = new
        # Count the text's suffixes of at most `deepest` tokens: a state, its link, and so on.
        state = following[self._counted][token]
        while self.length[link[state]] >= self.deepest:
            state = link[state]
        self._counted = state
        self.size += 1
        count, latest, size = self.count, self.latest, self.size
        while state:
            count[state] += 1
            latest[state] = size
            state = link[state]

    def repeated(self) -> tuple[int, int]:
        """The state of the longest suffix of the only text that occurred before, and its length.

        Of at most `deepest` tokens; the root and 0 where there is none.
        """
        if self._counted != self._end:
            return self._counted, self.deepest
        state = max(self.link[self._end], ROOT)
        return state, self.length[state]

    def followed(self, state: int, length: int, token: int) -> tuple[int, int]:
        """The longest suffix of another text that occurs here, when that text goes on with `token`.

        Parameters
        ----------
        state, length : int
            That suffix before the token; the root and 0 at the beginning.
        token : int

        Returns
        -------
        state, length : int
        """
        while state and token not in self.next[state]:
            state = self.link[state]
            length = self.length[state]
        after = self.next[state].get(token)
        return (ROOT, 0) if after is None else (after, length + 1)

    def likeliest(self, state: int, most: int) -> list[tuple[int, float]]:
        """What followed a string most often, and what followed that; of equals, the latest.

        Parameters
        ----------
        state : int
            The string's state. Where the counts do not reach, a suffix is used.
        most : int
            The most tokens; at most half of `deepest` are returned.

        Returns
        -------
        list of (int, float)
            Token by token, and in which share of the known cases it followed. A string that was
            only seen at the end of a text goes on like its longest suffix that was seen elsewhere.
        """
        following, link, count, latest = self.next, self.link, self.count, self.latest
        found, most = [], min(most, self.deepest // 2)
        while state and self.length[link[state]] >= self.deepest - most:
            state = link[state]
        while state and len(found) < most:
            children = following[state]
            if not children:
                state = link[state]
                continue
            if len(children) == 1:
                [(token, state)] = children.items()
                found.append((token, 1.0))
                continue
            seen = sum(count[child] for child in children.values())
            token = max(children, key=lambda t: (count[children[t]], latest[children[t]]))
            state = children[token]
            found.append((token, count[state] / seen))
        return found

    def _exactly(self, state: int, token: int) -> int:
        """The state whose longest string is that of `state` with `token` after it."""
        after, length = self.next[state][token], self.length[state] + 1
        if self.length[after] == length:
            return after
        # Longer strings are there too, and from now on end at fewer positions: they are split off.
        shorter = self._state(
            length,
            dict(self.next[after]),
            self.link[after],
            self.count[after],
            self.latest[after],
        )
        self.link[after] = shorter
        while state >= 0 and self.next[state].get(token) == after:
            self.next[state][token] = shorter
            state = self.link[state]
        return shorter

    def _state(
        self, length: int, following: dict[int, int], link: int, count: int, latest: int
    ) -> int:
        self.next.append(following)
        self.link.append(link)
        self.length.append(length)
        self.count.append(count)
        self.latest.append(latest)
        return len(self.link) - 1

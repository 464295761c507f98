"""Members for committees: they answer by a rule and remember what they were asked."""

from ensemble_lab.core.reply import Reply


class Says:
    """A member that gives these texts in turn, the last one again and again.

    An exception among the texts is raised.
    """

    def __init__(self, *texts):
        self.texts, self.prompts = list(texts), []

    def __call__(self, item):
        text = self.texts[min(len(self.prompts), len(self.texts) - 1)]
        self.prompts.append(item)
        if isinstance(text, Exception):
            raise text
        return Reply(text, cost=0.5, tokens=3, latency=1.0, text=text)


def saying(**texts):
    """Members by name, each of which says one text."""
    return {name: Says(text) for name, text in texts.items()}


def follows(letter):
    """A judge that names the same position every time."""
    return Says(letter)


def prefers(*best):
    """A judge that reads the two answers, and names the one that comes first in `best`."""

    def judge(prompt):
        shown = {
            letter: prompt.split(f"[answer {letter} ")[1].split("\n")[1].strip() for letter in "AB"
        }
        rank = {letter: best.index(text) for letter, text in shown.items()}
        return "A" if rank["A"] < rank["B"] else "B" if rank["B"] < rank["A"] else "neither"

    return judge

"""The live experiment with guides: its questions, the number in a reply, and known streams."""

import pytest

import ensemble_lab as lab
from benchmarks.parts import guiding
from ensemble_lab.answers.online.memory import with_guide


@pytest.mark.parametrize(
    "text, number",
    [
        ("8", "8"),
        ("2 x 12 = 24\n\nSo the answer is 2 x 12 = 2", "24"),  # cut off in the second sentence
        ("It has 1,000 of them.", "1000"),
        ("First, we add.\nThat is 7.", "7"),
        ("none", None),
        ("", None),
    ],
)
def test_the_number_of_a_reply(text, number):
    assert guiding.number_in(text) == number


def test_the_questions_are_those_that_are_told():
    facts, sums = guiding.facts(), guiding.sums()
    assert len(facts) == len(sums) == 40 == len({question for question, _ in facts})
    answers = [answer for _, answer in facts]
    assert [answers.count(answer) for answer in dict.fromkeys(answers)] == [4] * 10
    for question, answer in sums:
        first, sign, second = question.removeprefix("What is ").removesuffix("?").split()
        first, second = int(first), int(second)
        assert int(answer) == (first + second if sign == "+" else first * second)


def test_figures_of_a_model_that_copies_its_guide(monkeypatch):
    """Alone it is never right; with a guide it says what the guide says."""
    pairs = guiding.facts()[:8]  # two facts, four questions each
    points = {question: [float(i // 4), 0.0] for i, (question, _) in enumerate(pairs)}
    monkeypatch.setattr(guiding, "vectors_of", lambda some: [points[one] for one in some])

    def copies(item):
        shown = item.splitlines()[2] if "\n" in item else None
        return lab.Reply(shown)

    found = guiding.compared(copies, *zip(*pairs, strict=True), orders=3)
    assert (found["alone"], found["guided"], found["near_has_the_same_answer"]) == (0, 1, 1)
    assert found["gain"]["mean"] == 1 and found["router"] == {"mean": 1, "sd": 0}
    assert found["strong_share"]["mean"] == 0.5  # the first two questions of each fact
    assert found["mixture"]["mean"] == 0.5


def test_a_prompt_is_asked_once():
    class Model:
        pass

    small, asked = guiding.Small(Model(), 4), []
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patched:
        patched.setattr(
            guiding.lab, "decode",
            lambda model, said, max_new_tokens: asked.append(said) or lab.Reply(0, text="It is 5."),
        )  # fmt: skip
        prompt = with_guide("How many?", "How much?", "5")
        assert [small(prompt).answer for _ in range(2)] == ["5", "5"]
    assert len(asked) == 1 and asked[0][0]["content"].startswith(prompt)

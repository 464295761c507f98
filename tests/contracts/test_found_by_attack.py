"""What a fresh attack found, each with its right value."""

import re
from concurrent.futures import ThreadPoolExecutor

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from sklearn.tree import DecisionTreeRegressor

import ensemble_lab as lab
from ensemble_lab.core.identity import identity
from ensemble_lab.core.states import UNPARSED
from ensemble_lab.reports.page import write_page

NAN = np.nan
TOLD = lab.Outcomes(
    models=["steady", "mute"],
    items=range(4),
    correct=np.ones((4, 2)),
    answer=[[0, 0], [0, 0], [1, 1], [1, 1]],
    truth=[0, 0, 1, 1],
    labels=["r", "w"],
)


def test_the_last_stage_needs_no_confidence():
    table = lab.Outcomes(
        models=["small", "big"],
        items=[0, 1, 2],
        correct=[[1, 1], [0, 1], [0, 1]],
        confidence=[[0.9, NAN], [0.4, NAN], [0.3, NAN]],
        cost=[[1, 10]] * 3,
    )
    decision = lab.Cascade(("small", "big"), (0.5,)).decide(table)
    assert decision.accuracy == 1 and decision.mean_cost == pytest.approx((1 + 11 + 11) / 3)
    assert lab.Cascade(("big",), ()).decide(table).accuracy == 1
    grid = lab.frontier(lab.Cascade(("small", "big"), (0.5,)), table, thresholds=[0, 0.5, 1.01])
    assert grid["accuracy"].tolist() == pytest.approx([1 / 3, 1, 1])
    assert lab.BudgetCascade(8.0, max_stages=2).fit(table).decide(table).accuracy == 1
    with pytest.raises(ValueError, match="one stage has no threshold"):
        lab.frontier(lab.Cascade(("big",), ()), table, thresholds=[0.1])


def test_live_counts_texts_of_one_number_as_replay_does(tmp_path):
    said = {"a": "19", "b": "18", "c": "18.0"}
    models = {name: lambda item, word=word: word for name, word in said.items()}
    for how in ({}, {"truth": {"q": "18"}}):
        path = tmp_path / f"{len(how)}.jsonl"
        table = lab.record(models, {"q": "9+9?"}, path, progress=False, **how)
        assert lab.MajorityVote().decide(table).answers == ["18"]
    assert lab.run(lab.MajorityVote(), models, "9+9?").answers == ["18"]


def test_what_a_mask_hides_is_learned_nowhere():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), rng.integers(0, 2, 40)
    hidden = np.ma.array([99, *y[1:]], mask=[1] + [0] * 39)
    for model in (lab.BaggingClassifier(n_estimators=2), lab.AdaBoostClassifier(n_estimators=2)):
        with pytest.raises(ValueError, match="y is missing in row 0"):
            model.fit(X, hidden)
        with pytest.raises(ValueError, match="sample_weight of row 0"):
            lab.AdaBoostClassifier(n_estimators=2).fit(
                X, y, sample_weight=np.ma.array(np.full(40, 1e9), mask=[1] + [0] * 39)
            )
    rows = np.ma.array(X, mask=np.eye(40, 3))
    bag = lab.BaggingRegressor(DecisionTreeRegressor(), 2, random_state=0)
    gaps = np.ma.filled(rows, NAN)
    assert (bag.fit(rows, y).predict(gaps) == bag.fit(gaps, y).predict(gaps)).all()
    length = np.ma.array([1.0, 1000.0], mask=[0, 1])
    table = lab.Outcomes(
        models=["s", "b"], items=[0, 1], correct=[[1, 0], [1, 0]], features={"len": length}
    )
    with pytest.raises(ValueError, match="len"):
        lab.HeuristicSelector("s", "b", "len", 10.0).decide(table)
    graded = np.ma.array([[1], [0]], mask=[[0], [1]])  # whole numbers have no NaN
    table = lab.Outcomes(models=["s"], items=[0, 1], correct=graded)
    assert np.isnan(table.correct[1, 0])


def test_a_model_without_confidence_stays_without():
    known = {"models": ["s", "b"], "items": [0, 1], "correct": [[1, 0], [0, 1]]}
    fitted = lab.Calibration().fit(lab.Outcomes(**known, confidence=[[0.9, 0.2], [0.1, 0.8]]))
    later = fitted.apply(lab.Outcomes(**known, confidence=[[0.9, NAN], [0.5, NAN]]))
    assert np.isnan(later.confidence[:, 1]).all()


def mostly_mute(n=400):
    """A steady model, and one of which nine replies in ten cannot be read."""
    rng = np.random.default_rng(0)
    right = rng.random((n, 2)) < [0.7, 0.8]
    mute = np.c_[np.zeros(n, bool), rng.random(n) < 0.9]
    return lab.Outcomes(
        models=["steady", "mute"],
        items=range(n),
        correct=np.where(mute, 0.0, right),
        answer=np.where(mute, UNPARSED, np.where(right, 0, 1)),
        truth=np.zeros(n, int),
        labels=["r", "w"],
        cost=np.ones((n, 2)),
        confidence=rng.random((n, 2)),
    )


@pytest.mark.parametrize(
    "alone",
    [
        lambda name: lab.MajorityVote((name,)),
        lambda name: lab.WeightedVote((name,), {name: 1.0}),
        lambda name: lab.MeanVote((name,)),
        lambda name: lab.StackedAnswers((name,)).fit(TOLD),
        lambda name: lab.Cascade((name,)),
        lambda name: lab.AgreementCascade(((name,),)),
        lambda name: lab.BudgetCascade(order=(name,), thresholds=()),
    ],
    ids=["majority", "weighted", "mean", "stacked", "cascade", "agreement", "budget"],
)
def test_a_policy_of_one_model_is_as_right_as_the_model(alone):
    table = mostly_mute()
    for name, accuracy in zip(table.models, table.accuracy(), strict=True):
        decision = alone(name).decide(table)
        assert decision.accuracy == pytest.approx(accuracy) and decision.coverage == 1


def test_the_frontier_shows_how_many_items_a_setting_answers():
    table = mostly_mute()
    single = [("steady",), ("mute",)]
    grid = lab.frontier(lab.MajorityVote(), table, members=single, intervals=True)
    assert grid["accuracy"].tolist() == pytest.approx(table.accuracy().tolist())
    assert grid["coverage"].tolist() == [1, 1] and grid["pareto"].tolist() == [True, False]
    # A threshold of abstention answers few items: seen, said, and no reason to drop the others.
    cascade = lab.Cascade(("steady",), (), abstain=(0.0,))
    with pytest.warns(UserWarning, match="1 of 2 settings leave items without an answer"):
        grid = lab.frontier(cascade, table, abstain=[(0.0,), (0.9,)], against="cost")
    assert grid["coverage"].tolist() == pytest.approx([1, (table.confidence[:, 0] >= 0.9).mean()])
    assert grid["pareto"][0]


def test_who_gives_up_abstains_though_a_reply_could_not_be_read():
    table = lab.Outcomes(
        models=["a", "b"],
        items=range(3),
        correct=[[0, 1], [0, 0], [NAN, NAN]],
        answer=[[UNPARSED, 0], [UNPARSED, UNPARSED], [-1, -1]],
        labels=["x"],
        confidence=[[0.9, 0.1], [0.9, 0.1], [NAN, NAN]],
    )
    decision = lab.Cascade(("a", "b"), (0.5,), abstain=(0.0, 0.5)).decide(table)
    assert decision.abstained.tolist() == [True, False, True]
    assert np.isnan(decision.correct[[0, 2]]).all() and decision.correct[1] == 0


@pytest.mark.parametrize("other", ["0.5", "nan", ""])
def test_a_number_beyond_floats_is_refused_beside_any_other(tmp_path, other):
    path = tmp_path / "t.csv"
    path.write_text(f"item,m:correct,m:confidence\n1,1,1e400\n2,1,{other}\n")
    with pytest.raises(ValueError, match="'1e400'"):
        lab.Outcomes.read(path)


def test_odd_beginnings_of_a_table(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("\nitem,m:correct\n1,1\n")
    assert lab.Outcomes.read(path).items.tolist() == [1]
    path.write_text('"item,m:correct\n' + "1,1\n" * 40_000)
    with pytest.raises(ValueError, match="header cannot be read"):
        lab.Outcomes.read(path)


def test_numbers_that_float32_cannot_tell_apart_are_two_questions():
    torch = pytest.importorskip("torch")
    one, other = (torch.tensor([x], dtype=torch.float64) for x in (1.0, 1.0 + 1e-9))
    assert identity(one) != identity(other)


EVIL = "</div><script>location='http://127.0.0.1:9/'</script><div a="


@pytest.mark.parametrize(
    "figure",
    [
        {"data": [], "layout": {"height": f'1px">{EVIL}"'}},
        {"data": [], "layout": {"width": f'1px">{EVIL}"'}},
        {"data": [], "layout": {}, "config": {"x": EVIL}},
        {"data": [], "layout": {}, "config": {EVIL: True}},
        {"data": [], "layout": {"title": {"text": EVIL}}},
        {"data": [{"name": EVIL, "y": [1]}], "layout": {"meta": {"text": EVIL}}},
    ],
)
def test_a_strangers_figure_brings_no_script(tmp_path, figure):
    page = written(tmp_path, {"application/vnd.plotly.v1+json": figure})
    assert not re.search("<script[^>]*>location", page)


def test_a_strangers_diagram_leads_nowhere(tmp_path):
    away = '</pre><meta http-equiv="refresh" content="0;url=http://127.0.0.1:9/">'
    assert "127.0.0.1:9" not in written(tmp_path, {"text/vnd.mermaid": away})


def written(folder, data):
    output = new_output("display_data", data=data)
    path = folder / "n.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("1", outputs=[output])]), path)
    write_page(path)
    return path.with_suffix(".html").read_text()


def test_a_corrected_rule_grades_what_is_recorded(tmp_path):
    def go(grade, items, model=str):
        truth = [item.lower() for item in items]
        how = {"truth": truth, "grade": grade, "progress": False}
        return lab.record({"m": model}, dict(zip(items, items, strict=True)), path, **how)

    path = tmp_path / "r.jsonl"
    strict, near = (lambda said, truth: said == truth), (lambda said, truth: said.lower() == truth)
    assert go(strict, ["Paris", "rome"]).correct.ravel().tolist() == [0, 1]
    size = path.stat().st_size
    assert go(strict, ["Paris", "rome"]).correct.ravel().tolist() == [0, 1]
    assert path.stat().st_size == size  # the same rule has nothing to say
    with pytest.warns(UserWarning, match="1 of its 2 replies have another grade now"):
        assert go(near, ["rome"]).correct.tolist() == [[1]]
    assert lab.Outcomes.read(path).correct.ravel().tolist() == [1, 1]  # one rule for the file
    with pytest.warns(UserWarning, match="2 of its 2 replies"):
        assert np.isnan(go(lambda said, truth: None, ["Paris", "rome"]).correct).all()


def test_no_model_is_asked_what_another_made_of_the_item(tmp_path):
    def first(chat):
        chat[0]["content"] += "!"
        chat.append({"role": "system", "content": "think"})
        return 2

    def second(chat):
        return len(chat) if chat[0]["content"] == "?" else chat[0]["content"]

    models = {"first": first, "second": second}
    chats = [[{"role": "user", "content": "?"}] for _ in range(2)]
    table = lab.record(models, chats, tmp_path / "r.jsonl", progress=False)
    assert table.to_frame("wide")["second:answer"].tolist() == [1, 1]
    for parallel in (True, False):
        vote = lab.WeightedVote(weights={"first": 0.1, "second": 1.0})
        assert lab.run(vote, models, chats[0], parallel=parallel).answers == [1]
    assert len(chats[0]) == 1
    with open(__file__) as file:  # which cannot be copied
        assert lab.run(lab.MajorityVote(), {"m": lambda one: one is file}, file).answers == [True]


def test_a_table_is_written_through_no_link(tmp_path, monkeypatch):
    table = lab.Outcomes(models=["m"], items=[0], correct=[[1]])
    diary, path = tmp_path / "diary.txt", tmp_path / "out.parquet"
    diary.write_text("mine")
    (tmp_path / "out.parquet.part").symlink_to(diary)  # the name that was once written to
    path.symlink_to(diary)
    table.to_parquet(path)
    assert diary.read_text() == "mine" and not path.is_symlink()
    monkeypatch.setattr("ensemble_lab.core.whole.secrets.token_hex", lambda size: "0")
    (tmp_path / ".ensemble-lab-0").symlink_to(diary)  # whoever can guess the name
    with pytest.raises(FileExistsError):
        table.to_parquet(path)
    assert diary.read_text() == "mine" and lab.Outcomes.read(path).correct.tolist() == [[1]]


def test_two_writers_of_one_path_leave_a_whole_file(tmp_path):
    table = lab.Outcomes(models=["m"], items=range(500), correct=np.ones((500, 1)))
    path = tmp_path / "both.parquet"
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: table.to_parquet(path), range(20)))
    assert len(lab.Outcomes.read(path)) == 500 and list(tmp_path.iterdir()) == [path]


def test_a_parse_that_is_no_function_is_refused_before_anything_is_opened():
    tiny = lab.load("tiny", "cpu", "float32")
    for call in (
        lambda: lab.load("somebody/model-of-the-hub", parse=3),
        lambda: lab.load("openai:http://127.0.0.1:9/v1#m", parse=3),
        lambda: type(tiny)(tiny.model, tiny.tokenizer, "tiny", parse=3),
    ):
        with pytest.raises(ValueError, match="parse=3 must be a function of the text"):
            call()


def test_an_empty_text_is_a_prompt_where_the_tokenizer_begins_it():
    tiny = lab.load("tiny", "cpu", "float32")
    begin = list(tiny.tokenizer("")["input_ids"])
    assert begin and lab.decode(tiny, "", max_new_tokens=3).tokens == tuple(
        lab.decode(tiny, begin, max_new_tokens=3).tokens
    )
    with pytest.raises(lab.models.ModelError, match="the prompt is empty"):
        lab.decode(tiny, [], max_new_tokens=3)

"""Building the data on small raw-shaped files: one function a source, and a build that repeats."""

import gzip
import hashlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load

from ensemble_lab.catalogue import load_curves
from ensemble_lab.core.outcomes import Outcomes
from ensemble_lab.core.states import ABSENT, UNPARSED
from ensemble_lab.models import questions
from ensemble_lab.models.sentences import placed
from recipes import build, embedding, measure_questions, sources, traces

ROOT = Path(__file__).parents[2]

N = 20  # items where texts are embedded: a PCA to 16 numbers needs more than 16


def write(raw, file, *lines):
    path = raw / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("\n".join(lines).encode() + b"\n"))


def write_texts(raw, file, header, keys):
    rows = (f"{key},question {i}" for i, key in enumerate(keys))
    write(raw, f"texts_for_features/{file}.csv.gz", header, *rows)


@pytest.fixture(autouse=True)
def quick_encoder(monkeypatch):
    """In place of the sentence encoder, which is not installed with the tests."""

    def encode(texts):
        seeds = [sum(text.encode()) for text in texts]
        vectors = np.stack([np.random.default_rng(seed).normal(size=384) for seed in seeds])
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    monkeypatch.setattr(embedding, "encode", encode)


def raw_gsm8k(raw):
    """Model a: two spellings of 18, 1,000, unparsed, absent, a rounded 500; then sevens."""
    answers = ["18", "18.0", '"$1,000"', "", "", "499.99999999999994", *["7"] * (N - 6)]
    truth = ["18", "18", "1000", "3", "4", "500", *["7"] * (N - 6)]
    grades, chars = list("1110") + [""] + list("1" * (N - 5)), [*"8888", "", *"8" * (N - 5)]
    ids = [f"gsm8k-main-test-#{i}" for i in range(N)]
    rows = list(zip(ids, truth, answers, grades, chars, strict=True))
    folder = "gsm8k_44_llms/"
    answers = (f"{i},{t},{a},{t}" for i, t, a, _, _ in rows)
    write(raw, folder + "answers.csv.gz", "id,reference,a,b", *answers)
    write(raw, folder + "correct.csv.gz", "id,a,b", *(f"{i},{g},1" for i, _, _, g, _ in rows))
    chars = (f"{i},40,{c},10" for i, _, _, _, c in rows)
    write(raw, folder + "output_chars.csv.gz", "id,question_chars,a,b", *chars)
    write_texts(raw, "gsm8k_44_llms", "id,question", ids)
    write(raw, "gsm8k_openai_2021/correct.csv.gz", "item,6b_finetuning", "0,0", "1,1")


def raw_mmlu_pro(raw):
    folder, ids = "mmlu_pro_29_llms/", range(70, 70 + N)
    write(
        raw,
        folder + "predictions.csv.gz",
        "question_id,category,src,n_options,answer,x,y",
        "70,law,s,3,B,B,",  # y: characters but no letter
        "71,law,s,3,A,D,",  # x: beyond the three options; y: nothing recorded
        *(f"{i},art,s,10,J,J,J" for i in ids[2:]),
    )
    chars = ("70,6,9", "71,6,", *(f"{i},6,6" for i in ids[2:]))
    write(raw, folder + "output_chars.csv.gz", "question_id,x,y", *chars)
    write_texts(raw, "mmlu_pro", "question_id,question", ids)


def raw_services(raw):
    prices = ["dataset,api_id,api,cost_usd_per_10k,cost_unit,n_labels"]
    header = "row,true_label,FacePP:pred,FacePP:conf,GitHub(Vader):pred,GitHub(Vader):conf"
    for dataset in ("imdb", "waimai", "shop", "rafdb", "expw", "audiomnist", "fluent"):
        prices.append(f"{dataset.upper()},1,FacePP,2.5,u,2")
        prices.append(f"{dataset.upper()},100,GitHub(Vader),0.001,u,2")
        rows = "0,0,0,0.9000,1,0.1234", "1,1,2,0.0000,1,0.5000"
        write(raw, f"ml_services/{dataset}.csv.gz", header, *rows)
    write(raw, "ml_services/prices.csv.gz", *prices)


def raw_imagenet(raw):
    said = ",".join(f"{net}:pred,{net}:top_prob,{net}:entropy" for net in sources.NETWORKS)
    rows = "0,n1,knife,knife,0.9,1,dog,0.5,1,knife,0.8,1", "90,n2,dog,dog,0.9,1,dog,0.5,1,dog,1,0"
    for distortion in ("colour", "contrast", "lowpass", "rotation"):
        file = f"imagenet_cnns/{distortion}.csv.gz"
        write(raw, file, f"condition,image,category,{said}", *rows)


def raw_routellm(raw):
    header = "subject,row,mixtral_8x7b_correct,gpt4_1106_correct,prompt_chars"
    write(raw, "routellm/mmlu.csv.gz", header, *(f"law,{i},0,1,400" for i in range(N)))
    write_texts(raw, "routellm_mmlu", "subject,row,prompt", (f"law,{i}" for i in range(N)))
    header = "item,mixtral_8x7b_correct,gpt4_1106_correct,prompt_chars,mixtral_8x7b_chars"
    rows = (f"{i},0,1,400,40,80" for i in range(N))
    write(raw, "routellm/gsm8k.csv.gz", header + ",gpt4_1106_chars", *rows)
    write_texts(raw, "routellm_gsm8k", "item,prompt", range(N))
    per_million = {"mistralai/mixtral-8x7b-instruct": (0.6, 0.6), "gpt-4-1106-preview": (10, 30)}
    keys = "input_token_price_per_million", "output_token_price_per_million"
    prices = {name: dict(zip(keys, pair, strict=True)) for name, pair in per_million.items()}
    (raw / "prices").mkdir()
    (raw / "prices/routerarena_cost.json").write_text(json.dumps(prices))


def raw_game(raw):
    """Running sums over two puzzles; that of chain of thought restarts at the second."""
    rows = ["method,puzzle,sample,correct,completion_tokens_so_far,usd_so_far"]
    sums = {"direct": (1, 3), "chain_of_thought": (4, 2), "tree_of_thoughts": (1, 2)}
    for method, dollars in sums.items():
        for puzzle, usd in zip((900, 901), dollars, strict=True):
            rows += [f"{method},{puzzle},{s},{s},{100 * usd},{usd}" for s in (0, 1)]
    write(raw, "game_of_24/samples.csv.gz", *rows)


def raw_drift(raw):
    write(
        raw,
        "gpt_drift/primes.csv.gz",
        "model,id,number,ref_answer,predicted,correct,latency,cost,date,answer_token",
        "openaichat/old,0,7,yes,yes,1,1.5,0.1,20230716,3",
        "openaichat/old,1,9,No,yes,0,1.5,0.1,20230716,3",
        "openaichat/new,0,7,yes,,0,1.5,0.1,20230716,3",
        "openaichat/new,1,9,No,,0,1.5,0.1,20230716,3",
    )


@pytest.fixture
def raw(tmp_path):
    """A folder of raw recordings in small."""
    raw = tmp_path / "raw"
    writers = raw_gsm8k, raw_mmlu_pro, raw_services, raw_imagenet, raw_routellm, raw_game, raw_drift
    for write_source in writers:
        write_source(raw)
    return raw


def test_equal_numbers_share_a_code():
    read = [sources.number(text) for text in ("18", "18.0", "$1,000", "-2.5", "")]
    assert read == [18, 18, 1000, -2.5, None]
    assert sources.number("499.99999999999994") == 500


def test_gsm8k_keeps_absent_unparsed_and_wrong_apart(raw):
    table = sources.gsm8k_44_llms(raw)
    assert table.answer[3, 0] == UNPARSED and table.correct[3, 0] == 0
    assert table.answer[4, 0] == ABSENT and np.isnan(table.correct[4, 0])
    assert table.answer[0, 0] == table.answer[1, 0] == table.truth[0]
    assert table.labels[table.answer[5, 0]] == 500
    assert table.tokens[0].tolist() == [2, 2.5] and np.isnan(table.tokens[4, 0])
    assert table.items.tolist() == list(range(20))
    assert all(type(label) is int for label in table.labels)


def test_mmlu_pro_letters_beyond_the_options_are_wrong(raw):
    table = sources.mmlu_pro_29_llms(raw)
    assert table.correct[0].tolist() == [1, 0] and table.answer[0].tolist() == [1, UNPARSED]
    assert table.correct[1, 0] == 0 and table.answer[1].tolist() == [3, ABSENT]
    assert np.isnan(table.correct[1, 1])
    assert table.features["n_options"][0] == 3
    assert table.features["question_chars"].tolist() == [len(f"question {i}") for i in range(N)]


def test_services_have_readable_names_and_prices_a_call(raw):
    table = sources.services(raw, "imdb")
    assert table.models == ("Face++", "Vader")
    assert table.cost[1].tolist() == [2.5 / 10_000, 0.001 / 10_000]
    assert table.labels == (0, 1, 2)  # 2 is answered though never true
    assert sources.services(raw, "expw").labels[:3] == ("anger", "disgust", "fear")
    assert table.correct.tolist() == [[1, 0], [0, 1]]
    assert table.confidence[0].tolist() == [0.9, 0.1234]


def test_a_service_without_a_price_is_named(raw):
    write(raw, "ml_services/prices.csv.gz", "dataset,api,cost_usd_per_10k", "IMDB,FacePP,2.5")
    with pytest.raises(ValueError, match=r"no price of 'GitHub\(Vader\)' for IMDB"):
        sources.services(raw, "imdb")


def test_estimated_cost_is_length_times_price(raw):
    letter, text = sources.routellm_mmlu(raw), sources.routellm_gsm8k(raw)
    assert letter.cost[0] == pytest.approx([101 * 0.6e-6, 100 * 10e-6 + 30e-6])
    assert text.cost[0] == pytest.approx([110 * 0.6e-6, 100 * 10e-6 + 20 * 30e-6])
    assert letter.cost_is_estimated and text.cost_is_estimated


def test_running_sums_that_restart(raw):
    table = sources.game_of_24(raw)
    assert table.models[:2] == ("gpt-4 direct #0", "gpt-4 direct #1")
    groups = np.array(table.model_group)
    assert table.cost[:, groups == "gpt-4 direct"].tolist() == [[0.5, 0.5], [1, 1]]
    assert table.cost[:, groups == "gpt-4 cot"].tolist() == [[2, 2], [1, 1]]  # 4, then anew 2
    assert table.correct[0].tolist() == [0, 1] * 3


def test_drift_reads_yes_and_no_in_any_case(raw):
    table = sources.gpt_drift_primes(raw)
    old, new = table.columns(["old", "new"])
    assert table.truth.tolist() == [1, 0] and table.answer[:, old].tolist() == [1, 1]
    assert (table.answer[:, new] == UNPARSED).all()


def test_files_that_do_not_line_up_are_refused(raw):
    write_texts(raw, "routellm_gsm8k", "item,prompt", reversed(range(N)))
    with pytest.raises(ValueError, match="GSM8K files do not list the same items"):
        sources.routellm_gsm8k(raw)


def test_embeddings_ignore_outcomes_and_keep_to_int8():
    features = embedding.embedding([f"question {i}" for i in range(40)])
    vectors = np.stack(list(features.values()))
    assert next(iter(features)) == "embedding_00" and vectors.shape == (embedding.DIMENSIONS, 40)
    assert vectors.dtype == np.int8 and np.abs(vectors.astype(int)).max() == 127


def test_a_second_build_writes_the_same_bytes(raw, tmp_path):
    for out in ("one", "two"):
        build.build(raw, tmp_path / out)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert len(files) == 1 + len(build.BUILDERS) + len(sources.QUESTIONS)
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    entry = json.loads((tmp_path / "one" / "catalogue.json").read_text())["imdb-services"]
    table = Outcomes.read(tmp_path / "one" / "outcomes" / "imdb-services.parquet")
    assert entry["items"] == len(table) == 2 and entry["known"] == list(table.known)


def test_the_projection_that_ships_places_a_tables_own_questions(raw, tmp_path):
    found = build.build(raw, tmp_path / "out")
    for name in sources.QUESTIONS:
        content = (tmp_path / "out" / "questions" / f"{name}.safetensors").read_bytes()
        about = found[name]["questions"]
        assert about["sha256"] == hashlib.sha256(content).hexdigest()
        texts = sources.questions(raw, name)["text"].tolist()
        again = placed(embedding.encode(texts), load(content)["projection"])
        table = Outcomes.read(tmp_path / "out" / "outcomes" / f"{name}.parquet")
        assert about["length"] in table.features
        names = questions.embedding_names(about["dimensions"])
        assert np.array_equal(again, np.stack([table.features[name] for name in names], axis=1))


def test_a_build_that_fails_leaves_the_old_tables(raw, tmp_path):
    out = tmp_path / "out"
    build.build(raw, out)
    before = {path: path.read_bytes() for path in out.rglob("*.*")}
    (raw / "gpt_drift/primes.csv.gz").unlink()  # the last source of the build
    write(raw, "gsm8k_openai_2021/correct.csv.gz", "item,6b_finetuning", "0,1")
    with pytest.raises(FileNotFoundError, match=r"primes\.csv\.gz"):
        build.build(raw, out)
    assert {path: path.read_bytes() for path in out.rglob("*.*")} == before


def test_too_large_a_build_is_refused(raw, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "LIMIT", 1000)
    with pytest.raises(ValueError, match="the limit is 1,000"):
        build.build(raw, tmp_path / "out")


def test_the_command_names_a_missing_folder(tmp_path):
    command = [sys.executable, "-m", "recipes.build", "--raw", str(tmp_path / "nowhere")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "no raw folder" in done.stderr and "Traceback" not in done.stderr


def test_the_catalogue_names_what_the_builders_make():
    shipped = json.loads((ROOT / "data/catalogue.json").read_text())
    assert list(shipped) == list(build.BUILDERS)


# -- recorded loads ---------------------------------------------------------------------------


@pytest.fixture
def raw_loads(tmp_path):
    """Two requests a trace, and curves of one row."""
    raw = tmp_path / "raw"
    for file in ("code", "conv"):
        rows = "2023-11-16 18:17:03.5,10,2", "2023-11-16 18:17:04.75,20,3"
        header = "TIMESTAMP,ContextTokens,GeneratedTokens"
        write(raw, f"azure_llm_trace/{file}.csv.gz", header, *rows)
    header = "timestamp_ms,input_tokens,output_tokens,prefix_block_ids"
    write(raw, "mooncake_trace/conversation.csv.gz", header, "0,600,5,0 1", "3000,512,6,0")
    shipped = load_curves().iloc[:1].assign(configuration="vllm+eagle")
    (raw / "vllm_h100_load").mkdir()
    shipped.to_csv(raw / "vllm_h100_load/curves.csv", index=False)
    header = "problem,solution,text_code,correct"
    rows = "0,0,0,1", "0,1,1,0", "0,2,0,1", "1,0,2,0", "1,1,2,0", "1,2,3,0"
    write(raw, "humaneval_codet/solutions.csv.gz", header, *rows)
    header = "problem,test,times_generated,reference_passes,passes"
    write(raw, "humaneval_codet/tests.csv.gz", header, "0,0,2,1,5", "0,1,1,0,2")
    return raw


def test_recorded_loads_are_built_twice_alike(raw_loads, tmp_path):
    for out in ("one", "two"):
        made = traces.build(raw_loads, tmp_path / out)
    assert made.keys() == traces.BUILDERS.keys()
    for path in (tmp_path / "one").rglob("*.*"):
        again = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert path.read_bytes() == again.read_bytes()
    code, mooncake, curves = (
        pd.read_parquet(tmp_path / "one" / file)
        for file in (
            "traces/azure-code.parquet", "traces/mooncake-conversation.parquet",
            "curves/vllm-h100.parquet",
        )
    )  # fmt: skip
    assert code.to_numpy().tolist() == [[0, 10, 2], [1.25, 20, 3]]
    assert [ids.tolist() for ids in mooncake.prefix_blocks] == [[0, 1], [0]]
    assert curves.configuration.tolist() == ["eagle"]


def test_bits_of_solutions_are_packed_with_the_first_one_highest(raw_loads, tmp_path):
    traces.build(raw_loads, tmp_path)
    rows = pd.read_parquet(tmp_path / "solutions/humaneval-codegen-16b.parquet")
    assert rows.problem.tolist() == [0, 1] and list(rows.correct) == [b"\xa0", b"\0"]
    assert [one.tolist() for one in rows.text] == [[0, 1, 0], [2, 2, 3]]
    assert [one.tolist() for one in rows.times] == [[2, 1], []] and rows.true[0] == b"\x80"
    # Solutions 0 and 2 pass the first test and solution 1 the second: 10 01 10.
    assert list(rows.passes) == [b"\x98", b""]
    write(raw_loads, "humaneval_codet/solutions.csv.gz",
          "problem,solution,text_code,correct", "0,0,0,1", "1,1,0,1")  # fmt: skip
    with pytest.raises(ValueError, match="same solutions, each once and in order"):
        traces.build(raw_loads, tmp_path)


def test_a_trace_out_of_order_is_refused_and_nothing_written(raw_loads, tmp_path):
    header = "timestamp_ms,input_tokens,output_tokens,prefix_block_ids"
    write(raw_loads, "mooncake_trace/conversation.csv.gz", header, "5,600,5,0 1", "3,512,6,0")
    with pytest.raises(ValueError, match="not in the order of their arrival"):
        traces.build(raw_loads, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_shipped_entries_are_what_the_recipe_says():
    about = tomllib.loads((ROOT / "data/about_traces.toml").read_text())
    assert about.keys() == traces.BUILDERS.keys()
    for name, (folder, _) in traces.BUILDERS.items():
        entry = json.loads((ROOT / f"data/{folder}/{name}.json").read_text())
        assert entry.keys() - about[name].keys() == {"name", "rows", "bytes", "sha256"}
        assert all(entry[key] == value for key, value in about[name].items())


# -- what the features are worth --------------------------------------------------------------


def test_the_gap_recovered_by_hand():
    correct = np.array([[0, 1], [1, 1], [1, 0], [0, 1.0]])  # gains 1, 0, -1, 1
    best = measure_questions.apgr(np.array([4, 2, 1, 3]), correct)
    worst = measure_questions.apgr(np.array([1, 3, 4, 2]), correct)
    assert best == pytest.approx((0.5 + 1.5 + 2 + 1.5) / 4) and worst == pytest.approx(1 - best)


@pytest.mark.parametrize("router", measure_questions.ROUTERS)
def test_a_router_finds_what_is_there(router):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(800, 3))
    easy = X[:, 0] > 0
    correct = np.column_stack([easy | (rng.random(800) < 0.2), rng.random(800) < 0.9]).astype(float)
    judge = measure_questions.ROUTERS[router]
    assert measure_questions.judged(judge, X, correct, 0) > 0.7
    assert abs(measure_questions.judged(judge, X[rng.permutation(800)], correct, 0) - 0.5) < 0.1


def test_the_readme_has_the_figures_that_were_measured():
    found = json.loads((ROOT / "data/questions/measured.json").read_text())["figures"]
    readme = (ROOT / "data/README.md").read_text()
    assert measure_questions.written(readme, found) == readme
    assert measure_questions.table_of(found) in readme

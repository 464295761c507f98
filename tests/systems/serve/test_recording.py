"""The traffic log: what was served becomes a table, and nothing that serving needs waits for it."""

import errno
import json
import logging
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings

import httpx2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ensemble_lab as lab
from ensemble_lab.core.reply import Reply
from ensemble_lab.systems import TrafficLog, question_hash, read_traffic
from ensemble_lab.systems.serve import recording
from ensemble_lab.systems.serve.app import app
from ensemble_lab.systems.serve.deciding import Served
from ensemble_lab.systems.serve.members import Member
from ensemble_lab.systems.serve.settings import SettingsError, read_settings
from ensemble_lab.systems.serve.upstream import Upstream
from tests.systems.serve.mock import Mock, finish, serving
from tests.systems.serve.test_settings import command

SECRET = "my password is hunter2"


def said_by(name, rank):
    """A model of text or messages: right more often where it is big, and sure where it is right."""

    def model(asked):
        number = int(asked if isinstance(asked, str) else asked[-1]["content"])
        right = (number * 7919) % 10 < rank
        answer = str(number % 4 if right else (number + 1) % 4)
        sure = 0.6 + number % 40 / 100 if right else 0.3 + number % 30 / 100
        return Reply(answer, confidence=sure, cost=2.0 * rank, tokens=rank, text=f"It is {answer}.")

    model.weights = name
    return model


MODELS = {"small": said_by("small", 5), "big": said_by("big", 8)}
TRUTH = {str(number): str(number % 4) for number in range(200)}
CASCADE, VOTE = lab.Cascade(("small", "big"), (0.6,)), lab.MajorityVote()


CLIENT = httpx2.Client(timeout=20)  # a new one for each request takes 50 ms


def post(url, model, text="7", name=None, **more):
    body = {"model": model, "messages": [{"role": "user", "content": text}], **more}
    headers = {} if name is None else {"x-request-id": name}
    return CLIENT.post(f"{url}/v1/chat/completions", json=body, headers=headers)


def asked_all(policy, path, questions, served=None):
    """Serve the policy, ask every question under its own name, and return the replies."""
    members = {name: Member(model, price=(0.0, 2e6)) for name, model in MODELS.items()}
    log = TrafficLog(path)
    with serving(app(served or policy, members, recorder=log)) as url:
        replies = {text: post(url, "ensemble", text, f"q{text}") for text in questions}
    assert log.written == len(questions) and log.lost == 0
    return replies


def by_question(table):
    """The table with questions as items, in order."""
    names = [item.partition("~")[0].removeprefix("q") for item in table.items.tolist()]
    return table.take(np.argsort(np.array(names, int)))


def test_200_items_by_http_are_the_table_that_record_makes(tmp_path):
    recorded = lab.record(
        MODELS, {q: q for q in TRUTH}, tmp_path / "record.jsonl", truth=TRUTH, progress=False
    )
    for policy, whole in ((VOTE, True), (CASCADE, False)):
        path = tmp_path / f"{whole}.jsonl"
        asked_all(policy, path, TRUTH)
        truth = {f"q{question}": answer for question, answer in TRUTH.items()}
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            table = by_question(read_traffic(path, truth=truth).select(models=["small", "big"]))
        called = policy.decide(recorded).called
        assert (called == ~table.absent).all() and called.all() == whole
        for name in ("correct", "confidence", "cost", "tokens"):
            ours, theirs = getattr(table, name), getattr(recorded, name)
            np.testing.assert_array_equal(ours[called], theirs[called], err_msg=name)
            assert np.isnan(ours[~called]).all()
        assert table.labels == recorded.labels
        np.testing.assert_array_equal(table.answer[called], recorded.answer[called])
        np.testing.assert_array_equal(table.truth, recorded.truth)
        assert (table.latency[called] > 0).all()
        # Only a table in which the policy chose whom to ask says so.
        assert [str(one.message)[:3] for one in said] == ([] if whole else ["in "])


def test_a_cascade_fitted_on_the_graded_log_is_served_and_decides_as_in_replay(tmp_path):
    path = tmp_path / "traffic.jsonl"
    asked_all(VOTE, path, list(TRUTH)[:120])
    grades = {question_hash(question): answer for question, answer in TRUTH.items()}
    with pytest.warns(UserWarning, match="80 of 200 in truth name no answered request"):
        table = by_question(read_traffic(path, truth=grades).select(models=["small", "big"]))
    fitted = lab.BudgetCascade(14.0, order=("small", "big")).fit(table)
    rest = list(TRUTH)[120:]
    replies = asked_all(fitted, tmp_path / "second.jsonl", rest)
    recorded = lab.record(MODELS, {q: q for q in rest}, tmp_path / "r.jsonl", progress=False)
    replay = fitted.decide(recorded)
    assert 0 < replay.called[:, 1].sum() < len(rest)
    for row, reply in enumerate(replies.values()):
        called = reply.headers["x-ensemble-called"].split(",")
        assert [name in called for name in MODELS] == replay.called[row].tolist()
        assert reply.json()["choices"][0]["message"]["content"] == f"It is {replay.answers[row]}."


def test_grades_of_the_answer_given_are_those_of_all_who_gave_it(tmp_path):
    path = tmp_path / "traffic.jsonl"
    asked_all(VOTE, path, ["1", "3", "10"])
    table = by_question(read_traffic(path, correct={"q1": 1, "q3": 0.25}))
    same = table.answer[:, 0] == table.answer[:, 1]
    for row, grade in enumerate((1, 0.25, np.nan)):
        expected = [grade, grade if same[row] else np.nan]
        np.testing.assert_array_equal(table.correct[row], expected)
    assert same.any() and not same.all()
    file = tmp_path / "grades.csv"
    file.write_text("\ufeffrequest,correct\nq1,1\nq3,0.25\n", "utf-8")
    again = by_question(read_traffic(path, correct=file))
    np.testing.assert_array_equal(again.correct, table.correct)


def test_features_and_groups_are_recorded_and_a_stored_answer_is_none_of_a_model(tmp_path):
    def features(questions):
        return {"number": [float(q) if q.isdigit() else 0.0 for q in questions]}

    questions = {q: q for q in ("4", "9")}
    recorded = lab.record(
        MODELS,
        questions,
        tmp_path / "r.jsonl",
        truth={q: TRUTH[q] for q in questions},
        features=features(questions),
        progress=False,
    )
    of = lab.LengthRouter(feature="number")
    router = lab.CachedRouter(radius=0.0, of=of)
    path, members = tmp_path / "t.jsonl", {name: Member(one) for name, one in MODELS.items()}
    policy = Served(router.fit(recorded), features)
    with serving(app(policy, members, recorder=TrafficLog(path))) as url:
        for number in ("4", "5", "199"):
            post(url, "ensemble", number, metadata={"group": f"g{number}"})
    with pytest.warns(UserWarning, match="in 2 of 2 requests the policy chose"):
        table = read_traffic(path)
    assert table.features["number"].tolist() == [5, 199] and table.group.tolist() == ["g5", "g199"]
    facts = [json.loads(line) for line in path.read_text().splitlines() if '"rule"' in line]
    assert facts[0]["features"] == {"number": 4.0} and "chosen" not in facts[0]
    assert "stored" in facts[0]["rule"] and facts[0]["answer"] == "1"


# What a request may bring, and what must not be written


def fault(body):
    """An upstream that answers, breaks or streams, as the model's name says."""
    if body["model"] == "broken":
        return {"status": 500, "raw": json.dumps({"error": {"message": SECRET}}).encode()}
    if body["model"] == "cut":
        return {"text": "4", "chunks": ["It ", "is"]}
    usage = {"usage": {"prompt_tokens": 3, "completion_tokens": 2}}
    return {"text": "It is 4.", "chunks": ["It ", "is 4.", finish(body["model"], **usage)]}


@pytest.fixture
def gateway(tmp_path):
    """A gateway with a log, in front of upstreams with faults: its address, its log."""
    with serving(Mock(fault)) as address:
        members = {
            name: Member(Upstream(name, f"{address}/v1"), parse="last number", price=(1.0, 1.0))
            for name in ("good", "broken", "cut")
        }
        log = TrafficLog(tmp_path / "traffic.jsonl")
        policies = {"vote": lab.MajorityVote(members=("good", "broken"))}
        with serving(app(policies, members, recorder=log)) as url:
            yield url, log


def lines(log):
    log.flush()
    head, *rest = map(json.loads, log.path.read_text("utf-8").splitlines())
    assert head == {"ensemble_lab": "recording", "version": 1}
    return rest


def test_every_way_a_request_can_end_is_recorded_once_and_without_the_prompt(gateway):
    url, log = gateway
    for model, status, replied, failed in (
        ("good", 200, ["good"], []),
        ("vote", 200, ["good"], ["broken"]),
        ("broken", 502, [], []),
        ("no such", 404, [], []),
    ):
        for stream in (False, True):
            post(url, model, SECRET, stream=stream)
            item = [line for line in lines(log) if "status" in line][-1]
            mine = [line for line in lines(log) if line["item"] == item["item"]]
            # The breaker opens after a while: then it is 503.
            assert item["status"] in (status, status + (model == "broken")), (model, item)
            assert [line["model"] for line in mine if "model" in line] == replied
            assert [line["by"] for line in mine if "by" in line] == failed
            for line in mine:
                assert line.get("answer", "4") == "4"
    post(url, "cut", SECRET, stream=True)
    assert lines(log)[-1] == {"item": lines(log)[-1]["item"], "failed": "stream", "by": "cut"}
    post(url, "vote", SECRET, n=2)
    assert lines(log)[-1]["status"] == 400
    httpx2.post(f"{url}/v1/chat/completions", content=SECRET.encode())
    assert lines(log)[-1] | {"item": 0, "time": 0, "seconds": 0} == {
        "item": 0, "time": 0, "seconds": 0, "policy": "", "status": 400, "error": "invalid_json",
    }  # fmt: skip
    written = log.path.read_text("utf-8")
    assert "hunter2" not in written and "It is" not in written
    assert question_hash(SECRET) in written
    assert sum("status" in line for line in lines(log)) == 11 == log.written


def test_a_stream_and_a_whole_completion_give_the_same_line(gateway):
    url, log = gateway
    post(url, "good")
    post(url, "good", stream=True)
    whole, streamed = [line for line in lines(log) if "model" in line]
    for line in (whole, streamed):
        assert line.pop("latency") > 0 and line.pop("item")
        assert line.pop("cost") > 0 and line.pop("tokens") > 0
    assert whole == streamed == {"model": "good", "answer": "4"}


def test_a_client_that_leaves_in_mid_stream_has_no_reply(tmp_path):
    says = {"chunks": ["a"] * 100, "gap": 0.05}
    with serving(Mock(lambda body: says)) as address:
        log = TrafficLog(tmp_path / "traffic.jsonl")
        member = {"good": Member(Upstream("good", f"{address}/v1"), parse="exact")}
        with serving(app({}, member, recorder=log)) as url:
            for stream in (True, False):
                body = {"model": "good", "messages": [{"role": "user", "content": "?"}]}
                data = json.dumps(body | {"stream": stream}).encode()
                says["wait"] = 0 if stream else 9
                host, port = url.removeprefix("http://").split(":")
                with socket.create_connection((host, int(port))) as peer:
                    head = f"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: {len(data)}"
                    peer.sendall(f"{head}\r\nHost: x\r\n\r\n".encode() + data)
                    time.sleep(0.3)
                end = time.monotonic() + 5
                while log.written < 2 - stream and time.monotonic() < end:
                    time.sleep(0.02)
            assert [line["status"] for line in lines(log)] == [499, 499]
            with pytest.raises(ValueError, match="no reply yet"):
                read_traffic(log.path)


def test_prompts_and_texts_are_written_when_asked_for(tmp_path):
    log = TrafficLog(tmp_path / "t.jsonl", prompts=True)
    members = {name: Member(model) for name, model in MODELS.items()}
    with serving(app(VOTE, members, recorder=log)) as url:
        post(url, "ensemble", "11")
    facts, *replies = lines(log)
    assert facts["messages"] == [{"role": "user", "content": "11"}]
    assert {line["model"]: line["text"][:5] for line in replies} == dict.fromkeys(MODELS, "It is")
    assert read_traffic(log.path).answer.shape == (1, 2)


def test_a_key_makes_another_hash_and_grades_are_found_by_it(tmp_path):
    log = TrafficLog(tmp_path / "t.jsonl", key="k1")
    members = {name: Member(model) for name, model in MODELS.items()}
    with serving(app(VOTE, members, recorder=log)) as url:
        post(url, "ensemble", "11")
    assert question_hash("11") not in log.path.read_text()
    assert question_hash("11", "k1") != question_hash("11", "k2")
    table = read_traffic(log.path, truth={question_hash("11", "k1"): "3"})
    assert np.isfinite(table.correct).all()


def test_without_the_gateways_key_nothing_is_recorded(tmp_path, monkeypatch):
    monkeypatch.setenv("ENSEMBLE_LAB_KEY", "sesame-42")
    log = TrafficLog(tmp_path / "t.jsonl")
    members = {name: Member(model) for name, model in MODELS.items()}
    with serving(app(VOTE, members, recorder=log)) as url:
        assert post(url, "ensemble").status_code == 401
        log.flush()
        assert log.written == 0
    assert "sesame" not in log.path.read_text()


def test_the_log_can_be_completed_by_record(tmp_path):
    path = tmp_path / "t.jsonl"
    members = {name: Member(model) for name, model in MODELS.items()}
    with serving(app(CASCADE, members, recorder=TrafficLog(path))) as url:
        for number in ("0", "1", "2", "3"):
            post(url, "ensemble", number)
    with warnings.catch_warnings(record=True):
        items = read_traffic(path).items.tolist()
    # The hash of the question is the one that `record` checks.
    questions = dict(zip(items, "0123", strict=True))
    whole = lab.record(MODELS, questions, path, progress=False)
    assert not whole.absent.any() and not read_traffic(path).absent.any()
    with pytest.raises(ValueError, match="another question"):
        lab.record(MODELS, dict(zip(items, "4567", strict=True)), path, progress=False)


# The file


def request(number, **more):
    line = {"answer": str(number), "confidence": 0.5, "tokens": number}
    about = {"request": f"r{number}", "ours": True, "policy": "p", "status": 200}
    return about | {"question": f"q{number}", "replies": {"m": line}} | more


def test_a_log_cut_at_any_byte_is_read_and_continued(tmp_path):
    path = tmp_path / "t.jsonl"
    log = TrafficLog(path)
    for number in range(3):
        log.write(request(number, group="ü€😀"))
    log.close()
    whole = path.read_bytes()
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        complete = whole[:cut].rfind(b"\n") + 1
        # A line that lacks only its newline is complete.
        ends_well = whole[cut : cut + 1] == b"\n" or complete == cut
        again = TrafficLog(path)
        again.write(request(9))
        again.close()
        assert again.cut == (not ends_well) and again.written == 1
        found = path.read_bytes()
        assert found.startswith(whole[: cut if ends_well else complete])
        assert len([line for line in map(json.loads, found.splitlines()) if "model" in line]) == (
            whole[: cut + ends_well].count(b'"tokens"') if ends_well else
            whole[:complete].count(b'"tokens"')
        ) + 1  # fmt: skip
        assert read_traffic(path).answer.shape[1] == 1


def test_the_log_is_read_while_it_is_written(tmp_path):
    path, sizes = tmp_path / "t.jsonl", []
    log = TrafficLog(path)
    done = threading.Event()

    def read():
        while not done.is_set():
            try:
                sizes.append(len(read_traffic(path)))
            except ValueError as error:
                assert "no reply yet" in str(error)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(300):
        log.write(request(number))
        time.sleep(0.001)
    log.close()
    done.set()
    reader.join()
    assert sizes == sorted(sizes) and len(set(sizes)) > 2 and len(read_traffic(path)) == 300


class Full:
    """A file on a disk that has room for a few bytes, and then for none."""

    def __init__(self, file):
        self.file, self.room = file, 20

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, data):
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self.file.write(data[: self.room])
        self.room -= written
        return written


def test_a_full_disk_is_said_once_and_half_a_line_is_taken_back(tmp_path, caplog):
    log = TrafficLog(tmp_path / "t.jsonl")
    log.write(request(0))
    log.flush()
    log._file = Full(log._file)
    with caplog.at_level(logging.ERROR, "ensemble_lab.serve"):
        for number in range(1, 4):
            log.write(request(number))
        log.flush()
    assert (log.written, log.lost) == (1, 3) and len(caplog.records) == 1
    assert "No space left on device" in caplog.text and "serving goes on" in caplog.text
    log._file = log._file.file
    log.write(request(4))  # there is room again
    log.close()
    assert read_traffic(log.path).items.tolist() == ["r0", "r4"]


class Slow:
    """A file on a disk that does not answer until `go`; `here` says that it was asked."""

    def __init__(self, file):
        self.file, self.here, self.go = file, threading.Event(), threading.Event()

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, data):
        self.here.set()
        assert self.go.wait(10)
        return self.file.write(data)


def test_a_disk_that_hangs_blocks_nobody(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(recording, "MOST_WAITING", 5)
    log = TrafficLog(tmp_path / "t.jsonl")
    slow = log._file = Slow(log._file)
    log.write(request(0))
    assert slow.here.wait(10)
    start = time.perf_counter()
    with caplog.at_level(logging.ERROR, "ensemble_lab.serve"):
        for number in range(1, 101):
            log.write(request(number))
    assert time.perf_counter() - start < 1 and log.lost == 95 and len(caplog.records) == 1
    slow.go.set()
    log.close()
    assert (log.written, log.lost) == (6, 95)
    log.write(request(7))  # after the end
    log.close()
    assert (log.written, log.lost) == (6, 96) and len(read_traffic(log.path)) == 6


def test_a_killed_process_loses_only_its_last_tenth_of_a_second(tmp_path):
    program = """
import os, signal, sys, time
from ensemble_lab.systems import TrafficLog
log = TrafficLog(sys.argv[1])
for number in range(40):
    log.write({"request": f"r{number}", "ours": True, "policy": "p", "status": 200,
               "replies": {"m": {"answer": "1"}}})
    time.sleep(0.01)
time.sleep(0.5)
log.write({"request": "last", "ours": True, "policy": "p", "status": 200})
os.kill(os.getpid(), signal.SIGKILL)
"""
    path = tmp_path / "t.jsonl"
    killed = subprocess.run([sys.executable, "-c", program, path])
    assert killed.returncode == -signal.SIGKILL
    assert read_traffic(path).items.tolist() == [f"r{number}" for number in range(40)]


def test_requests_of_many_threads_are_each_written_once(tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "INTERVAL", 0.001)
    log = TrafficLog(tmp_path / "t.jsonl")
    threads = [
        threading.Thread(target=lambda k=k: [log.write(request(100 * k + i)) for i in range(100)])
        for k in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert (log.written, log.lost) == (800, 0)
    assert sorted(read_traffic(log.path).items) == sorted(f"r{i}" for i in range(800))


def test_a_file_that_is_moved_away_is_followed_by_a_new_one(tmp_path):
    path, old = tmp_path / "t.jsonl", tmp_path / "old.jsonl"
    log = TrafficLog(path)
    log.write(request(0))
    log.flush()
    path.rename(old)
    log.write(request(1))
    log.flush()
    path.unlink()
    log.write(request(2))
    log.close()
    assert log.written == 3
    assert read_traffic([old, path]).items.tolist() == ["r0", "r2"]
    with pytest.raises(ValueError, match="'r0' is in two files"):
        read_traffic([old, old])


def test_one_writer_a_file_and_no_file_of_others(tmp_path):
    log = TrafficLog(tmp_path / "t.jsonl")
    with pytest.raises(BlockingIOError, match="another gateway or by record"):
        TrafficLog(tmp_path / "t.jsonl")
    with pytest.raises(BlockingIOError):
        lab.record(MODELS, {"1": "1"}, tmp_path / "t.jsonl", progress=False)
    log.close()
    TrafficLog(tmp_path / "t.jsonl").close()
    other = tmp_path / "other.jsonl"
    other.write_text("mine\n")
    with pytest.raises(ValueError, match="not a recording that can be continued"):
        TrafficLog(other)
    assert other.read_text() == "mine\n"
    assert (tmp_path / "t.jsonl").stat().st_mode & 0o077 == 0


def test_a_client_may_send_one_id_twice(tmp_path):
    log = TrafficLog(tmp_path / "t.jsonl")
    for _ in range(3):
        log.write(request(1, ours=False))
    log.close()
    table = read_traffic(log.path, truth={"r1": "1"})
    assert len(set(table.items.tolist())) == 3 and (table.correct == 1).all()


@pytest.mark.parametrize(
    "odd",
    [
        {"group": "half \ud83d"},
        {"question": "half \ud83d", "messages": [{"content": "\ud83d"}]},
        {"request": "\u2028\x85id"},
        {"replies": {"m": {"answer": "\ud83d 4", "text": "\ud83d"}}},
        {"replies": {"m": {"answer": "1", "confidence": float("nan"), "tokens": np.int64(3)}}},
        {"replies": {"m": {"answer": np.float32(2.5)}}},
        {"replies": {"m": {"answer": "line\nbreak\u2028\x1b[31m"}}},
        {"replies": {"m": {"answer": "1"}, "b": {"answer": ["no", "label"]}}},
        {"replies": {"m": {"answer": "1"}, "b": {"answer": "1", "cost": float("inf")}}},
        {"replies": {"m": {"answer": "1"}, "b": lambda: 1 / 0}},
        {"features": {"x": np.float64("nan"), "y": "text"}},
    ],
)
@pytest.mark.parametrize("prompts", [False, True])
def test_odd_values_are_written_and_read(tmp_path, odd, prompts):
    log = TrafficLog(tmp_path / "t.jsonl", prompts=prompts)
    log.write(request(1, **odd))
    log.write(request(2))
    log.close()
    assert (log.written, log.lost) == (2, 0)
    table = read_traffic(log.path)
    assert len(table) == 2 and table.models == ("m",)
    assert len(log.path.read_text("utf-8").splitlines()) == 5 + ("b" in odd.get("replies", {}))


def test_what_cannot_be_written_is_counted_and_its_prompt_is_not_said(tmp_path, caplog):
    log = TrafficLog(tmp_path / "t.jsonl")
    log.write(request(1, group=object(), question=SECRET))
    log.close()
    assert log.lost == 1 and "TypeError" in caplog.text and "hunter2" not in caplog.text


MEMBERS = st.sampled_from(["a", "b", "c"])
REPLY = st.fixed_dictionaries(
    {},
    optional={
        "answer": st.sampled_from(["1", "2", "x"]),
        "confidence": st.floats(0, 1),
        "cost": st.floats(0, 9),
        "latency": st.floats(0, 9),
        "tokens": st.integers(0, 99),
    },
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(MEMBERS, REPLY | st.none()), max_size=8))
def test_a_table_holds_what_was_written(tmp_path_factory, served):
    path = tmp_path_factory.mktemp("log") / "t.jsonl"
    log = TrafficLog(path)
    for number, said in enumerate(served):
        replies = {name: line for name, line in said.items() if line is not None}
        failed = {name: "timeout" for name, line in said.items() if line is None}
        log.write(request(number, replies=replies, failed=failed))
    log.close()
    assert log.written == len(served)
    rows = [i for i, said in enumerate(served) if any(v is not None for v in said.values())]
    if not rows:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = read_traffic(path)
    assert table.items.tolist() == [f"r{i}" for i in rows]
    for row, number in enumerate(rows):
        for column, name in enumerate(table.models):
            line = served[number].get(name)
            code = table.answer[row, column]
            if line is None:
                assert code == -1
                continue
            assert (table.labels[code] if code >= 0 else None) == line.get("answer")
            for measure in ("confidence", "cost", "tokens"):
                values = getattr(table, measure)
                got = np.nan if values is None else values[row, column]
                np.testing.assert_equal(got, line.get(measure, np.nan))


def test_recording_a_request_is_quick(tmp_path):
    log = TrafficLog(tmp_path / "t.jsonl")
    took = []
    for number in range(500):
        start = time.perf_counter()
        log.write(request(number))
        took.append(time.perf_counter() - start)
    log.close()
    assert np.median(took) < 1e-4 and log.lost == 0


SETTINGS = """
[models.good]
url = "{url}/v1"
model = "good"
parse = "last number"
[record]
path = "traffic.jsonl"
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('path = "traffic.jsonl"', "", "path is None; give a file such as"),
        ("traffic.jsonl", "traffic.log", "'traffic.log'; give a file such as"),
        ("path =", "paht =", "no setting 'paht'; did you mean 'path'"),
        ('.jsonl"', '.jsonl"\nprompts = "no"', "prompts is 'no'; give true or false"),
        ('.jsonl"', '.jsonl"\nkey_env = "NO_SUCH"', "'NO_SUCH', which is not set"),
        ('.jsonl"', '.jsonl"\nkey_env = 3', "key_env names 3"),
        ('[record]\npath = "traffic.jsonl"', "[[record]]\nx = 1", "write a table with path"),
    ],
)
def test_settings_of_a_record_that_are_wrong_are_named(tmp_path, old, new, said):
    file, text = tmp_path / "gateway.toml", SETTINGS.replace("{url}", "http://127.0.0.1:9")
    assert old in text
    file.write_text(text.replace(old, new))
    with pytest.raises(SettingsError) as error:
        read_settings(file)
    assert str(error.value).startswith("[record]: ") and said in str(error.value)


@pytest.mark.timeout(60)
def test_the_command_records_and_its_end_loses_nothing(tmp_path):
    with serving(Mock(fault)) as url:
        (tmp_path / "gateway.toml").write_text(SETTINGS.replace("{url}", url))
        process = subprocess.Popen(
            command(tmp_path / "gateway.toml", "--port", 0),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            address = process.stdout.readline().split()[-1].removesuffix("/v1")
            for _ in range(20):
                assert post(address, "good").status_code == 200
            other = subprocess.run(
                command(tmp_path / "gateway.toml", "--port", 0), capture_output=True, text=True
            )
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)
    assert other.returncode and "is written by another gateway" in other.stderr
    assert len(read_traffic(tmp_path / "traffic.jsonl")) == 20

"""One model over several processes: what a cut costs, what a link imitates, what a kill costs.

Run with ``python -m benchmarks links --json benchmarks/results/links.json``.
"""

import threading
import time
from statistics import median

import ensemble_lab as lab
from benchmarks.parts.compare import record
from ensemble_lab.systems.splitting.ends import embed, head
from ensemble_lab.systems.splitting.layers import Cache, Layers
from ensemble_lab.systems.splitting.link import Line, wait_until
from ensemble_lab.systems.splitting.wire import HEADER, STEP, Header, unpack

PROMPT = "Write a story about the sea."
LONG = "The sea was calm, and the old man told the boy about the fish that he had seen. "
THREADS, ROUNDS = 1, 11


def split_overhead(quick):
    """A token of two stages, cut in the middle, beside the same layers in one process.

    The pairs alternate; both choose the same tokens.

    With as many threads as cores, threads of the client that wait actively for the next operation
    would take the cores from the first stage: a split cost 18 to 20 % so. It ends them when it
    waits (`ensemble_lab.systems.splitting.waiting`).
    """
    model = lab.load("smollm2", dtype="bfloat16")
    found = {threads: _overhead(model, threads, quick) for threads in (1, 2)}
    one, split, ratios, generate = found[2]
    return record(
        "split-overhead",
        1e3 * split,
        1e3 * one,
        "ms/token",
        goal="at most 10 % over one process",
        peer_is="the same layers, embeddings and head in one process",
        spread=[min(ratios), max(ratios)],
        threads=2,
        ratio_with_one_thread=round(median(found[1][2]), 3),
        transformers_generate_ms=1e3 * generate,
    )


def _overhead(model, threads, quick):
    """Median seconds a token of one process and of two stages, their ratios, and `generate`'s."""
    import torch

    torch.set_num_threads(threads)
    ids, most, rounds = model.token_ids(PROMPT), 4 if quick else 20, 1 if quick else ROUNDS
    with lab.split(model, 15, spares=0, patience=30) as stages:
        layers = Layers(stages._file, 0, 30)
        whole, split, rates = [], [], []
        for i in range(rounds + 1):
            pair = {}
            for kind in ("whole", "split")[:: 1 if i % 2 else -1]:
                tokens = _alone(model, layers, ids) if kind == "whole" else stages.stream(ids, most)
                pair[kind] = _timed(tokens, most)
            start = time.perf_counter()
            model.generate(ids, most)
            if i:  # the first round warms up
                rates.append((time.perf_counter() - start) / most)
                whole.append(pair["whole"])
                split.append(pair["split"])
    ratios = [a / b for a, b in zip(whole, split, strict=True)]
    return median(whole), median(split), ratios, median(rates)


def _alone(model, layers, ids):
    """The tokens of one process, endlessly."""
    import torch

    cache, new = Cache(len(layers.layers)), ids
    while True:
        with torch.inference_mode():
            logits = head(model, layers(embed(model, new), cache))[-1:].float()
        new = [int(logits.argmax())]
        yield new[0]


def _timed(tokens, most):
    """Median seconds of a token behind the first one."""
    seconds = []
    for _ in range(most):
        start = time.perf_counter()
        next(tokens)
        seconds.append(time.perf_counter() - start)
    return median(seconds[1:])


def link_error(quick):
    """How late messages of 1 kB, 100 kB and 10 MB arrive, as a share of what is allowed."""
    links = [lab.Link(100e6, 0.025), lab.Link(1e9, 0.005), lab.Link(1e9)]
    sizes = [1_000, 100_000] if quick else [1_000, 100_000, 10_000_000]
    shares, late = [], []
    for link in links:
        for size in sizes:
            runs = [_one_way(link, size) for _ in range(1 if quick else 5)]
            off = median(abs(seconds - link.seconds(size)) for seconds in runs)
            shares.append(off / max(0.002, 0.05 * link.seconds(size)))
            late.append(off)
    return record(
        "link-error",
        max(shares),
        1.0,
        "of the allowed error",
        goal="one-way time within 5 % or 2 ms of delay + size / bandwidth",
        peer_is="the allowed error",
        largest_error_ms=1e3 * max(late),
        links=[[link.bandwidth, link.delay] for link in links],
        bytes=sizes,
    )


def _one_way(link, size):
    """Seconds from sending to arrival."""
    import zmq

    receiver, sender = (zmq.Context.instance().socket(kind) for kind in (zmq.ROUTER, zmq.DEALER))
    receiver.linger = sender.linger = 0
    sender.connect(f"tcp://127.0.0.1:{receiver.bind_to_random_port('tcp://127.0.0.1')}")
    sender.send_multipart([b"", b""])
    receiver.recv_multipart()  # connected
    arrived = []

    def receive():
        header, _ = unpack(receiver.recv_multipart()[1:])
        wait_until(header.due)
        arrived.append(time.monotonic())

    thread = threading.Thread(target=receive)
    thread.start()
    body, line = bytes(size - HEADER), Line(link)
    sent = time.monotonic()
    sender.send_multipart([Header(STEP, due=line.due(size)).pack(), body])
    thread.join()
    receiver.close()
    sender.close()
    return arrived[0] - sent


def recovery(quick):
    """From the notice that a stage was killed to its successor's states, beside a prefill."""
    import torch

    torch.set_num_threads(THREADS)
    model = lab.load("smollm2", dtype="bfloat16")
    ids = model.token_ids([{"role": "user", "content": LONG * (2 if quick else 20)}])
    seconds, prefills, own, notices = [], [], [], []
    with lab.split(model, 15) as stages:
        for _ in range(1 if quick else 5):
            text = stages.stream(ids, 12)
            start = time.perf_counter()
            first = next(text)
            prefills.append(time.perf_counter() - start)
            own.append(first.stage_seconds[1] + first.link_seconds[1])
            for _ in range(5):
                next(text)
            start = time.perf_counter()
            stages.kill(1)
            notices.append(_noticed(stages.slots[1].connection) - start)
            (lost,) = next(text).recoveries
            seconds.append(lost.seconds)
            stages.refill()
            stages._spares[0].address()  # is ready before the next kill
    ratios = [1.2 * p / s for p, s in zip(prefills, seconds, strict=True)]
    return record(
        "recovery",
        median(seconds),
        1.2 * median(prefills),
        "s",
        goal="after its notice at most 1.2 prefills",
        peer_is=f"1.2 prefills of the same {len(ids)} tokens through both stages",
        spread=[min(ratios), max(ratios)],
        prefills_of_its_own_layers=median(seconds) / median(own),
        largest_notice_ms=1e3 * max(notices),
        threads=THREADS,
        resent_bytes=lost.resent,
    )


def _noticed(connection):
    """When the connection finds that its stage is gone."""
    try:
        connection.receive(0, Header(STEP))
    except lab.StageFailed:
        return time.perf_counter()
    raise AssertionError("a stage that was killed answered")


RECORDS = {"split-overhead": split_overhead, "link-error": link_error, "recovery": recovery}

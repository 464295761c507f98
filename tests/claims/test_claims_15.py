"""What notebook 15 says about parts of networks, computed again."""

from functools import cache, partial

import numpy as np
import torch
from sklearn.datasets import load_digits

import ensemble_lab as lab
from ensemble_lab.models import LanguageModel
from tests.support.claims import Claim, claims_hold, figures_are_claimed

UNITS, EPOCHS, SPLITS = 32, 30, range(5)
WIDTHS = 0.25, 0.5, 1.0


@cache
def data():
    """Images, digits, and the rows that are learned and those that are not, (5, …)."""
    X, y = load_digits(return_X_y=True)
    order = np.array([np.random.default_rng(i).permutation(len(y)) for i in SPLITS])
    return (X / 16).astype(np.float32), y, order[:, :898], order[:, 898:]


def network(hidden):
    layers = partial(lab.perceptron, hidden=(hidden,) * 3)
    return lab.NetworkClassifier(layers, EPOCHS, random_state=0)


def right(answers):
    _, y, _, new = data()
    return 100 * (np.array(answers) == y[new]).mean(1)


@cache
def alone(width):
    """Networks of that width, one a split."""
    X, y, learned, _ = data()
    found = network(int(width * UNITS)).train(X, y, 10, len(SPLITS), rows=learned)
    return [found.module(i) for i in SPLITS]


def answers(networks):
    X, _, _, new = data()
    with torch.no_grad():
        return [
            net(torch.from_numpy(X[some])).argmax(-1).numpy()
            for net, some in zip(networks, new, strict=True)
        ]


def corner(whole, keep):
    """A network of its own with the first units of an ordinary one."""
    small = lab.perceptron(64, 10, (keep,) * 3)
    with torch.no_grad():
        for own, theirs in zip(small[::2], whole[::2], strict=True):
            rows, columns = own.weight.shape
            own.weight.copy_(theirs.weight[:rows, :columns])
            own.bias.copy_(theirs.bias[:rows])
    return small


@cache
def ordinary(width):
    return right(answers([corner(one, int(width * UNITS)) for one in alone(1.0)]))


@cache
def fitted(kind):
    X, y, learned, _ = data()
    make = {
        "nested": partial(lab.NestedNetwork, network(UNITS), widths=WIDTHS),
        "exits": partial(lab.EarlyExit, network(UNITS)),
    }[kind]
    return [make(random_state=i).fit(X[rows], y[rows]) for i, rows in enumerate(learned)]


@cache
def nested(width):
    X, _, _, new = data()
    own = list(width) if isinstance(width, tuple) else width
    return right(
        [one.predict(X[rows], own) for one, rows in zip(fitted("nested"), new, strict=True)]
    )


def cut_is_far_worse():
    small = right(answers(alone(0.5)))
    return bool((ordinary(0.5) < small - 8).all())


def half_is_as_good():
    return bool(abs(nested(0.5).mean() - right(answers(alone(0.5))).mean()) < 1)


def price_of_being_many():
    price = (right(answers(alone(1.0))) - nested(1.0)).mean()
    return bool(0.4 < price < 1.6)


def mixtures_lose():
    least = nested((0.25,) * 3).mean()
    mixes = [tuple(1 if i == at else 0.25 for i in range(3)) for at in range(3)]
    return all(nested(mix).mean() < least for mix in mixes)


@cache
def stages(kind):
    """Per cent right (3, 5) at each exit."""
    X, _, _, new = data()
    if kind == "trained":
        each = [
            [one.predict(X[rows], e) for one, rows in zip(fitted("exits"), new, strict=True)]
            for e in (1, 2, 3)
        ]
    else:
        early = [
            [torch.nn.Sequential(*one[: 2 * e], one[-1]) for one in alone(1.0)] for e in (1, 2, 3)
        ]
        each = [answers(networks) for networks in early]
    return np.array([right(one) for one in each])


def early_is_chance():
    return bool((stages("ordinary")[:2].mean(1) < 20).all())


def exits_are_as_good():
    return bool((abs(stages("trained").mean(1) - stages("trained")[2].mean()) < 0.8).all())


def one_layer_would_do():
    X, y, learned, _ = data()
    shallow = partial(lab.perceptron, hidden=(UNITS,))
    found = lab.NetworkClassifier(shallow, EPOCHS, random_state=0)
    found = found.train(X, y, 10, len(SPLITS), rows=learned)
    one = right(answers([found.module(i) for i in SPLITS]))
    return bool(one.mean() > stages("trained").mean(1).max() - 0.5)


def overthinks():
    X, y, _, new = data()
    return all(
        one.overthinking(X[rows], y[rows]) > 0
        for one, rows in zip(fitted("exits"), new, strict=True)
    )


def shares_are_those_asked():
    X, y, _, new = data()
    for asked in ([0.5, 0.25, 0.25], [0.8, 0.1, 0.1], [0.2, 0.2, 0.6]):
        taken, good, ends = [], [], []
        for one, rows in zip(fitted("exits"), new, strict=True):
            limits = lab.exit_thresholds(one.confidences(X[rows[:450]]), asked)
            proba, by = one.leave(X[rows[450:]], limits)
            taken.append([(by == e).mean() for e in (1, 2, 3)])
            good.append((proba.argmax(1) == y[rows[450:]]).mean())
            ends.append((one.predict(X[rows[450:]]) == y[rows[450:]]).mean())
        if abs(np.mean(taken, 0) - asked).max() > 0.04 or np.mean(good) < np.mean(ends) - 0.005:
            return False
    return True


def promise_is_kept():
    X, _, _, new = data()
    for one, rows in zip(fitted("exits"), new, strict=True):
        probas = np.stack(list(one.staged_predict_proba(X[rows])), axis=1)
        said = probas.argmax(-1)
        wrong = said != said[:, -1:]
        at = lab.calibrated_threshold(probas[:450].max(-1), wrong[:450], 0.02)
        proba, by = one.leave(X[rows[450:]], at)
        changed = (proba.argmax(1) != said[450:, -1]).mean()
        if changed > 0.02 or (by < 3).mean() < 0.8:
            return False
    return True


@cache
def in_bits(bits, cut=False):
    networks = []
    for one in alone(1.0):
        stored = lab.AnyPrecision(one)
        found = stored.at(bits)
        if cut:
            short = dict(found.named_parameters())
            for name in stored.names():
                codes, table = stored.codes(name).astype(int), stored.table(name)
                codes -= codes % 2 ** (8 - bits)
                rows = [table[r, line] for r, line in enumerate(codes)]
                short[name].data = torch.tensor(np.array(rows)).float()
        networks.append(found)
    return right(answers(networks))


def four_are_as_good():
    return bool(abs(in_bits(4) - in_bits(8)).mean() < 0.6 and in_bits(2).mean() > 90)


def wrong_table_is_chance():
    return bool(in_bits(2, cut=True).mean() < 15)


@cache
def cascades():
    """Bits read and per cent right of the cascade; per cent right of 2, 3, 4 and 8 bits."""
    X, y, _, new = data()
    found = []
    for one, rows in zip(alone(1.0), new, strict=True):
        stored = lab.AnyPrecision(one)
        with torch.no_grad():
            z = {
                b: stored.at(b)(torch.from_numpy(X[rows])).softmax(-1).numpy() for b in (2, 3, 4, 8)
            }
        good = {b: p.argmax(1) == y[rows] for b, p in z.items()}
        sure = z[2].max(1)
        for at in (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.01):
            ends = np.where(sure >= at, good[2], good[8])
            if ends[:450].mean() >= good[8][:450].mean():
                break
        asked = (sure < at)[450:].mean()
        found.append([2 + 8 * asked, *(100 * one[450:].mean() for one in (ends, *good.values()))])
    return np.mean(found, 0)


def cascade_is_close():
    bits, right_, _, three, four, all_ = cascades()
    close = abs(right_ - all_) < 0.8 and max(three, four) > right_ - 0.7
    return bool(2 < bits < 4.5 and close)


@cache
def accepted():
    """Share of drafted tokens that are accepted, and whether all texts are the target's."""
    tiny, other = (lab.load(name, dtype="float32") for name in ("tiny", "tiny-layerskip"))
    tasks = [f"{task}\n" for task in lab.load_texts().task if task][-8:]
    codes = lab.AnyPrecision(tiny.model)
    few = LanguageModel(codes.at(3), tiny.tokenizer, "three bits")
    pairs = {
        "3 bits": (tiny, few),
        "layers": (tiny, "early-exit:2"),
        "trained layers": (other, "early-exit:2"),
        "draft": (tiny, lab.load("tiny-draft", dtype="float32")),
    }
    found, same = {}, True
    for name, (target, draft) in pairs.items():
        plain = lab.decode(target, tasks, max_new_tokens=32)
        made = lab.decode(target, tasks, draft, max_new_tokens=32, gamma=3)
        same &= [one.tokens for one in made] == [one.tokens for one in plain]
        rounds = [one for text in made for one in text.rounds]
        examined = sum(min(one.accepted + 1, len(one.proposed)) for one in rounds)
        found[name] = sum(one.accepted for one in rounds) / examined
    return found, same


def bits_agree_most():
    found, _ = accepted()
    return found["3 bits"] > 0.5 and found["3 bits"] > found["draft"]


def trained_layers_double():
    found, _ = accepted()
    return found["trained layers"] > 2 * found["layers"]


@cache
def at_best(name, draft, part):
    """Tokens that a round writes for each step that it computes; a drafted one costs a part."""
    target = lab.load(name, dtype="float32")
    if isinstance(draft, int):
        draft = LanguageModel(lab.AnyPrecision(target.model).at(draft), target.tokenizer, "bits")
    tasks = [f"{task}\n" for task in lab.load_texts().task if task][-8:]
    made = lab.decode(target, tasks, draft, max_new_tokens=32, gamma=3)
    rounds = [one for text in made for one in text.rounds]
    check = 1 if part == 1 else 1 - part
    paid = sum(len(one.proposed) * part + check for one in rounds)
    return sum(one.accepted + 1 for one in rounds) / paid


def only_trained_layers_pay():
    gains = {
        name: [at_best(name, f"early-exit:{n}", n / 4) for n in (1, 2, 3)]
        for name in ("tiny", "tiny-layerskip")
    }
    return max(gains["tiny"]) < 0.9 and min(gains["tiny-layerskip"]) > 1


def unpacked_bits_gain_nothing():
    return max(at_best("tiny", bits, 1) for bits in (2, 3, 4)) < 1


@cache
def halves_cost():
    """Nats a token (2, 4) that half of the heads, or units, of each layer of `tiny` cost."""
    tiny, pairs = lab.load("tiny", dtype="float32"), lab.load_texts()
    pairs = pairs[pairs.task != ""].tail(32)
    texts = [
        tiny.tokenizer(f"{q}\n{a}", return_tensors="pt")["input_ids"][:, :256]
        for q, a in zip(pairs.task, pairs.answer, strict=True)
    ]

    def nats(heads, units):
        weights = lab.narrowed_weights(tiny.model, heads, units)
        with torch.no_grad():
            each = [
                torch.func.functional_call(tiny.model, weights, ids, {"labels": ids}).loss
                for ids in texts
            ]
        return np.mean(each)

    halves = 1 - np.eye(4) / 2
    found = [[nats(one, 1.0) for one in halves], [nats(1.0, one) for one in halves]]
    return np.array(found) - nats(1.0, 1.0)


def one_half_is_missed():
    cost = halves_cost()
    return abs(cost[1, 0] - 1.5) < 0.05 and np.delete(cost.ravel(), 4).max() < 0.3


CLAIMS = [
    Claim("Cut to half, the ordinary network is far worse than a network of that size.",
          cut_is_far_worse),
    Claim("Half of the nested one is as good as that.", half_is_as_good),
    Claim("the whole is about one point below a network that has only itself to please",
          price_of_being_many),
    Claim("The whole of a nested network is about a point below one that is only whole.",
          price_of_being_many),
    Claim("One whole layer beside two quarters is *worse* than three quarters", mixtures_lose),
    Claim("Half of the heads or units of one layer cost at most 0.3, with one exception: half of"
          " the first layer's units cost 1.5.", one_half_is_missed),
    Claim("The ordinary network's last layer reads earlier ones about as well as chance.",
          early_is_chance),
    Claim("The trained exits are all as good as the end", exits_are_as_good),
    Claim("A network of one layer would do, and would have no exits to pay for.",
          one_layer_would_do),
    Claim("some images are right at an exit and wrong at the end", overthinks),
    Claim("The shares are those asked, within a few points: the rows are others, and so is their"
          " confidence. Accuracy does not suffer.", shares_are_those_asked),
    Claim("All splits keep the promise, and nearly all images leave early.", promise_is_kept),
    Claim("Four bits are as good as eight, and two are still a useful network.", four_are_as_good),
    Claim("With the wrong table two bits are as good as chance.", wrong_table_is_chance),
    Claim("is about as often right as all bits. But 3 or 4 bits for every image do that, too.",
          cascade_is_close),
    Claim("All texts are the target's, as they must be.", lambda: accepted()[1]),
    Claim("Three bits agree with the whole on most tokens, more than a model that was trained to"
          " draft for it.", bits_agree_most),
    Claim("the same two layers are accepted more than twice as often", trained_layers_double),
    Claim("each drafted token costs a whole step, and nothing is gained.",
          unpacked_bits_gain_nothing),
    Claim("So the layers of `tiny-layerskip` pay, and **untrained exits lose** at every depth.",
          only_trained_layers_pay),
    Claim("one layer alone is as good as any exit.", one_layer_would_do),
    Claim("it is far worse than a small network, on all five splits", cut_is_far_worse),
]  # fmt: skip
GIVEN = ["with probability 95 %, at most 2 % of new images",
         "With probability 95 %, at most a given share of new rows"]  # fmt: skip

test_claims_hold = claims_hold("15_many_models_in_one", CLAIMS)
test_figures_are_claimed = figures_are_claimed("15_many_models_in_one", CLAIMS, GIVEN)

"""Training on a GPU: members in one batch learn what each would have learned alone."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import ensemble_lab as lab
from ensemble_lab.training.batched.losses import cross_entropy, squared_error
from ensemble_lab.training.batched.trainer import train_members
from tests.training.test_training_trainer import alone, one_output, perceptron, problem

pytestmark = pytest.mark.gpu
MEMBERS, ROWS, EPOCHS, SIZE = 5, 30, 4, 8


@pytest.mark.parametrize("classify", [True, False], ids=["classes", "numbers"])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_each_member_learns_what_it_would_alone_on_the_cpu(device, classify, decay):
    X, y = problem(ROWS, 3)
    rng = np.random.default_rng(3)
    rows = rng.integers(ROWS, size=(MEMBERS, ROWS))
    weights = rng.uniform(0.1, 2, (MEMBERS, ROWS))
    loss, make = (cross_entropy, perceptron) if classify else (squared_error, one_output)
    found = train_members(
        make, X, y if classify else y.astype(float), members=MEMBERS, loss=loss, rows=rows,
        weights=weights, epochs=EPOCHS, batch_size=SIZE, weight_decay=decay, seed=7,
        device=device, dtype="float64", progress=False,
    )  # fmt: skip
    outputs = found.outputs(X)
    for i in range(MEMBERS):
        one = alone(make, X, y, loss, i, MEMBERS, rows, weights, EPOCHS, SIZE, 7, decay)
        for name, weight in one.state_dict().items():
            assert found.params[name].device.type == device.type
            kept = found.params[name][i].cpu()
            assert torch.allclose(kept, weight, rtol=1e-7, atol=1e-7), (i, name)
        with torch.no_grad():
            assert np.allclose(outputs[i], one(torch.tensor(X)).numpy(), atol=1e-7)


@pytest.mark.parametrize(
    "kind", [lab.BaggingClassifier, lab.NegativeCorrelationClassifier, lab.AdaBoostClassifier]
)
def test_estimators_tell_digits_apart_and_travel(device, kind):
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    network = lab.NetworkClassifier(epochs=10, device=str(device))
    whole = kind(network, 4, random_state=0).fit(X[:1200], y[:1200])
    said = whole.predict(X[1200:])
    assert isinstance(said, np.ndarray) and (said == y[1200:]).mean() > 0.8
    again = pickle.loads(pickle.dumps(whole))
    assert (again.predict(X[1200:]) == said).all()


def test_students_learn_from_their_teacher(device):
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    network = lab.NetworkClassifier(epochs=20, device=str(device))
    teacher = lab.BaggingClassifier(network, 4, random_state=0).fit(X[:1200], y[:1200])
    unlabelled = [None] * 1200
    student = lab.DistilledClassifier(teacher, network, alpha=0, random_state=0)
    said = student.fit(X[:1200], unlabelled).predict(X[1200:])
    assert (said == teacher.predict(X[1200:])).mean() > 0.8


def test_a_draft_learns_to_be_accepted(device):
    target = lab.load("tiny", device, "float32")
    draft = lab.load("tiny-draft", device, "float32")
    prompts = [f"Tell me about {thing}.\n" for thing in ("rain", "cats", "trains", "bread")]
    how = {"max_new_tokens": 24, "seed": 0, "progress": False}
    for settings in ({"divergence": "total_variation"}, {"student_share": 1.0}):
        made = lab.distil(target, draft, prompts, steps=30, batch_size=4, **settings, **how)
        assert made.draft.device.type == device.type
        assert made.acceptances[-5:].mean() > made.acceptances[:5].mean()


def test_the_gpus_own_randomness_is_left_alone(card):
    torch.cuda.manual_seed(5)
    before = torch.cuda.get_rng_state()
    X, y = problem(20)
    settings = {"members": 3, "loss": cross_entropy, "epochs": 2, "progress": False}
    train_members(perceptron, X, y, device=card, **settings)
    assert torch.equal(before, torch.cuda.get_rng_state())

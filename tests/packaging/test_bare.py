"""The wheel with its base dependencies alone: what works there, and what is said of the rest."""

import json

import pytest

from tests.conftest import run

STAR = "import ensemble_lab as lab\nfrom ensemble_lab import *\n"
STAR += "assert not [name for name in lab.__all__ if name not in globals()]\n"
STAR += "assert lab.FeatureHead.__name__ == 'FeatureHead'\n"

SHOW = """import json, sys, threading
def refuse(thread):
    raise AssertionError(f"a thread is started: {thread}")
threading.Thread.start = refuse
before = threading.enumerate()
import ensemble_lab as lab
from ensemble_lab.explorers.explore import EXPLORERS
outcomes = {"votes": "gsm8k-44-llms", "cascade": "audiomnist-services"}
kinds = {}
for name in EXPLORERS:
    # Networks learn when these are shown.
    if name in ("negative-correlation", "distillation", "submodels"):
        continue
    explorer = lab.explore(name, *([lab.load_outcomes(outcomes[name])] if name in outcomes else []))
    kinds[name] = sorted(explorer._repr_mimebundle_())
    assert len(explorer.table()), name
assert threading.enumerate() == before, threading.enumerate()
assert not {"torch", "psutil", "ipywidgets"} & sys.modules.keys()
print(json.dumps(kinds))
"""

SAY = """import json, os
import numpy as np
import ensemble_lab as lab
from ensemble_lab import *
from ensemble_lab.widgets import Predict, PredictCurve
X, y = np.arange(12.0).reshape(6, 2), np.array([0, 1, 0, 1, 0, 1])
def forced():
    os.environ["ENSEMBLE_LAB_BACKEND"] = "redraw"
    lab.explore("escalate")._repr_mimebundle_()
said = {}
for call in CALLS:
    try:
        said[call] = f"nothing is missing: {eval(call)}"
    except (ImportError, ValueError) as error:
        said[call] = str(error)
print(json.dumps(said))
"""
MODELS = {
    "lab.load('tiny')": "load('tiny') needs torch, transformers, safetensors, psutil",
    "lab.load('smollm2')": "safetensors, psutil, huggingface_hub",
    "lab.load('openai:http://127.0.0.1:8000/v1#name')": "an endpoint needs httpx",
    "Endpoint('http://127.0.0.1:8000/v1', 'name')": "an endpoint needs httpx",
    "lab.decode(None, 'Once')": "decoding needs torch, transformers",
    "lab.stream(None, 'Once')": "decoding needs torch, transformers",
    "lab.trace(None, 'Once')": "decoding needs torch, transformers",
    "lab.measure_pair(None, ['Once'], 'lookup', 2)": "decoding needs torch, transformers",
    "FeatureHead.read('head.safetensors')": "FeatureHead needs torch, transformers",
    "FeatureHead(None, None)": "FeatureHead needs torch, transformers",
    "lab.train_members(lambda: None, X, y, members=2, loss=None)": "training networks needs torch",
    "NetworkClassifier().fit(X, y)": "training networks needs torch",
    "NetworkRegressor().fit(X, y)": "training networks needs torch",
    "SnapshotEnsemble().fit(X, y)": "training networks needs torch",
    "NestedNetwork().fit(X, y)": "training networks needs torch",
    "narrowed(None)": "narrowing a language model needs torch, transformers",
    "narrowed_weights(None)": "narrowing a language model needs torch, transformers",
    "EarlyExit().fit(X, y)": "training networks needs torch",
    "AnyPrecision(None)": "a network needs torch",
    "NegativeCorrelationClassifier().fit(X, y)": "training networks needs torch",
    "NegativeCorrelationRegressor().fit(X, y)": "training networks needs torch",
    "BaggingClassifier(NetworkClassifier()).fit(X, y)": "training networks needs torch",
    "BaggingClassifier(NetworkClassifier(), max_features=1).fit(X, y)": "networks needs torch",
    "AdaBoostClassifier(NetworkClassifier()).fit(X, y)": "training networks needs torch",
    "lab.explore('negative-correlation').picture()": "training networks needs torch",
    "lab.explore('distillation').picture()": "training networks needs torch",
    "lab.explore('submodels').picture()": "training networks needs torch",
    "DistilledClassifier(BaggingClassifier()).fit(X, y)": "training networks needs torch",
    "MixtureOfExperts(4, 8)": "MixtureOfExperts needs torch",
    "ExpertsClassifier().fit(X, y)": "training networks needs torch",
    "DualEncoder().fit(X, X)": "a dual encoder needs torch",
    "contrastive_loss(np.eye(2))": "the contrastive loss needs torch",
    "FusionInDecoder(4, 8)": "FusionInDecoder needs torch",
    "MixtureOfTransformers(4, 8)": "MixtureOfTransformers needs torch",
    "MixtureOfTransformers.from_dense(None, 2)": "MixtureOfTransformers needs torch",
    "TwoEncoders(4, 2)": "TwoEncoders needs torch",
    "TwoHeads(4, 2)": "TwoHeads needs torch",
    "residual_paths(None, 'Once')": "a model's blocks needs torch, transformers",
    "lesion_losses(None, 'Once')": "a model's blocks needs torch, transformers",
    "lesion(None, 0).__enter__()": "a model's blocks needs torch, transformers",
    "lab.perceptron(2, 2)": "a network needs torch",
    "lab.pick_device()": "choosing a device needs torch",
    "lab.pick_dtype()": "choosing a number format needs torch",
    "lab.available_memory()": "this machine's free memory needs psutil",
    "lab.available_memory('cuda')": "a GPU's memory needs torch",
    "Meter('cuda').__enter__()": "the clock of device cuda needs torch",
    "Meter(flops=True).__enter__()": "counting FLOPs needs torch",
}
LAB = {
    "Predict('How many?').widget()": "a field to type into needs ipywidgets",
    "PredictCurve('How high?', [1, 2]).widget()": "a curve to drag needs ipywidgets",
    "forced()": "the backend 'redraw' needs ipywidgets",
}


def printed(python, code, folder):
    """What `code` prints; -I keeps the checkout and the settings of this shell out."""
    return run(python, "-I", "-c", code, cwd=folder)


def test_everything_public_can_be_imported(installed, tmp_path):
    printed(installed, STAR, tmp_path)


def test_explorers_that_need_no_model_are_shown_without_a_thread(installed, tmp_path):
    kinds = json.loads(printed(installed, SHOW, tmp_path))
    assert {"rounds", "speedup", "votes", "cascade", "bagging"} < kinds.keys()
    still = ["application/vnd.plotly.v1+json", "text/html", "text/plain"]
    assert kinds == dict.fromkeys(kinds, still)


@pytest.fixture(scope="module")
def said(installed, tmp_path_factory):
    """Call to its error, all by one Python."""
    code = SAY.replace("CALLS", repr([*MODELS, *LAB]))
    return json.loads(printed(installed, code, tmp_path_factory.mktemp("bare")))


@pytest.mark.parametrize("call", [*MODELS, *LAB])
def test_what_is_missing_is_said_with_the_command_that_installs_it(call, said):
    needs, extra = (MODELS[call], "models") if call in MODELS else (LAB[call], "lab")
    assert needs in said[call]
    assert said[call].endswith(f"pip install 'ensemble-lab[{extra}]'")
    assert len(said[call]) <= 300

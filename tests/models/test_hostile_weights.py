"""Folders as strangers and broken disks hold them: nothing is let in, and each has its error."""

import json
import shutil
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ensemble_lab.catalogue import data_folder
from ensemble_lab.models import ModelError, load, memory
from ensemble_lab.models.errors import NotEnoughMemory, PickledWeights

DRAFT = data_folder() / "models/tiny/draft"
MODEL, INDEX = "model.safetensors", "model.safetensors.index.json"


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(DRAFT, tmp_path / "broken"))


@pytest.fixture(autouse=True)
def never_unpickled(monkeypatch):
    """Whatever happens, nothing is unpickled."""

    def refuse(*args, **kwargs):
        opened.append(args)
        raise AssertionError("something was unpickled")

    opened = []
    for name in ("torch.load", "pickle.load", "pickle.loads", "numpy.load"):
        monkeypatch.setattr(name, refuse)
    yield
    assert not opened


def write(name, data):
    """A change that writes a file: bytes, text, or something as JSON."""

    def change(folder):
        if isinstance(data, bytes):
            (folder / name).write_bytes(data)
        else:
            text = data if isinstance(data, str) else json.dumps(data)
            (folder / name).write_text(text, encoding="utf-8")

    return change


def with_settings(name, **more):
    """A change of a JSON file's values."""

    def change(folder):
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | more))

    return change


def config(**more):
    return with_settings("config.json", **more)


def generation(**more):
    return with_settings("generation_config.json", **more)


def header(entries, rest=b""):
    """A safetensors file with any header."""
    raw = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return write(MODEL, struct.pack("<Q", len(raw)) + raw + rest)


def tensors(change):
    """A change of the weights as a mapping."""

    def apply(folder):
        weights = load_file(folder / MODEL)
        save_file(change({name: w.clone() for name, w in weights.items()}), folder / MODEL)

    return apply


def without(name):
    def change(folder):
        (folder / name).unlink()

    return change


def a_folder(name):
    def change(folder):
        (folder / name).unlink(missing_ok=True)
        (folder / name).mkdir()

    return change


def a_link(name, to):
    def change(folder):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(to)

    return change


def indexed(names, keep=()):
    """Weights under an index that names these files, in turn; those of `keep` are there."""

    def change(folder):
        weights = load_file(folder / MODEL)
        (folder / MODEL).unlink()
        for i, name in enumerate(keep):
            save_file(dict(list(weights.items())[i :: len(keep)]), folder / name)
        placed = {key: names[i % len(names)] for i, key in enumerate(weights)}
        (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": placed}))

    return change


def both(*changes):
    def change(folder):
        for one in changes:
            one(folder)

    return change


F32 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
DEEP = "[" * 100_000
BROKEN = {
    # The weights' header
    "no offsets": header({"a": {"dtype": "F32", "shape": [1]}}),
    "no shape": header({"a": {"dtype": "F32", "data_offsets": [0, 4]}}, b"1234"),
    "no dtype": header({"a": {"shape": [1], "data_offsets": [0, 4]}}, b"1234"),
    "an unknown dtype": header({"a": F32 | {"dtype": "F33"}}, b"1234"),
    "a dtype that is a list": header({"a": F32 | {"dtype": ["F32"]}}, b"1234"),
    "a negative shape": header({"a": F32 | {"shape": [-1, -1]}}, b"1234"),
    "a shape of text": header({"a": F32 | {"shape": "1"}}, b"1234"),
    "a shape of fractions": header({"a": F32 | {"shape": [1.0]}}, b"1234"),
    "a shape of truth": header({"a": F32 | {"shape": [True]}}, b"1234"),
    "a shape too large": header({"a": F32 | {"shape": [2**62, 2**62]}}, b"1234"),
    "offsets backwards": header({"a": F32 | {"data_offsets": [4, 0]}}, b"1234"),
    "offsets that are one": header({"a": F32 | {"data_offsets": [4]}}, b"1234"),
    "offsets behind the end": header({"a": F32 | {"shape": [2], "data_offsets": [0, 8]}}, b"1234"),
    "an entry of text": header({"a": "F32"}, b"1234"),
    "a header that is a list": header([1, 2]),
    "a header that is a number": header(b"7"),
    "a header without end": header(DEEP.encode()),
    "a header in no UTF-8": header(b'{"\xff": 1}'),
    "overlapping tensors": header({"a": F32, "b": F32}, b"1234"),
    "no tensors": header({}),
    "no tensors but metadata": header({"__metadata__": {"format": "pt"}}),
    "metadata that is a list": header({"__metadata__": [1], "a": F32}, b"1234"),
    "a header longer than the file": write(MODEL, struct.pack("<Q", 2**40) + b"{}"),
    "a header longer than any": write(MODEL, struct.pack("<Q", 2**63 + 5) + b"{}"),
    "an empty file": write(MODEL, b""),
    "seven bytes": write(MODEL, b"1234567"),
    "a page": write(MODEL, "<!doctype html><title>Log in</title>"),
    "a pointer to Git LFS": write(MODEL, "version https://git-lfs.github.com/spec/v1\noid sha256"),
    "a pickle by that name": write(MODEL, b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00K\x01."),
    # The weights' files
    "a link to nothing": a_link(MODEL, "gone"),
    "a link to itself": a_link(MODEL, MODEL),
    "a folder instead": a_folder(MODEL),
    "no weights": without(MODEL),
    "another name": lambda folder: (folder / MODEL).rename(folder / "weights.safetensors"),
    "a cut file": lambda folder: (folder / MODEL).write_bytes((folder / MODEL).read_bytes()[:-9]),
    # The tensors
    "none of ours": tensors(lambda weights: {"decoy": torch.zeros(1)}),
    "one less": tensors(lambda w: {k: v for k, v in w.items() if "layers.0.mlp.up" not in k}),
    "a layer less": tensors(lambda w: {k: v for k, v in w.items() if "layers.0." not in k}),
    "one more": tensors(lambda weights: weights | {"model.extra.weight": torch.zeros(3)}),
    "in a wrapper": tensors(lambda w: {f"module.{name}": v for name, v in w.items()}),
    "in a compiled wrapper": tensors(lambda w: {f"_orig_mod.{name}": v for name, v in w.items()}),
    "in capitals": tensors(lambda weights: {name.upper(): v for name, v in weights.items()}),
    "transposed": tensors(lambda weights: {n: v.t().contiguous() for n, v in weights.items()}),
    "all NaN": tensors(lambda weights: {n: v * float("nan") for n, v in weights.items()}),
    "one NaN": tensors(lambda w: w | {"model.norm.weight": w["model.norm.weight"] * torch.nan}),
    "infinite": tensors(lambda weights: {n: v + torch.inf for n, v in weights.items()}),
    # config.json
    "no configuration": without("config.json"),
    "a configuration that is a list": write("config.json", []),
    "a configuration that is a number": write("config.json", "7"),
    "a configuration that is null": write("config.json", "null"),
    "an empty configuration": write("config.json", "{}"),
    "half a configuration": write("config.json", '{"model_type": "llama", '),
    "a configuration without end": write("config.json", DEEP),
    "a configuration in no UTF-8": write("config.json", b'{"a": "\xff"}'),
    "an empty file for a configuration": write("config.json", ""),
    "a configuration that is a folder": a_folder("config.json"),
    "a configuration that is a dangling link": a_link("config.json", "gone"),
    "another vocabulary": config(vocab_size=10),
    "another width": config(hidden_size=96),
    "another depth": config(num_hidden_layers=7),
    "no layers": config(num_hidden_layers=0),
    "less than no layers": config(num_hidden_layers=-1),
    "layers of text": config(num_hidden_layers="many"),
    "layers of null": config(num_hidden_layers=None),
    "a vocabulary of text": config(vocab_size="x"),
    "a negative width": config(hidden_size=-4),
    "no heads": config(num_attention_heads=0),
    "heads that do not fit": config(num_attention_heads=7, head_dim=None),
    "an unknown activation": config(hidden_act="no such thing"),
    "positions of an unknown kind": config(rope_parameters={"rope_type": "odd", "factor": 2}),
    "positions that are text": config(rope_parameters="odd"),
    "an unknown architecture": config(model_type="no-such-architecture"),
    "no language model": config(model_type="vit"),
    "an architecture that is a number": config(model_type=7),
    "attention of an unknown kind": config(_attn_implementation="odd", attn_implementation="odd"),
    "attention from the Hub": config(attn_implementation="kernels-community/flash-attn"),
    "an unknown number format": config(dtype="float7", torch_dtype="float7"),
    "quantised elsewhere": config(quantization_config={"quant_method": "awq", "bits": 4}),
    "quantised by who knows": config(quantization_config={"quant_method": "odd"}),
    "quantised by nobody": config(quantization_config={}),
    "quantised by a list": config(quantization_config=[1]),
    "more layers than memory": config(num_hidden_layers=2_000_000),
    "more layers than numbers": config(num_hidden_layers=10**18),
    "a vocabulary larger than memory": config(vocab_size=10**12),
    "a width larger than memory": config(hidden_size=10**9),
    "an inside larger than memory": config(intermediate_size=10**15),
    "code of its own": config(
        model_type="own", auto_map={"AutoConfig": "a.A", "AutoModelForCausalLM": "a.B"}
    ),
    "code from elsewhere": config(model_type="own", auto_map={"AutoConfig": "them/theirs--a.A"}),
    # The tokenizer and the rest
    "no tokenizer": both(without("tokenizer.json"), without("tokenizer_config.json")),
    "no vocabulary": without("tokenizer.json"),
    "a tokenizer that is a list": write("tokenizer.json", []),
    "half a tokenizer": write("tokenizer.json", '{"version": '),
    "a tokenizer without end": write("tokenizer.json", DEEP),
    "a tokenizer of another kind": write("tokenizer.json", {"model": {"type": "odd"}}),
    "a tokenizer's settings that are a list": write("tokenizer_config.json", []),
    "half of a tokenizer's settings": write("tokenizer_config.json", "{"),
    "generation settings that are a list": write("generation_config.json", []),
    "half of the generation settings": write("generation_config.json", "{"),
    "generation settings without end": write("generation_config.json", DEEP),
    "an end token that is text": generation(eos_token_id="x"),
    "an end token that is a fraction": generation(eos_token_id=1.5),
    "an end token that is true": generation(eos_token_id=True),
    "end tokens of which one is text": generation(eos_token_id=[1, "x"]),
    "an end token that is a mapping": generation(eos_token_id={"a": 1}),
    # The index and what lies beside
    "an index that is a list": both(without(MODEL), write(INDEX, [])),
    "an index without files": both(without(MODEL), write(INDEX, {"weight_map": {}})),
    "an index of lists": both(without(MODEL), write(INDEX, {"weight_map": {"a": ["b"]}})),
    "an index without end": both(without(MODEL), write(INDEX, DEEP)),
    "an index that is a folder": both(without(MODEL), a_folder(INDEX)),
    "an index of files that are not there": indexed(["a.safetensors", "b.safetensors"]),
    "an index of a file that holds less": indexed(["a.safetensors"], ["a.safetensors", "b.saf"]),
    "an adapter beside it": write("adapter_config.json", {"base_model_name_or_path": "x/y"}),
    "an adapter alone": both(
        without(MODEL),
        without("config.json"),
        write("adapter_config.json", {}),
        write("adapter_model.safetensors", b""),
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_folder_is_named_with_the_fix(what, folder):
    BROKEN[what](folder)
    with pytest.raises(ModelError) as told:
        load(folder, device="cpu", dtype="float32")
    message = str(told.value)
    assert len(message) <= 300, message
    assert "broken" in message
    assert "\n" not in message


def test_a_whole_folder_loads(folder):
    model = load(folder, device="cpu", dtype="float32")
    assert model.generate("Hello", max_new_tokens=3).tokens
    assert model.model.num_parameters() == memory.count_parameters(folder)


# What an index names


def pickled(name):
    """Weights under an index that names a pickle, beside a file that satisfies a glance."""

    def change(folder):
        weights = load_file(folder / MODEL)
        (folder / MODEL).unlink()
        save_file({"decoy": torch.zeros(1)}, folder / "decoy.safetensors")
        torch.save(weights, folder / name)
        (folder / INDEX).write_text(json.dumps({"weight_map": dict.fromkeys(weights, name)}))

    return change


@pytest.mark.parametrize(
    "name", ["weights.txt", "pytorch_model.bin", "a.safetensors.bin", "a.pt", "a", "a.SAFETENSORS"]
)
def test_an_index_leads_to_no_pickle(name, folder):
    pickled(name)(folder)
    with pytest.raises(
        PickledWeights, match=r"which is not a \*\.safetensors file; pickles can run code"
    ):
        load(folder, device="cpu", dtype="float32")


@pytest.mark.parametrize(
    "name",
    ["../out.safetensors", "/out.safetensors", "a/../../out.safetensors", "sub/a.safetensors",
     "..\\out.safetensors", "C:out.safetensors", ".safetensors", "a\n.safetensors",
     "a\0.safetensors", "file:out.safetensors", "http://them/a.safetensors", "*.safetensors"],
)  # fmt: skip
def test_an_index_stays_in_its_folder(name, folder):
    shutil.copy(folder / MODEL, folder.parent / "out.safetensors")
    indexed([name])(folder)
    with pytest.raises(ModelError, match="is not a file of this folder"):
        load(folder, device="cpu", dtype="float32")


def test_an_index_follows_no_link_out_of_its_folder(folder):
    indexed(["a.safetensors", "b.safetensors"], ["a.safetensors", "b.safetensors"])(folder)
    assert load(folder, device="cpu", dtype="float32").generate("Hello", 2).tokens
    (folder / "b.safetensors").rename(folder.parent / "b.safetensors")
    (folder / "b.safetensors").symlink_to("../b.safetensors")
    with pytest.raises(ModelError, match="is a link out of the folder"):
        load(folder, device="cpu", dtype="float32")


def test_the_links_of_the_hubs_cache_are_followed(folder):
    indexed(["a.safetensors", "b.safetensors"], ["a.safetensors", "b.safetensors"])(folder)
    repo = folder.parent / "models--them--theirs"
    (repo / "blobs").mkdir(parents=True)
    (repo / "snapshots").mkdir()
    kept = folder.rename(repo / "snapshots" / "0123abc")
    for i, path in enumerate(sorted(kept.iterdir())):
        path.rename(repo / "blobs" / str(i))
        path.symlink_to(f"../../blobs/{i}")
    assert load(kept, device="cpu", dtype="float32").generate("Hello", 2).tokens


def test_one_tensor_in_two_files_is_named(folder):
    indexed(["a.safetensors", "b.safetensors"], ["a.safetensors", "b.safetensors"])(folder)
    shutil.copy(folder / "a.safetensors", folder / "b.safetensors")
    with pytest.raises(ModelError, match="both hold 'lm_head|both hold 'model"):
        load(folder, device="cpu", dtype="float32")


@pytest.mark.parametrize("name", ["training_args.bin", "optimizer.pt", "scheduler.pt", "rng.pth"])
def test_pickles_beside_the_weights_are_not_looked_at(name, folder):
    torch.save({"lr": 1.0}, folder / name)
    (folder / ".metadata").write_bytes(b"\x80\x04N.")  # as a distributed checkpoint has it
    (folder / "__0_0.distcp").write_bytes(b"\x80\x04N.")
    assert load(folder, device="cpu", dtype="float32").generate("Hello", 2).tokens


def test_only_pickles_are_refused(folder):
    (folder / MODEL).unlink()
    (folder / "adapter_config.json").write_text("{}")
    torch.save({}, folder / "adapter_model.bin")
    with pytest.raises(PickledWeights, match="pickled adapter"):
        load(folder)
    (folder / "adapter_config.json").unlink()
    with pytest.raises(PickledWeights, match=r"has only pickled weights \('adapter_model\.bin"):
        load(folder)


def test_a_configuration_does_not_choose_its_weights(folder):
    torch.save(load_file(folder / MODEL), folder / "adapter_model.bin")
    model = load(folder, device="cpu", dtype="float32").generate("Hello", 4).tokens
    config(transformers_weights="adapter_model.bin")(folder)
    assert load(folder, device="cpu", dtype="float32").generate("Hello", 4).tokens == model


def test_code_beside_the_weights_is_not_run(folder):
    (folder / "own.py").write_text("raise SystemExit('it ran')")
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate" / "generate.py").write_text("raise SystemExit('it ran')")
    auto = {
        "AutoConfig": "own.A",
        "AutoModelForCausalLM": "own.B",
        "AutoTokenizer": ["own.C", None],
    }
    for name in ("config.json", "tokenizer_config.json", "generation_config.json"):
        with_settings(name, auto_map=auto, custom_generate="own")(folder)
    try:
        assert load(folder, device="cpu", dtype="float32").generate("Hello", 2).tokens
    except ModelError:  # refused is as good
        pass
    for option in (True, False):
        with pytest.raises(ModelError, match="code that comes with a model is never run"):
            load(folder, trust_remote_code=option)


# Memory


def test_what_is_counted_is_what_is_made(folder):
    shutil.copy(folder / MODEL, folder / "consolidated.safetensors")
    model = load(folder, device="cpu", dtype="float32").model
    assert memory.count_parameters(folder) == model.num_parameters()


def test_settings_that_only_sound_like_layers_are_let_be(folder):
    config(max_window_layers=28, layer_norm_eps=1e-5, layerdrop=0.0)(folder)
    assert load(folder, device="cpu", dtype="float32").generate("Hello", 2).tokens


@pytest.mark.parametrize("layers", [12, 2_000, 2_000_000, 10**12])
def test_layers_are_not_built_to_be_counted(layers, folder, monkeypatch):
    config(num_hidden_layers=layers)(folder)
    monkeypatch.setattr("transformers.AutoConfig.from_pretrained", lambda *_, **__: 1 / 0)
    with pytest.raises(ModelError, match=rf"num_hidden_layers={layers}, and the weights hold 11"):
        load(folder)


def test_a_configuration_counts_where_it_is_larger_than_the_files(folder, monkeypatch):
    config(intermediate_size=5_000_000)(folder)
    monkeypatch.setattr(memory, "available_memory", lambda device: 2**30)
    with pytest.raises(NotEnoughMemory, match="600.09 million parameters"):
        load(folder, device="cpu", dtype="float32")


def test_a_sparse_file_is_refused_by_its_size(folder, monkeypatch):
    size = 2**40
    raw = json.dumps({"a": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}})
    with (folder / MODEL).open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw.encode())
        file.truncate(8 + len(raw) + size)
    with pytest.raises(NotEnoughMemory, match="274.9 billion parameters"):
        load(folder, device="cpu", dtype="float32")


def test_a_long_header_is_not_read(folder, monkeypatch):
    with (folder / MODEL).open("wb") as file:
        file.write(struct.pack("<Q", 2**33))
        file.truncate(2**34)
    with pytest.raises(ModelError, match="is not a safetensors file"):
        load(folder, device="cpu", dtype="float32")


# Names and options


@pytest.mark.parametrize(
    "options, told",
    [
        ({"tempeature": 1}, "no option 'tempeature'; did you mean 'temperature'"),
        ({"revision": "main"}, "no option 'revision'"),
        ({"torch_dtype": "float32"}, "no option 'torch_dtype'"),
    ],
)
def test_options_that_are_none_are_named_before_anything_is_opened(options, told, tmp_path):
    with pytest.raises(ModelError, match=told):
        load(tmp_path / "nowhere", **options)


@pytest.mark.parametrize(
    "name", ["a\0b", "x" * 5000, "~no-such-user-here/model", "a" * 300 + "/" + "b" * 300]
)
def test_names_that_are_no_names(name, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError) as told:
        load(name)
    assert len(str(told.value)) <= 400


@pytest.mark.parametrize("name", ["with space", "with'quote", "Übung", "line\nend"])
def test_odd_names_of_folders_load(name, folder):
    odd = folder.rename(folder.parent / name)
    assert load(odd, device="cpu", dtype="float32").generate("Hello", 2).tokens


@pytest.mark.parametrize("device", [None, "auto"])
def test_a_model_that_names_no_device_is_timed(device):
    from ensemble_lab.instruments.meter import clock_for

    clock = clock_for(device)
    clock.start()
    assert clock.stop() >= 0


# Drafts of one's own


@pytest.mark.parametrize(
    "data", [b"", b"1234567", b"<!doctype html>", struct.pack("<Q", 2) + b"{}"]
)
def test_broken_drafts_are_named(data, tmp_path):
    from ensemble_lab.tokens.drafts.head import FeatureHead
    from ensemble_lab.tokens.drafts.ngram import NgramTable

    path = tmp_path / "draft.safetensors"
    path.write_bytes(data)
    for kind in (FeatureHead, NgramTable):
        with pytest.raises(ModelError, match=r"draft\.safetensors"):
            kind.read(path)
    with pytest.raises(ModelError, match="cannot be read"):
        NgramTable.read(tmp_path / "gone")

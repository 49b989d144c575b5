"""Folders are read in every layout repositories use, and refused with a message of their own where they are
broken.
"""

import json
import shutil

import pytest

torch = pytest.importorskip("torch", reason="the gptq extra is not installed")

from safetensors.torch import load_file, save_file  # noqa: E402

from ragqa.errors import CheckpointError, EngineUnavailableError  # noqa: E402
from ragqa.gptq.checkpoint import open_checkpoint  # noqa: E402
from ragqa.gptq.configuration import find_folder  # noqa: E402
from ragqa.gptq.decoder import Decoder  # noqa: E402
from ragqa.gptq.model import LoadOptions, load_model  # noqa: E402
from ragqa.gptq.quantization import Quantization  # noqa: E402
from ragqa.gptq.standin import llama_config, make_random_llama  # noqa: E402
from tests.broken_checkpoints import BROKEN, LAYER, edit_json, edit_tensors  # noqa: E402

IDS = torch.arange(1, 20)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A small Llama in one file, act-order, two groups a layer of 64 columns."""
    folder = tmp_path_factory.mktemp("models") / "sound"
    make_random_llama(folder, llama_config(64, 128, 2, 2, 96), Quantization(group_size=32, sym=False))
    tensors = {}
    for path in folder.glob("model-*.safetensors"):
        tensors.update({name: one.clone() for name, one in load_file(path).items()})
        path.unlink()
    (folder / "model.safetensors.index.json").unlink()
    save_file(tensors, folder / "model.safetensors")
    return folder


@pytest.fixture
def folder(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "model")


def logits(folder, **options):
    model = load_model(open_checkpoint(folder), LoadOptions(dtype="float32", kernels="reference", **options))
    with torch.inference_mode():
        return model.module(IDS[None]).logits[0]


@pytest.fixture(scope="module")
def expected(sound):
    return logits(sound)


@pytest.mark.parametrize("name", BROKEN)
def test_broken_folders_are_refused_with_their_own_message(folder, name):
    breaking, message = BROKEN[name]
    breaking(folder)
    with pytest.raises(CheckpointError) as refused:
        load_model(open_checkpoint(folder), LoadOptions(rope_factor=8))
    assert message in str(refused.value)


def test_the_refusals_are_all_different():
    assert len({message for _, message in BROKEN.values()}) == len(BROKEN) >= 20


def test_the_sound_folder_is_not_refused(folder):
    assert load_model(open_checkpoint(folder), LoadOptions(rope_factor=8)).window == 16_384


def rename_weights(name):
    def apply(folder):
        (folder / "model.safetensors").rename(folder / name)
        edit_json("quantize_config.json", model_file_base_name=None)(folder)

    return apply


def basename(folder):
    (folder / "model.safetensors").rename(folder / "weights-4bit.safetensors")
    (folder / "other.safetensors").write_bytes(b"not the weights")
    edit_json("quantize_config.json", model_file_base_name="weights-4bit")(folder)


def shards(folder):
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    weight_map = {}
    for number, names in enumerate((sorted(tensors)[::2], sorted(tensors)[1::2]), 1):
        file = f"model-{number:05d}-of-00002.safetensors"
        save_file({name: tensors[name] for name in names}, folder / file)
        weight_map.update(dict.fromkeys(names, file))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def hub_snapshot(folder):
    """The hub's cache: a snapshot of links into the blobs of its repository."""
    blobs = folder.parent.parent / "blobs"
    blobs.mkdir()
    (folder / "model.safetensors").rename(blobs / "abc")
    (folder / "model.safetensors").symlink_to("../../blobs/abc")


@pytest.mark.parametrize("change", [
    rename_weights("gptq_model-4bit-32g.safetensors"),
    rename_weights("whatever-4bit.safetensors"),
    basename,
    shards,
    lambda folder: (folder / "quantize_config.json").unlink(),
    edit_json("config.json", quantization_config=None),
    edit_json("quantize_config.json", is_marlin_format=None, checkpoint_format=None, quant_method=None,
              static_groups=None, true_sequential=None, damp_percent=None, sym=None),
    edit_tensors(lambda tensors: tensors.update({f"{LAYER}.bias": torch.zeros(128, dtype=torch.float16)})),
    edit_tensors(lambda tensors: tensors.update(
        {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(16)})),
])  # fmt: skip
def test_layouts_that_repositories_use_load_alike(folder, expected, change):
    change(folder)
    assert torch.equal(logits(folder), expected)


def test_a_hub_snapshots_links_may_lead_to_its_blobs(sound, tmp_path, expected):
    folder = shutil.copytree(sound, tmp_path / "snapshots" / "0123")
    hub_snapshot(folder)
    assert torch.equal(logits(folder), expected)


@pytest.mark.parametrize(("bits", "group", "act_order", "sym"), [
    (4, 32, True, True), (4, 64, False, False), (4, 128, True, False), (4, -1, True, True),
    (8, 32, True, False),
])  # fmt: skip
def test_settings_of_every_kind_load_and_stay_near_the_reference(tmp_path, bits, group, act_order, sym):
    config = llama_config(128, 256, 1, 2, 64)
    quantization = Quantization(bits=bits, group_size=group, desc_act=act_order, sym=sym)
    folder = make_random_llama(tmp_path / "model", config, quantization)
    exact = logits(folder)
    found = load_model(open_checkpoint(folder), LoadOptions(dtype="float32"))
    with torch.inference_mode():
        near = found.module(IDS[None]).logits[0]
    assert float((near - exact).norm() / exact.norm()) <= 1e-2


@pytest.mark.parametrize("family", ["mistral", "qwen2"])
def test_sister_families_load(tmp_path, family):
    config = {**llama_config(64, 128, 1, 2, 64), "model_type": family, "use_sliding_window": False}
    folder = make_random_llama(tmp_path / "model", config, Quantization(group_size=32))
    assert bool(torch.isfinite(logits(folder)).all())
    assert ("model.layers.0.self_attn.q_proj.bias" in open_checkpoint(folder).tensors) == (family == "qwen2")


def test_a_tied_head_needs_no_tensor_of_its_own(tmp_path):
    config = {**llama_config(64, 128, 1, 2, 64), "tie_word_embeddings": True}
    folder = make_random_llama(tmp_path / "model", config, Quantization(group_size=32))
    model = load_model(open_checkpoint(folder))
    assert model.module.lm_head.weight.data_ptr() == model.module.model.embed_tokens.weight.data_ptr()


def test_a_device_map_that_forgets_a_layer_is_refused(folder):
    places = {"model.layers.0": "cpu", "model.embed_tokens": "cpu", "model.norm": "cpu", "lm_head": "cpu"}
    with pytest.raises(CheckpointError, match=r"says nothing of model\.layers\.1"):
        load_model(open_checkpoint(folder), LoadOptions(device_map=places))


def test_a_device_map_over_the_cpu_gives_the_same(folder, expected):
    places = {"model.embed_tokens": "cpu", "model.layers": "cpu", "model.norm": "cpu", "lm_head": "cpu"}
    assert torch.equal(logits(folder, device_map=places), expected)


@pytest.mark.parametrize(
    ("place", "told"), [("cuda:99", "no device cuda:99 here.*on the CPU"), ("gpu", "'gpu' is no device")]
)
def test_a_device_that_is_not_there_is_named(folder, place, told):
    with pytest.raises(EngineUnavailableError, match=told):
        load_model(open_checkpoint(folder), LoadOptions(device_map=place))


def test_device_map_auto_gives_the_same_where_there_is_no_card(folder, expected):
    pytest.importorskip("accelerate")
    if torch.cuda.is_available():
        pytest.skip("a card computes other roundings")
    assert torch.equal(logits(folder, device_map="auto"), expected)


def test_layers_on_a_second_device_get_their_weights_cache_and_states_there(folder, monkeypatch):
    """The device "meta" stands in for a card: it computes nothing, but refuses what lies elsewhere."""
    monkeypatch.setattr("ragqa.gptq.placing.UNUSABLE", ())
    places = {"": "meta", "model.embed_tokens": "cpu", "model.layers.0": "cpu"}
    loaded = load_model(open_checkpoint(folder), LoadOptions(device_map=places))
    decoder = Decoder(loaded, chunk=8)
    cache = decoder.new_cache(24)
    for ids in (IDS, IDS[:1]):
        assert decoder.hidden(ids, cache).device.type == "meta"
    assert [one.device.type for one in (*cache.keys, *cache.values)] == ["cpu", "meta"] * 2
    assert loaded.module.model.layers[1].mlp.down_proj.qweight.device.type == "meta"
    assert cache.length == 20


def test_a_hub_id_takes_the_revision_behind_its_at_sign(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda name, **options: asked.append((name, options)) or tmp_path
    )
    assert find_folder("owner/name@4f0c") == tmp_path
    assert find_folder("owner/name@4f0c", "beef") == tmp_path
    assert find_folder("owner/name") == tmp_path
    assert [(name, options["revision"]) for name, options in asked] == [
        ("owner/name", "4f0c"), ("owner/name", "beef"), ("owner/name", None),
    ]  # fmt: skip


def test_names_that_are_neither_folder_nor_hub_id_are_refused():
    with pytest.raises(CheckpointError, match="no hub id"):
        find_folder("../../etc/passwd/x")


def test_a_hub_model_that_is_not_in_the_cache_offline_names_the_way_out(tmp_path):
    import os
    import subprocess
    import sys

    code = (
        "from ragqa.gptq.configuration import find_folder\n"
        "from ragqa.errors import EngineUnavailableError\n"
        "try: find_folder('nobody/nothing', 'abc')\n"
        "except EngineUnavailableError as error: print(error)\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert "nobody/nothing is not in the cache" in done.stdout
    assert issubclass(EngineUnavailableError, Exception)

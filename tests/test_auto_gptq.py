"""Our arithmetic against auto-gptq's, on the same folders. Skips where its environment is absent."""

import json
import subprocess
from pathlib import Path

import pytest
import torch

from ragqa.errors import CheckpointError, EngineUnavailableError, RagqaError
from ragqa.gptq.checkpoint import open_checkpoint
from ragqa.gptq.decoder import Decoder
from ragqa.gptq.dense import load_dense
from ragqa.gptq.model import LoadOptions, load_model, scaled_config
from ragqa.gptq.quantization import Quantization
from ragqa.gptq.quantize import QuantizeOptions, quantize
from ragqa.gptq.refusing import log_odds
from ragqa.gptq.smollm2 import cached_gguf
from ragqa.gptq.source import portable_config
from ragqa.gptq.standin import llama_config, make_random_llama, make_stand_in
from ragqa.llm.auto_gptq import RemoteDecoder, Worker, worker_python
from ragqa.llm.engine import GenerationOptions
from ragqa.llm.environment import VARIABLE
from ragqa.llm.gptq import Arithmetic, in_process, open_gptq_engine
from ragqa.types import Prompt
from tests.gptq_models import make_dense

TOLERANCE = 1e-3
NEW_TOKENS = 64


def environment_is_there() -> bool:
    try:
        worker_python()
    except EngineUnavailableError:
        return False
    return True


needs_environment = pytest.mark.skipif(not environment_is_there(), reason="no auto-gptq: make auto-gptq")


@pytest.fixture(scope="module")
def random_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = {**llama_config(256, 512, 2, 2, 1024), "rope_scaling": {"type": "linear", "factor": 2.0}}
    return make_random_llama(tmp_path_factory.mktemp("random"), config, Quantization(sym=False))


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if cached_gguf() is None:
        pytest.skip("SmolLM2's weights are not in the cache: ragqa.gptq.smollm2.fetch_gguf")
    return make_stand_in(tmp_path_factory.mktemp("smollm2"))


@pytest.fixture(scope="module")
def tied_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = {**llama_config(128, 256, 2, 2, 512), "tie_word_embeddings": True}
    return make_random_llama(tmp_path_factory.mktemp("tied"), config, Quantization(desc_act=False))


def open_worker(folder: Path, options: LoadOptions) -> Worker:
    checkpoint = open_checkpoint(folder)
    return Worker(checkpoint, scaled_config(checkpoint.config, options))


def greedy(decoder: Decoder | RemoteDecoder, prompt: torch.Tensor) -> list[int]:
    cache = decoder.new_cache(len(prompt) + NEW_TOKENS)
    logits, written = decoder.logits(prompt, cache), []
    for _ in range(NEW_TOKENS):
        written.append(int(logits.argmax()))
        logits = decoder.logits(torch.tensor(written[-1:]), cache)
    return written


def assert_parity(folder: Path, options: LoadOptions) -> None:
    loaded = load_model(open_checkpoint(folder), options)
    prompt = torch.randint(3, loaded.config.vocab_size, (96,), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ours = loaded.module(prompt.unsqueeze(0)).logits[0]
    with open_worker(folder, options) as worker:
        theirs = worker.logits(prompt, 0, everything=True)
        assert ours.shape == theirs.shape
        assert float((ours - theirs).abs().max()) <= TOLERANCE
        window = loaded.window
        assert greedy(Decoder(loaded), prompt) == greedy(RemoteDecoder(worker, window), prompt)


@needs_environment
def test_logits_and_greedy_tokens_agree_on_an_act_order_llama(random_llama: Path) -> None:
    assert open_checkpoint(random_llama).quantization == Quantization(sym=False)
    assert_parity(random_llama, LoadOptions(dtype="float32"))


@needs_environment
def test_logits_and_greedy_tokens_agree_on_smollm2(smollm2: Path) -> None:
    assert_parity(smollm2, LoadOptions(dtype="float32"))


@needs_environment
def test_tied_embeddings_and_a_factor_that_only_the_caller_knows_reach_both_sides(tied_llama: Path) -> None:
    """auto-gptq alone would run a tied model on uninitialised embeddings, and any model unscaled."""
    assert_parity(tied_llama, LoadOptions(dtype="float32", rope_factor=4.0))


@needs_environment
def test_the_worker_refuses_remote_code_before_auto_gptq_sees_it(random_llama: Path, tmp_path: Path) -> None:
    config = json.loads((random_llama / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoConfig": "evil.Config"}}))
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with open_worker(random_llama, LoadOptions()) as worker:
        for _ in range(2):
            with pytest.raises(CheckpointError, match=r"evil\.py|auto_map"):
                worker.ask(op="load", folder=str(tmp_path), dtype="float32")
            (tmp_path / "evil.py").unlink(missing_ok=True)
        assert not (tmp_path / "ran").exists()
        assert worker.logits(torch.tensor([3, 4]), 0).shape == (1, 1024)


@needs_environment
def test_a_dead_worker_is_an_error_with_its_last_words(random_llama: Path) -> None:
    with open_worker(random_llama, LoadOptions()) as worker:
        worker._process.kill()
        worker._process.wait()
        with pytest.raises(RagqaError, match="worker ended"):
            worker.logits(torch.tensor([3]), 0)


@needs_environment
def test_what_decides_between_answer_and_refusal_is_the_same_on_both_sides(random_llama: Path) -> None:
    """Reading on, and going back to where the prompt ended, twice."""
    options = LoadOptions(dtype="float32")
    ours, remote = (
        open_it(open_checkpoint(random_llama), options) for open_it in (in_process, RemoteDecoder.open)
    )
    try:
        odds = []
        for decoder in (ours, remote):
            cache = decoder.new_cache(16)
            logits = decoder.logits(torch.tensor([3, 4, 5]), cache)
            odds += [log_odds(decoder, cache, logits, first) for first in ((7, 8, 9), (10, 11))]
            assert cache.length == 3
    finally:
        remote.worker.close()
    assert odds[:2] == pytest.approx(odds[2:], abs=TOLERANCE)


@needs_environment
def test_the_engine_writes_what_our_own_decoder_writes(smollm2: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(smollm2, local_files_only=True)
    options = LoadOptions(dtype="float32")
    arithmetic = Arithmetic("auto-gptq", RemoteDecoder.open)
    engine = open_gptq_engine(str(smollm2), options, arithmetic=arithmetic)
    try:
        ids = tuple(tokenizer("The capital of France is")["input_ids"])
        shown: list[str] = []
        prompt = Prompt("?", "", ids, (), (), engine.window)
        generation = engine.generate(prompt, GenerationOptions(max_tokens=8), shown.append)
    finally:
        engine.decoder.worker.close()
    loaded = load_model(open_checkpoint(smollm2), LoadOptions(dtype="float32", kernels="reference"))
    ours = greedy(Decoder(loaded), torch.tensor(ids))[: generation.tokens]
    assert generation.text == tokenizer.decode(ours) == "".join(shown)


def test_a_missing_environment_names_the_command_that_builds_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "python"))
    with pytest.raises(EngineUnavailableError, match="make auto-gptq"):
        worker_python()


def test_old_readers_are_told_base_and_factor_in_their_own_spelling() -> None:
    written = portable_config(
        {
            "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 100000.0},
            "dtype": "float32",
        }
    )
    assert written == {"rope_theta": 100000.0, "rope_scaling": {"rope_type": "linear", "factor": 2.0}}
    assert portable_config({"rope_theta": 5000.0})["rope_theta"] == 5000.0


@needs_environment
@pytest.mark.parametrize(("desc_act", "sym"), [(True, False), (False, True)])
def test_what_auto_gptq_quantized_itself_loads_here_and_gives_its_logits(
    desc_act: bool, sym: bool, tmp_path: Path
) -> None:
    """Its quantizer, its packing, its file; only the two places that name a CUDA card are set aside."""
    dense = make_dense(tmp_path / "dense", hidden_size=128, intermediate_size=256)
    out = tmp_path / "out"
    script = Path(__file__).with_name("auto_gptq_quantizer.py")
    command = [worker_python(), "-P", script, dense, out, "64", str(desc_act), str(sym)]
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
    checkpoint = open_checkpoint(out)
    assert checkpoint.quantization == Quantization(4, 64, desc_act=desc_act, sym=sym)
    assert len(checkpoint.quantized_layers) == 14
    assert_parity(out, LoadOptions(dtype="float32"))
    full = load_dense(dense).module
    ids = torch.randint(3, 320, (1, 96), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        near = load_model(checkpoint, LoadOptions(dtype="float32")).module(ids).logits
        wanted = full(ids).logits
    assert float((near - wanted).norm() / wanted.norm()) < 0.6  # unrelated weights give 1.4
    assert_same_layout(out, dense, desc_act=desc_act, sym=sym)


def assert_same_layout(theirs: Path, dense: Path, *, desc_act: bool, sym: bool) -> None:
    """The same model quantized here has their names, shapes and kinds, and groups as large as theirs.

    auto-gptq adds a bias of zeros to each matrix of a model that has none.
    """
    ours = theirs.with_name("ours")
    options = QuantizeOptions(group_size=64, desc_act=desc_act, symmetric=sym, samples=4, sample_tokens=128)
    quantize(dense, ours, options)
    pair = open_checkpoint(theirs), open_checkpoint(ours)
    shapes = [{name: info.shape for name, info in one.tensors.items()} for one in pair]
    added = shapes[0].keys() - shapes[1].keys()
    assert added == {f"{name}.bias" for name in pair[0].quantized_layers}
    assert not any(pair[0].tensor(name).any() for name in added)
    assert {name: shape for name, shape in shapes[0].items() if name not in added} == shapes[1]
    assert pair[0].quantized_layers == pair[1].quantized_layers
    for one in pair:
        for name in one.quantized_layers:
            index = one.tensor(f"{name}.g_idx")
            assert one.tensor(f"{name}.qweight").dtype == one.tensor(f"{name}.qzeros").dtype == index.dtype
            assert torch.bincount(index).tolist() == [64] * (len(index) // 64)
            assert desc_act or index.tolist() == sorted(index.tolist())
        assert any(one.tensor(f"{name}.g_idx").diff().min() < 0 for name in one.quantized_layers) == desc_act

"""The lean decoder gives what transformers' own forward pass gives.

Text comes out whole, stopped where it should.
"""

import pytest

torch = pytest.importorskip("torch", reason="the gptq extra is not installed")

from ragqa.errors import RagqaError  # noqa: E402
from ragqa.gptq import decoder as decoder_module  # noqa: E402
from ragqa.gptq import linear  # noqa: E402
from ragqa.gptq.checkpoint import open_checkpoint  # noqa: E402
from ragqa.gptq.decoder import Decoder  # noqa: E402
from ragqa.gptq.generate import Rules, Sampling, TextStream, choose, continue_text  # noqa: E402
from ragqa.gptq.model import LoadOptions, load_model  # noqa: E402
from ragqa.gptq.quantization import Quantization  # noqa: E402
from ragqa.gptq.standin import llama_config, make_random_llama  # noqa: E402

IDS = torch.randint(3, 200, (70,), generator=torch.Generator().manual_seed(0))


class Words:
    """A tokenizer of bytes: id 3 + b stands for byte b."""

    def decode(self, ids, **_options):
        return bytes(one - 3 for one in ids if one >= 3).decode("utf-8", errors="replace")

    def ids(self, text):
        return [3 + one for one in text.encode()]


def model(folder, family="llama", **changes):
    config = {**llama_config(128, 256, 2, 4, 259), "num_key_value_heads": 2, "model_type": family, **changes}
    return make_random_llama(folder, config, Quantization(group_size=32, sym=False))


def load(folder, **options):
    return load_model(
        open_checkpoint(folder), LoadOptions(**{"dtype": "float32", "kernels": "reference", **options})
    )


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return load(model(tmp_path_factory.mktemp("model") / "llama"))


@torch.inference_mode()
def reference(loaded):
    return loaded.module(IDS[None]).logits[0]


@pytest.mark.parametrize("family", ["llama", "qwen2", "mistral"])
@pytest.mark.parametrize("chunk", [7, 64])
def test_chunked_prefill_and_decoding_equal_transformers_full_pass(tmp_path, family, chunk):
    loaded = load(model(tmp_path / "model", family), rope_factor=8)
    decoder = Decoder(loaded, chunk)
    cache = decoder.new_cache(70)
    found = [decoder.logits(IDS[:60], cache)] + [decoder.logits(IDS[i : i + 1], cache) for i in range(60, 70)]
    assert cache.length == 70
    assert torch.allclose(torch.stack(found), reference(loaded)[59:], atol=1e-5)


def test_a_sliding_window_hides_what_transformers_hides(tmp_path):
    loaded = load(model(tmp_path / "model", "mistral", sliding_window=16))
    decoder = Decoder(loaded, 10)
    cache = decoder.new_cache(70)
    found = [decoder.logits(IDS[:40], cache), decoder.logits(IDS[40:41], cache)]
    assert torch.allclose(torch.stack(found), reference(loaded)[39:41], atol=1e-5)


@pytest.mark.parametrize("scaling", [
    {"rope_type": "dynamic", "factor": 4.0}, {"rope_type": "yarn", "factor": 4.0},
    {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
     "original_max_position_embeddings": 32},
])  # fmt: skip
def test_scalings_that_transformers_knows_pass_through(tmp_path, scaling):
    loaded = load(model(tmp_path / "model", rope_scaling=scaling, max_position_embeddings=512))
    decoder = Decoder(loaded)
    assert torch.allclose(decoder.logits(IDS, decoder.new_cache(70)), reference(loaded)[-1], atol=1e-5)


def test_bf16_with_kernels_stays_near_fp32(loaded, tmp_path):
    near = load(model(tmp_path / "model"), dtype="auto", kernels="auto")
    assert near.dtype == torch.bfloat16
    decoder = Decoder(near)
    cache = decoder.new_cache(70)
    assert cache.keys[0].dtype == torch.bfloat16
    found = decoder.logits(IDS, cache)
    exact = reference(loaded)[-1]
    assert found.dtype == torch.float32
    assert float((found - exact).norm() / exact.norm()) < 0.05


@pytest.mark.parametrize("family", ["llama", "mistral"])
@pytest.mark.parametrize("product", [torch.float32, torch.bfloat16])
def test_tokens_one_by_one_equal_all_at_once(tmp_path, monkeypatch, family, product):
    """The loops of single tokens against the prefill: the same weights and the same bf16 cache, on
    processors that multiply bf16 and on those that do not.
    """
    for module in (decoder_module, linear):
        monkeypatch.setattr(module, "product_dtype", lambda _: product)
    sliding = {"sliding_window": 16} if family == "mistral" else {}
    decoder = Decoder(load(model(tmp_path / "model", family, **sliding), dtype="auto", kernels="auto"))
    together, alone = decoder.new_cache(70), decoder.new_cache(70)
    expected = decoder.logits(IDS[:40], together)
    found = [decoder.logits(IDS[i : i + 1], alone) for i in range(40)][-1]
    assert float((found - expected).norm() / expected.norm()) < 0.02


def test_a_quantized_model_stays_small(tmp_path):
    """Codes at half a byte, scales and zeros: well under 0.40 of bf16, the tables of tokens included."""
    loaded = load(model(tmp_path / "model"), dtype="auto", kernels="auto")
    Decoder(loaded).logits(IDS[:1], Decoder(loaded).new_cache(4))
    plain = 2 * sum(one.numel() for one in loaded.module.parameters())
    layers = 2 * 2 * (128 * 128 * 2 + 128 * 64 * 2 + 3 * 128 * 256)
    assert loaded.resident_bytes - plain < 0.40 * layers


def test_the_cache_refuses_what_does_not_fit(loaded):
    decoder = Decoder(loaded)
    with pytest.raises(RagqaError, match="window is 2048"):
        decoder.new_cache(2049)
    with pytest.raises(RagqaError, match="do not fit"):
        decoder.logits(IDS, decoder.new_cache(69))


def test_values_that_are_not_finite_are_an_error(tmp_path):
    broken = load(model(tmp_path / "model"))
    broken.module.model.norm.weight.data[0] = float("nan")
    decoder = Decoder(broken)
    with pytest.raises(RagqaError, match="not finite"):
        decoder.logits(IDS, decoder.new_cache(70))


def run(loaded, sampling, ends=frozenset(), stops=(), on_text=lambda _piece: None):
    return continue_text(Decoder(loaded), Words(), IDS.tolist(), Rules(sampling, ends, stops), on_text)


def test_greedy_takes_the_likeliest_of_transformers(loaded):
    ids = IDS
    for _ in range(6):
        with torch.inference_mode():
            ids = torch.cat((ids, loaded.module(ids[None]).logits[0, -1].argmax().reshape(1)))
    found = run(loaded, Sampling(max_tokens=6))
    assert found.ids == tuple(ids[70:].tolist())
    assert found.stopped == "length"


def test_an_end_token_ends_and_is_not_shown(loaded):
    first = run(loaded, Sampling(max_tokens=4)).ids
    ended = run(loaded, Sampling(max_tokens=4), ends=frozenset({first[2]}))
    assert ended.stopped == "end"
    assert ended.ids == first[: first.index(first[2])]


def test_sampling_repeats_with_its_seed_and_only_with_it(loaded):
    draws = [run(loaded, Sampling(max_tokens=12, temperature=1.5, seed=seed)).ids for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def test_top_p_keeps_the_smallest_set_that_holds_it():
    logits = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05]))
    chooser = torch.Generator().manual_seed(0)
    drawn = {choose(logits, Sampling(temperature=1.0, top_p=0.7), chooser) for _ in range(200)}
    assert drawn == {0, 1}
    assert {choose(logits, Sampling(temperature=1.0, top_p=0.0), chooser) for _ in range(20)} == {0}


def test_ctrl_c_shows_what_there_is_and_is_no_answer(loaded):
    pieces = []

    def interrupt(piece):
        pieces.append(piece)
        if len(pieces) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(loaded, Sampling(max_tokens=50), on_text=interrupt)
    assert len(pieces) >= 2


def test_the_window_ends_an_answer(tmp_path):
    small = load(model(tmp_path / "model", max_position_embeddings=72))
    found = run(small, Sampling(max_tokens=50))
    assert (len(found.ids), found.stopped) == (2, "length")


@pytest.mark.parametrize(("text", "stops", "shown", "stopped"), [
    ("naïve 🙂 日本語", (), "naïve 🙂 日本語", False),
    ("Blue.\nUSER: next", ("USER:",), "Blue.\n", True),
    ("US USE USES", ("USER:",), "US USE USES", False),
    ("ab🙂cd", ("🙂",), "ab", True),
    ("one two three", ("three", "two"), "one ", True),
    ("aab", ("ab",), "a", True),
])  # fmt: skip
def test_streams_show_whole_characters_and_never_a_stop_string(text, stops, shown, stopped):
    words, pieces = Words(), []
    stream = TextStream(words, stops, pieces.append)
    assert any(stream.push(one) for one in words.ids(text)) == stopped
    assert stream.finish() == shown == "".join(pieces)


def test_bytes_that_never_become_a_character_do_not_hold_the_stream():
    pieces = []
    stream = TextStream(Words(), (), pieces.append)
    for _ in range(20):
        stream.push(3 + 0x9F)
    assert len("".join(pieces)) >= 8


def test_bytes_that_stay_torn_are_shown_at_the_end():
    pieces = []
    stream = TextStream(Words(), (), pieces.append)
    for one in (3 + ord("a"), 3 + 0xF0, 3 + 0x9F):
        stream.push(one)
    assert stream.finish() == "".join(pieces) == "a\ufffd"

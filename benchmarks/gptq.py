"""Speed and size of the GPTQ model against dense models in transformers, in one run.

    python benchmarks/gptq.py smollm2 [--threads N] [--rounds N] [--lengths 512,2048]
    python benchmarks/gptq.py 1b      [--layers N] [--against bf16] [--no-decode] [--folder DIR] and the same
    python benchmarks/gptq.py long INDEX --model FOLDER [--tokens 16200] [--question TEXT]
    python benchmarks/gptq.py crossover

Every round times all variants one after another, so that other work on the machine weighs on all of them; the
figures are medians over the rounds, of seconds and of the ratios within a round. Dense models hold the same
weights, dequantized. CUDA is not measured: there was no card.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ragqa.gptq.checkpoint import open_checkpoint
from ragqa.gptq.decoder import Decoder
from ragqa.gptq.linear import GptqLinear, TiledLinear, gptq_linear
from ragqa.gptq.model import LoadedModel, build_empty, load_model
from ragqa.gptq.packing import dequantize
from ragqa.gptq.quantization import Quantization
from ragqa.gptq.rope import normalise_rope
from ragqa.gptq.standin import llama_config, make_random_llama, make_stand_in, random_layer

DECODED = 24
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
clock = time.perf_counter
Timer = Callable[[int], float]


def dense_model(folder: Path, dtype: torch.dtype) -> Any:
    """transformers' own model of the same weights, in `dtype`."""
    checkpoint = open_checkpoint(folder)
    module = build_empty(normalise_rope({**checkpoint.config, "quantization_config": None}))
    state: dict[str, Tensor] = {}
    for layer in checkpoint.quantized_layers:
        state[f"{layer}.weight"] = dequantize(checkpoint.packed(layer), dtype)
    for name in checkpoint.tensors:
        if name.rpartition(".")[0] not in checkpoint.quantized_layers or name.endswith(".bias"):
            state[name] = checkpoint.tensor(name).to(dtype)
    tied = bool(checkpoint.config.get("tie_word_embeddings"))
    if tied:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    module.load_state_dict(state, assign=True, strict=True)
    if tied:
        module.lm_head.weight = module.model.embed_tokens.weight
    module.model.rotary_emb = type(module.model.rotary_emb)(module.config)
    return module.eval()


def dense_timers(module: Any, ids: Tensor) -> tuple[Timer, Timer]:
    """Seconds of a prefill of n tokens, and a token of decoding behind n tokens, with transformers' own
    cache.
    """
    from transformers import DynamicCache

    @torch.inference_mode()
    def prefill(length: int) -> float:
        started = clock()
        module(ids[None, :length], past_key_values=DynamicCache(config=module.config), logits_to_keep=1)
        return clock() - started

    @torch.inference_mode()
    def decode(length: int) -> float:
        cache = DynamicCache(config=module.config)
        token = module(ids[None, :length], past_key_values=cache, logits_to_keep=1).logits[:, -1].argmax(-1)
        started = clock()
        for _ in range(DECODED):
            token = module(token[None], past_key_values=cache, logits_to_keep=1).logits[:, -1].argmax(-1)
        return (clock() - started) / DECODED

    return prefill, decode


def our_timers(model: LoadedModel, ids: Tensor) -> tuple[Timer, Timer]:
    """The same of our decoder."""
    decoder = Decoder(model)

    def prefill(length: int) -> float:
        started = clock()
        decoder.logits(ids[:length], decoder.new_cache(length))
        return clock() - started

    def decode(length: int) -> float:
        cache = decoder.new_cache(length + DECODED)
        logits = decoder.logits(ids[:length], cache)
        started = clock()
        for _ in range(DECODED):
            logits = decoder.logits(logits.argmax().reshape(1), cache)
        return (clock() - started) / DECODED

    return prefill, decode


def compare(
    folder: Path, against: list[str], rounds: int, lengths: list[int], *, slow: bool, decoding: bool
) -> None:
    """Print seconds, tokens a second and ratios for one folder, and dense models of the types `against`."""
    ids = torch.randint(5, 30_000, (max([*lengths, 64]),), generator=torch.Generator().manual_seed(0))
    ours = load_model(open_checkpoint(folder))
    dense = {f"dense {name}": dense_model(folder, TYPES[name]) for name in against}
    timers = {name: dense_timers(module, ids) for name, module in dense.items()}
    timers["gptq"] = our_timers(ours, ids)
    for _, decode in timers.values() if decoding else ():
        decode(16)
    if decoding:
        report("decode behind 64", {name: pair[1] for name, pair in timers.items()}, 64, 1, rounds)
    for length in lengths:
        left_out = "dense fp32" if slow and length > 512 else None
        report(
            f"prefill {length}",
            {name: pair[0] for name, pair in timers.items() if name != left_out},
            length,
            length,
            1 if slow else rounds,
        )
    half = 2 * sum(
        one.numel() for one in {id(p): p for p in next(iter(dense.values())).parameters()}.values()
    )
    print(
        f"weights: {ours.resident_bytes / 1e6:.0f} MB, dense bf16 {half / 1e6:.0f} MB, "
        f"ratio {ours.resident_bytes / half:.3f}; gptq computes in {ours.dtype}"
    )


def report(what: str, timers: dict[str, Timer], argument: int, tokens: int, rounds: int) -> None:
    seconds: list[dict[str, float]] = []
    for _ in range(rounds):
        seconds.append({})
        for name, timer in timers.items():
            seconds[-1][name] = timer(argument)
            print(f"{what} {name}: {seconds[-1][name]:.4f} s", file=sys.stderr, flush=True)
    for name in timers:
        median = statistics.median(one[name] for one in seconds)
        print(f"{what:>18} {name:>10}: {median:9.4f} s, {tokens / median:8.1f} tokens/s", flush=True)
    for other in [name for name in timers if name != "gptq"]:
        ratios = [one[other] / one["gptq"] for one in seconds]
        print(
            f"{what:>18} gptq is {statistics.median(ratios):.2f} x {other} "
            f"({min(ratios):.2f} … {max(ratios):.2f})",
            flush=True,
        )


def long_prompt(index: Path, model: str, question: str, tokens: int) -> None:
    """Seconds and peak memory of one question whose prompt `ask`'s own retriever and packing fill.

    A model whose scaling gives the window but that was never proven on it is allowed.
    """
    import resource

    from ragqa.settings import AnswerSettings, RetrievalSettings
    from ragqa.wiring import EngineChoice, open_answerer

    retrieval = RetrievalSettings(candidates=400, top_k=200, max_blocks=100)
    answering = AnswerSettings(context_tokens=tokens, max_answer_tokens=64)
    with open_answerer(index, EngineChoice("gptq", model, True), retrieval, answering) as answerer:
        started, first = clock(), []
        answer = answerer.ask(question, on_text=lambda _piece: first.append(clock()))
        ended = clock()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    assert answer.prompt is not None
    assert answer.generation is not None
    begun, prompt, written = (first or [ended])[0], answer.prompt, answer.generation
    print(
        f"{len(prompt.token_ids)} tokens in {len(prompt.blocks)} blocks, window {answer.window}: "
        f"{begun - started:.0f} s to the first text, {ended - begun:.1f} s for {written.tokens} tokens, "
        f"peak memory {peak:.0f} MB\n{written.text}"
    )


def crossover() -> None:
    """Milliseconds of one layer by input rows: packed or dequantized, compiled or by torch's operators."""
    draw = torch.Generator().manual_seed(0)
    for inputs, outputs, group in ((576, 3072, 64), (1536, 576, 64), (2048, 4096, 128), (5632, 2048, 128)):
        packed = random_layer(inputs, outputs, Quantization(group_size=group), draw, torch.randperm(inputs))
        tiled = gptq_linear(packed, None, torch.device("cpu")).layer
        assert isinstance(tiled, TiledLinear)
        weight = GptqLinear(packed).dequantized()
        for rows in (1, 4, 8, 16, 24, 32, 48, 64, 512):
            states = torch.randn(rows, inputs)
            figures = {}
            for name, longest, loops in (
                ("compiled product", rows, tiled.loops),
                ("compiled dequantizing", 0, tiled.loops),
                ("torch's int4", rows, None),
                ("torch's dequantizing", 0, None),
            ):
                layer = TiledLinear(tiled.weights, loops=loops)
                layer.longest_packed = longest
                figures[name] = best(lambda layer=layer, states=states: layer(states))
            figures["dense fp32"] = best(
                lambda weight=weight, states=states: functional.linear(states, weight)
            )
            print(
                f"{inputs:>5} x {outputs:>5}, {rows:>3} rows: "
                + ", ".join(f"{name} {value * 1e3:.2f} ms" for name, value in figures.items()),
                flush=True,
            )


def best(run: Callable[[], Any]) -> float:
    """Seconds of the fastest of seven runs."""
    run()
    seconds = []
    for _ in range(7):
        started = clock()
        run()
        seconds.append(clock() - started)
    return min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["smollm2", "1b", "long", "crossover"])
    parser.add_argument("index", type=Path, nargs="?", help="what the long prompt is packed from")
    parser.add_argument("--model", default="smollm2-135m", help="for the long prompt")
    parser.add_argument("--question", default="How many days of holiday do I get per year?")
    parser.add_argument("--tokens", type=int, default=16_200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lengths", default="512,2048")
    parser.add_argument(
        "--layers", type=int, default=18, help="decoder layers of the random Llama; 18 make 1.06B"
    )
    parser.add_argument("--against", default="fp32,bf16", help="types of the dense models; each is loaded")
    parser.add_argument("--no-decode", dest="decoding", action="store_false", help="prefill alone")
    parser.add_argument("--folder", type=Path, help="where the random Llama is made, and kept")
    parser.add_argument(
        "--cpu-time", action="store_true", help="processor seconds, where others use the machine"
    )
    arguments = parser.parse_args()
    if arguments.cpu_time:
        global clock
        clock = time.process_time
    torch.set_num_threads(arguments.threads)
    lengths = [int(one) for one in arguments.lengths.split(",") if one]
    if arguments.what == "crossover":
        crossover()
        return
    if arguments.what == "long":
        long_prompt(arguments.index, arguments.model, arguments.question, arguments.tokens)
        return
    against = arguments.against.split(",")
    with tempfile.TemporaryDirectory() as work:
        if arguments.what == "smollm2":
            folder = make_stand_in(Path(work) / "smollm2")
            compare(folder, against, arguments.rounds, lengths, slow=False, decoding=arguments.decoding)
            return
        folder = arguments.folder or Path(work) / "llama"
        if not (folder / "config.json").is_file():
            config = llama_config(2048, 5632, arguments.layers, 32, 32_000)
            make_random_llama(folder, config, Quantization(sym=False))
        compare(folder, against, arguments.rounds, lengths, slow=True, decoding=arguments.decoding)


if __name__ == "__main__":
    main()

"""Does the packed product choose the tokens that dequantized weights choose?

    python benchmarks/greedy.py FOLDER [--prompts 50] [--tokens 32] [--text FILE]

Both models read the same prompts and the same continuation, the one that dequantized weights write greedily.
Where the packed model would have written another token, the lead of the reference's token over that one is
printed, in nats of the reference: a near-tie is a small one. A prompt without a difference has the same
greedy tokens.
"""

import argparse
import statistics
from pathlib import Path

import torch

from ragqa.gptq.checkpoint import open_checkpoint
from ragqa.gptq.decoder import Decoder
from ragqa.gptq.linear import TiledLinear
from ragqa.gptq.model import LoadOptions, load_model
from ragqa.llm.gptq import read_tokenizer

CALIBRATION = Path(__file__).parent.parent / "ragqa" / "assets" / "calibration.txt"
PROMPT_TOKENS = 48


def without_loops(decoder: Decoder) -> Decoder:
    """The same with torch's int4 kernel in place of the compiled loops."""
    for layer in decoder.model.module.model.layers:
        fused = (getattr(layer.self_attn, "fused", None), getattr(layer.mlp, "fused", None))
        for one in (*layer.modules(), *fused):
            if isinstance(one, TiledLinear):
                one.loops = None
    return decoder


def differences(decoders: dict[str, Decoder], prompt: list[int], tokens: int) -> dict[str, list[float]]:
    """Leads by name, one for each token on which a model differs from `dequantized`; under `lead` the lead of
    each of the reference's tokens over its second.
    """
    found: dict[str, list[float]] = {name: [] for name in (*decoders, "lead")}
    caches = {name: decoder.new_cache(len(prompt) + tokens) for name, decoder in decoders.items()}
    unread = torch.tensor(prompt)
    for _ in range(tokens):
        logits = {name: decoder.logits(unread, caches[name]) for name, decoder in decoders.items()}
        exact = logits["dequantized"]
        best = exact.topk(2)
        found["lead"].append(float(best.values[0] - best.values[1]))
        for name, one in logits.items():
            if int(one.argmax()) != int(best.indices[0]):
                found[name].append(float(best.values[0] - exact[one.argmax()]))
        unread = best.indices[:1]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--prompts", type=int, default=50)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--text", type=Path, default=CALIBRATION)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    checkpoint = open_checkpoint(arguments.folder)
    decoders = {
        "dequantized": Decoder(load_model(checkpoint, LoadOptions(kernels="reference"))),
        "compiled": Decoder(load_model(checkpoint)),
        "torch's int4": without_loops(Decoder(load_model(checkpoint))),
    }
    ids = read_tokenizer(arguments.folder)(arguments.text.read_text(encoding="utf-8"))["input_ids"]
    step = (len(ids) - PROMPT_TOKENS) // arguments.prompts
    results = [
        differences(decoders, ids[start * step : start * step + PROMPT_TOKENS], arguments.tokens)
        for start in range(arguments.prompts)
    ]
    leads = [lead for one in results for lead in one["lead"]]
    print(f"{arguments.prompts} prompts of {PROMPT_TOKENS} tokens, {len(leads)} greedy tokens; "
          f"the likeliest leads by {statistics.median(leads):.2f} nats (median)")  # fmt: skip
    for name in list(decoders)[1:]:
        gaps = sorted(lead for one in results for lead in one[name])
        same = sum(not one[name] for one in results)
        print(f"{name}: {same} prompts with the same tokens; {len(gaps)} tokens differ, by "
              f"{', '.join(f'{gap:.4f}' for gap in gaps) or 'nothing'} nats")  # fmt: skip


if __name__ == "__main__":
    main()

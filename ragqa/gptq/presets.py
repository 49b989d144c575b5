"""The models known by name: what their folders do not say of themselves. Pure: no torch, no disk."""

from collections.abc import Mapping
from dataclasses import dataclass

RESEARCH_ONLY = (
    "made from LLaMA, whose first licence allows non-commercial research only, and tuned on text that a "
    "commercial "
    "model wrote under terms of its own"
)

# Touvron et al. 2023, arXiv:2302.13971, table 2; intermediate widths as their configurations give them.
LLAMA_7B = (4096, 11_008, 32, 32)
LLAMA_13B = (5120, 13_824, 40, 40)
LLAMA_33B = (6656, 17_920, 60, 52)


@dataclass(frozen=True, slots=True)
class Preset:
    """A model known by name.

    repository: its hub id; None for the small models, which `ragqa.gptq.finetune.making` makes.
    rope_factor and trained_positions: the scaling that its configuration may leave out; None where it says
    all.
    window: positions for prompt and answer together, as its card measured them.
    wrapper: a name in `ragqa.prompt.WRAPPERS`; None for the tokenizer's own chat template.
    restricted: the licence has to be shown when the model is used.
    revision: the commit that is downloaded; None where no public source names one: then the newest is taken,
        and said to be.
    sizes: hidden, intermediate, layers, heads, where known: what memory is computed from without the files.
    max_blocks, block_tokens: what its prompts are packed with, where it was tuned on less than is usual.
    """

    repository: str | None
    window: int
    licence: str
    rope_factor: float | None = None
    trained_positions: int | None = None
    wrapper: str | None = None
    stops: tuple[str, ...] = ()
    restricted: bool = False
    revision: str | None = None
    sizes: tuple[int, int, int, int] | None = None
    max_blocks: int | None = None
    block_tokens: int | None = None


def _airoboros(repository: str, factor: float, sizes: tuple[int, int, int, int]) -> Preset:
    return Preset(
        repository=repository,
        window=int(2048 * factor),
        licence=RESEARCH_ONLY,
        rope_factor=factor,
        trained_positions=2048,
        wrapper="airoboros",
        stops=("USER:", "BEGININPUT", "BEGININSTRUCTION"),
        restricted=True,
        sizes=sizes,
    )


def _qwen(size: str, revision: str | None, licence: str = "Apache-2.0") -> Preset:
    return Preset(
        repository=f"Qwen/Qwen2.5-{size}-Instruct-GPTQ-Int4",
        window=32_768,
        licence=licence,
        revision=revision,
        restricted=licence != "Apache-2.0",
    )


PRESETS: Mapping[str, Preset] = {
    "airoboros-33b-16k": _airoboros("bhenrym14/airoboros-33b-gpt4-1.4.1-lxctx-PI-16384-GPTQ", 8, LLAMA_33B),
    "airoboros-13b-8k": _airoboros("bhenrym14/airoboros-13b-gpt4-1.4.1-PI-8192-GPTQ", 4, LLAMA_13B),
    "airoboros-7b-16k": _airoboros("bhenrym14/airoboros-7b-gpt4-1.4.1-lxctx-PI-16384-GPTQ", 8, LLAMA_7B),
    "qwen2.5-0.5b": _qwen("0.5B", "c34a4a91629f09f73a285f32dbd26106b033c654"),
    "qwen2.5-1.5b": _qwen("1.5B", None),
    "qwen2.5-3b": _qwen(
        "3B", "68c4276063d1496cdf13d0b8e8221f899bfa77f7", "Qwen Research License, non-commercial"
    ),
    "qwen2.5-7b": _qwen("7B", "e9c932ac1893a49ae0fc497ad6e1e86e2e39af20"),
    "ragqa-135m": Preset(
        repository=None,
        window=16_384,
        licence="Apache-2.0 (base), CC BY-SA 4.0 (adapter)",
        max_blocks=1,
        block_tokens=350,
    ),
    "smollm2-135m": Preset(repository=None, window=8192, licence="Apache-2.0"),
}
"""By the name that `--model` takes."""


def preset_of(model: str) -> Preset | None:
    """The preset of that name or hub id, if there is one; `NAME@COMMIT` is that of `NAME`."""
    name = split_revision(model)[0]
    return PRESETS.get(name) or next((one for one in PRESETS.values() if one.repository == name), None)


def split_revision(model: str) -> tuple[str, str | None]:
    """`NAME@COMMIT` as a name and a commit; without `@`, no commit."""
    name, _, revision = model.partition("@")
    return name, revision or None

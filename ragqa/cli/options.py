"""The options several commands share, each said once; commands that take many as one value."""

from collections.abc import Callable
from dataclasses import is_dataclass
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any

import typer

IndexOption = Annotated[
    Path | None,
    typer.Option(
        "--index",
        metavar="PATH",
        help="The index. [default: RAGQA_INDEX, else .ragqa here or above]",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
EngineOption = Annotated[
    str, typer.Option("--engine", metavar="NAME", help="Who answers: auto, extractive, gptq or auto-gptq.")
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="MODEL", help="A model folder, a hub id or a preset.", show_default=False
    ),
]
ContextTokensOption = Annotated[
    int | None,
    typer.Option(
        "--context-tokens",
        min=1,
        metavar="N",
        help="At most so many tokens of prompt. [default: the model's window]",
        show_default=False,
    ),
]
TopKOption = Annotated[
    int, typer.Option("--top-k", min=1, max=200, metavar="N", help="Chunks that grow into blocks.")
]
RerankerOption = Annotated[
    str | None,
    typer.Option(
        "--reranker",
        metavar="NAME",
        help="Who reorders what is found: reader, or a cross-encoder's folder or hub id.",
        show_default=False,
    ),
]
WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="KEY=VALUE",
        help="Only documents whose metadata has it; may be given several times.",
        show_default=False,
    ),
]
StrictOption = Annotated[
    bool,
    typer.Option(
        "--strict", help="Refuse unless every sentence is supported and the engine is surer than usual."
    ),
]
OnUnsupportedOption = Annotated[
    str,
    typer.Option(
        "--on-unsupported", metavar="mark|refuse", help="What to do with a sentence nobody can check."
    ),
]
MaxAnswerTokensOption = Annotated[
    int, typer.Option("--max-answer-tokens", min=1, metavar="N", help="The longest answer.")
]
TemperatureOption = Annotated[float, typer.Option("--temperature", min=0.0, help="0 is greedy.")]
TopPOption = Annotated[float, typer.Option("--top-p", min=0.0, max=1.0, help="Nucleus sampling's share.")]
SeedOption = Annotated[int, typer.Option("--seed", help="For sampling.")]
UnprovenOption = Annotated[
    bool,
    typer.Option("--allow-unproven-length", help="Use the window beyond the length `model check` proved."),
]
FailOnRefusalOption = Annotated[
    bool, typer.Option("--fail-on-refusal", help="Exit 4 where the documents hold no answer.")
]
LockTimeoutOption = Annotated[
    float, typer.Option("--lock-timeout", min=0, metavar="S", help="Seconds to wait for another writer.")
]
DeviceMapOption = Annotated[
    str, typer.Option("--device-map", metavar="cpu|cuda|auto", help="Where gptq runs; auto spreads layers.")
]


def require_engine(name: str) -> None:
    """Raises a usage error where no engine is called so."""
    from ragqa.wiring import AUTO, ENGINES

    if name not in (AUTO, *ENGINES):
        raise typer.BadParameter(
            f"there is no {name!r}, but {', '.join((AUTO, *ENGINES))}", param_hint="--engine"
        )


def require_reading_engine(engine: str, model: str | None, device_map: str = "cpu") -> None:
    """Raises a usage error where a model is named, or a place for it, and the engine takes none."""
    from ragqa.wiring import AUTO, BEST

    named = "--model" if model else "--device-map" if device_map != "cpu" else None
    if named and (BEST if engine == AUTO else engine) == "extractive":
        raise typer.BadParameter(
            f"the engine {engine!r} answers without a model; name one that reads it, such as --engine gptq",
            param_hint=named,
        )


def one_by_one(command: Callable[..., None]) -> Callable[..., None]:
    """The command for Typer, which knows no group of options (github.com/fastapi/typer/issues/153).

    A parameter whose type is a dataclass is replaced by the fields of it, each an option where it stands.
    """
    own = signature(command)
    groups: dict[str, Any] = {
        name: one.annotation for name, one in own.parameters.items() if is_dataclass(one.annotation)
    }
    fields = {name: signature(group).parameters for name, group in groups.items()}

    @wraps(command)
    def grouped(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field: given.pop(field) for field in fields[name]})
        command(**given)

    flat = [inner for name, one in own.parameters.items() for inner in fields.get(name, {name: one}).values()]
    named = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in flat]
    grouped.__signature__ = own.replace(parameters=named)  # type: ignore[attr-defined]
    return grouped

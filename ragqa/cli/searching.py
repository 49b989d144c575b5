"""`search`, and the filter that `ask` and `batch` share with it."""

from typing import Annotated, Any

import typer

from ragqa.cli.options import IndexOption, JsonOption, RerankerOption, WhereOption
from ragqa.cli.output import put_json, say, show


def add_commands(app: typer.Typer) -> None:
    """Hang the command of this file on the program."""
    app.command()(search)


def search(
    query: Annotated[str, typer.Argument(help="What to look for.", show_default=False)],
    index: IndexOption = None,
    top_k: Annotated[
        int, typer.Option("--top-k", min=1, max=1000, metavar="N", help="How many chunks.")
    ] = 10,
    reranker: RerankerOption = None,
    where: WhereOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what retrieval finds, without an answer."""
    from ragqa.settings import RetrievalSettings
    from ragqa.wiring import open_retriever

    if not query.strip():
        raise typer.BadParameter("is empty", param_hint="QUERY")
    pairs = where_pairs(where)
    with open_retriever(index, RetrievalSettings(reranker=reranker)) as retriever:
        warn_of_index(retriever, pairs)
        hits = retriever.search(query, top_k, pairs)
    for rank, hit in enumerate(hits, start=1):
        if as_json:
            from ragqa.contract import hit_json

            put_json(hit_json(rank, hit))
        else:
            from ragqa.terminal import hit_view

            show(hit_view(rank, hit))
    if not hits:
        say("Nothing found.")


def where_pairs(given: list[str] | None) -> tuple[tuple[str, str], ...]:
    """KEY=VALUE pairs. Raises a usage error for anything else."""
    pairs = []
    for item in given or ():
        key, equals, value = item.partition("=")
        if not (key and equals):
            raise typer.BadParameter(f"{item!r} is not KEY=VALUE", param_hint="--where")
        pairs.append((key, value))
    return tuple(pairs)


def warn_of_index(retriever: Any, where: tuple[tuple[str, str], ...]) -> None:
    """Say that a filter leaves no document at all (a key or a value that is written another way), and that
    the index is searched more slowly than it could be.
    """
    if where and not retriever.index.holds(where):
        wanted = " and ".join(f"{key}={value}" for key, value in where)
        say(f"No document has {wanted}. `ragqa sources list --json` shows what each has.")
    if retriever.index.vectors_state == "damaged":
        path = retriever.index.path
        say(f"The vectors at {path} are damaged: all are compared. Mend them: ragqa index repair")

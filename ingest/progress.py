"""How far work is, told to whoever wants to know."""

from collections.abc import Callable

Progress = Callable[[str, int, int | None], None]
"""Told the stage, how much of it is done, and how much there is where that is known."""


def silent(_stage: str, _done: int, _total: int | None) -> None:
    """Progress for nobody."""

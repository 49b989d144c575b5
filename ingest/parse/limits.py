"""How much one file may cost. Values only."""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Ceilings for one file. Sizes in bytes, times in seconds of wall time."""

    # Held by the pool alone: a process cannot take back its own memory or time.
    seconds: float = 60.0
    memory_bytes: int = 2048 * MIB

    # Held by the parsers, before they read.
    max_bytes: int = 256 * MIB
    max_unpacked_bytes: int = 200 * MIB
    max_part_bytes: int = 64 * MIB
    max_members: int = 10_000
    max_depth: int = 3
    max_characters: int = 50_000_000


DEFAULT_LIMITS = Limits()

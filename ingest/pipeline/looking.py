"""What a run found in its roots, and what it would do about each source."""

from collections.abc import Sequence
from dataclasses import dataclass

from ingest.pipeline.files import kind_of
from ingest.pipeline.plan import Plan, RootScan
from ingest.pipeline.roots import Roots

COUNTED = ("added", "changed", "unchanged", "removed", "renamed")


@dataclass(frozen=True, slots=True)
class Look:
    """Roots, what they hold, and what is to be done; a dry run names it in `actions`, source by source."""

    roots: Roots
    scans: Sequence[RootScan]
    plan: Plan
    actions: tuple[tuple[str, str], ...] = ()


def planned_actions(plan: Plan, roots: Roots) -> tuple[tuple[str, str], ...]:
    """What would become of which file if each could be read, of those that a run would do anything about."""
    works = [*plan.parse, *(work for work, _ in (*plan.copies, *plan.links))]
    actions = [(kind_of(work), roots.handle(work.root, work.file.name)) for work in works]
    actions += [("removed", roots.handle(file.root, file.path)) for file in plan.removed]
    return tuple(sorted(actions))


def planned_counts(look: Look) -> dict[str, int]:
    """What a run that does this would count."""
    kinds = [kind for kind, _ in look.actions]
    counts = {kind: kinds.count(kind) for kind in COUNTED}
    return {**counts, "unchanged": counts["unchanged"] + look.plan.kept()}

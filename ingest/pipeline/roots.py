"""Roots: which ones a call names, and how they are called in the index."""

import os
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ingest.catalogue.reader import KnownFile
from ingest.catalogue.writer import absorb_root, add_root
from ingest.discover import Selection, escape_name, scan_root, unescape_name
from ingest.errors import RootError
from ingest.pipeline.plan import RootScan, is_inside


class Roots:
    """The roots of an index, by absolute path.

    A path inside a root stands for that part of it; a path that holds roots takes their place. Roots below
    the folder that holds the index are recorded relative to it, so that both can be moved together.
    """

    def __init__(self, connection: sqlite3.Connection, index_path: Path) -> None:
        self._connection = connection
        self._index_path = index_path.resolve()
        self._home = self._index_path.parent
        self._named: dict[Path, tuple[str, ...]] = {}

    def take_in(self, paths: Sequence[Path]) -> None:
        """Make every path part of a root, inside the caller's transaction."""
        wanted = sorted({path.resolve() for path in paths}, key=lambda path: len(path.parts))
        order = {path.resolve(): number for number, path in reversed(list(enumerate(paths)))}
        outer = [path for path in wanted if not any(other in path.parents for other in wanted)]
        for path in sorted(outer, key=lambda path: order[path]):
            known = self._locations()
            root = next((root for root in known if root == path or root in path.parents), None)
            if root is None:
                self._add(path, known)
            part = (_scope(path, root),) if root and root != path else ()
            self._named[root or path] = (*self._named.get(root or path, ()), *part)

    def scan(self, selection: Selection, known: Sequence[KnownFile]) -> list[RootScan]:
        """Look into the named roots. Raises RootError for what is not there and never was."""
        scans = []
        for root, parts in self._named.items():
            scans.append(self._scan(root, parts, selection))
            for part in parts or ("",):
                if not (root / unescape_name(part)).exists():
                    self._require_known(root, part, scans[-1].root, known)
        return scans

    def location(self, key: str) -> str:
        """Where a root lies, for people."""
        return str(self._home / unescape_name(key))

    def handle(self, key: str, path: str) -> str:
        """What a source of this path is called; the same as the view `handles` says."""
        rows: dict[str, str] = dict(self._connection.execute("SELECT path, label FROM roots").fetchall())
        label = rows.get(key, Path(key).name)
        if not path:
            return label
        return f"{label}/{path}" if len(rows) > 1 else path

    def _scan(self, root: Path, parts: tuple[str, ...], selection: Selection) -> RootScan:
        key = self._key(root)
        place, label = self._connection.execute(
            "SELECT id, label FROM roots WHERE path = ?", (key,)
        ).fetchone()
        if not root.exists():
            return RootScan(key, label, place, (), False, (), ())
        scan = scan_root(root, selection, self._index_path)
        unreadable = tuple(
            (folder, reason)
            for folder, reason in scan.unreadable
            if not parts or any(is_inside(folder, part) or f"{part}/".startswith(folder) for part in parts)
        )
        found = RootScan(key, label, place, parts, True, scan.files, unreadable)
        return replace(found, files=tuple(file for file in scan.files if found.covers(file.name)))

    def _require_known(self, root: Path, part: str, key: str, known: Sequence[KnownFile]) -> None:
        if not any(file.root == key and (not part or is_inside(file.path, part)) for file in known):
            raise RootError(
                f"{root / unescape_name(part)} cannot be ingested: there is no such file or folder."
            )

    def _add(self, path: Path, known: dict[Path, int]) -> None:
        if not path.exists():
            raise RootError(f"{path} cannot be ingested: there is no such file or folder.")
        name = escape_name(path.name) or "root"
        held = {root: number for root, number in known.items() if path in root.parents}
        root_id = add_root(self._connection, self._key(path), name)
        for root, number in held.items():
            absorb_root(
                self._connection, number, root_id, escape_name(f"{root.relative_to(path).as_posix()}/")
            )

    def _locations(self) -> dict[Path, int]:
        rows = self._connection.execute("SELECT path, id FROM roots ORDER BY id").fetchall()
        return {Path(os.path.normpath(self._home / unescape_name(key))): root_id for key, root_id in rows}

    def _key(self, path: Path) -> str:
        inside = path == self._home or self._home in path.parents
        return escape_name(path.relative_to(self._home).as_posix() if inside else path.as_posix())


def _scope(path: Path, root: Path) -> str:
    # With a slash at its end, as it stands in the paths of what lies below.
    return escape_name(f"{path.relative_to(root).as_posix()}/").removesuffix("/")

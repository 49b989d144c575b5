"""`doctor`."""

import typer

from ragqa.cli.options import IndexOption, JsonOption
from ragqa.cli.output import put, put_json


def add_commands(app: typer.Typer) -> None:
    """Hang the command of this file on the program."""
    app.command()(doctor)


def doctor(index: IndexOption = None, as_json: JsonOption = False) -> None:
    """Say what works here and what would be missing.

    Versions, engines, models with their licences, the index, switches.
    """
    from ragqa.contract import findings_json
    from ragqa.doctor import examine

    findings = tuple(examine(index))
    if as_json:
        put_json(findings_json(findings))
        return
    signs = {"ok": "ok", "missing": "--", "note": "  "}
    for finding in findings:
        put(f"{signs[finding.state]}  {finding.topic:<8} {finding.name:<18} {finding.detail}\n")

"""`shipway doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shipway.cli.call import Call
from shipway.cli.options import as_command, pass_call
from shipway.errors import FAILED

if TYPE_CHECKING:
    from shipway.prefix.doctor import Finding


@as_command("doctor")
@pass_call
def command(call: Call) -> int:
    """Look for what may go wrong: what the file system can do, locks, room, unfinished work.  1 if something has to be mended."""
    from shipway.prefix.doctor import Level, examine

    findings = examine(call.place.prefix)
    ok = all(finding.level is not Level.FAIL for finding in findings)
    if call.json:
        call.console.document({"ok": ok, "findings": [_document(finding) for finding in findings]})
    else:
        call.console.answer(*(line for finding in findings for line in _lines(finding)))
    return 0 if ok else FAILED


def _document(finding: Finding) -> dict[str, object]:
    return {"check": finding.check, "level": finding.level, "text": finding.text, "hint": finding.hint}


def _lines(finding: Finding) -> list[str]:
    line = f"{finding.level:<4}  {finding.check}: {finding.text}"
    return [line, f"      {finding.hint}"] if finding.hint else [line]

"""`shipway verify`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click

from shipway.cli.call import Call
from shipway.cli.options import as_command, pass_call
from shipway.errors import FAILED

if TYPE_CHECKING:
    from shipway.api import Prefix
    from shipway.prefix.verify import Problem, Report


@as_command("verify")
@click.argument("names", metavar="[NAME…]", nargs=-1)
@click.option("--quick", is_flag=True, help="By size and time; contents are read only where the time differs.")
@click.option(
    "--accept", is_flag=True, help="Take changes of metadata alone (somebody's chmod) as wanted, then verify."
)
@pass_call
def command(call: Call, names: tuple[str, ...], quick: bool, accept: bool) -> int:
    """Compare packages (all, if none is named) with what lies on disk.  1 if there are differences."""
    with call.open() as prefix:
        if accept:
            outcome = prefix.accept(names)
            if outcome.number:
                call.console.say(f"accepted (transaction {outcome.number}; `shipway undo` takes it back)")
        report = prefix.verify(names, quick=quick)
        _tell_of_bytecode(call, prefix)
    if call.json:
        call.console.document({"ok": report.ok, "problems": [_document(problem) for problem in report.problems]})
    else:
        _show(call, report)
    return 0 if report.ok else FAILED


def _tell_of_bytecode(call: Call, prefix: Prefix) -> None:
    """Bytecode that the interpreter does not take is no difference from the record, but of no use."""
    if any(each.package.python for each in prefix.packages()):
        from shipway.recompiling import of_own

        found = of_own(prefix.site)
        if found:
            call.console.warn(f"{found}: `shipway repair` compiles it anew")


def _document(problem: Problem) -> dict[str, object]:
    return {
        "path": problem.path,
        "package": problem.package,
        "problem": problem.problem,
        "detail": problem.detail,
        "metadata_only": problem.metadata_only,
    }


def _show(call: Call, report: Report) -> None:
    """Each difference on a line; those of metadata alone as one line a package, unless -v."""
    from shipway.cli.text import plural

    for problem in report.problems:
        if call.verbose or not problem.metadata_only:
            detail = f", {problem.detail}" if problem.detail else ""
            call.console.answer(f"{problem.path}: {problem.problem}{detail} ({problem.package})")
    lumped = Counter(problem.package for problem in report.problems if problem.metadata_only and not call.verbose)
    for package, count in lumped.items():
        paths = plural(count, "path")
        call.console.answer(
            f"{package}: {paths} with changed metadata, contents as they were (-v lists them, --accept takes them as wanted)"
        )
    if report.ok and not call.quiet:
        call.console.answer(f"{plural(report.checked, 'path')} as recorded")
    elif not all(problem.metadata_only for problem in report.problems):
        call.console.say("`shipway repair` puts contents back from the images")

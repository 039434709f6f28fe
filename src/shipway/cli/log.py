"""`shipway log`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from shipway.cli.call import Call
from shipway.cli.options import as_command, pass_call
from shipway.errors import UsageError

if TYPE_CHECKING:
    from shipway.build.log import Line

PHASES = ("prepare", "configure", "build", "check", "install", "post_install")
"""Those of `build.recipe`, which takes a while to load."""


class Wanted(TypedDict):
    """The options of this command, as click hands them over."""

    follow: bool
    phase: str | None
    errors: bool
    bundle: bool


@as_command("log")
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on as long as it is written.")
@click.option("--phase", metavar="PHASE", type=click.Choice(PHASES), help="Only one phase.")
@click.option("--errors", is_flag=True, help="Only what looks like an error, with the lines around it.")
@click.option("--bundle", is_flag=True, help="Write one file to attach to a report.")
@pass_call
def command(call: Call, name: str, **wanted: Unpack[Wanted]) -> None:
    """Show what was said while a package was built last."""
    from shipway.build import log, log_reading
    from shipway.prefix.layout import Layout

    if call.json and (wanted["follow"] or wanted["bundle"]):
        raise UsageError("--json goes with neither --follow nor --bundle")
    path = log_reading.find(Layout(os.path.realpath(call.place.prefix)).logs, name)
    if wanted["bundle"]:
        _bundle(call, path)
        return
    lines = log.read(log_reading.follow(path) if wanted["follow"] else _lines(path), wanted["phase"] or "")
    chosen = log_reading.errors(lines) if wanted["errors"] else lines
    if call.json:
        call.console.document([_document(line) for line in chosen])
        return
    for line in chosen:
        call.console.answer(line.written)


def _lines(path: str) -> Iterator[str]:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        yield from file


def _bundle(call: Call, path: str) -> None:
    from shipway.build.report import report
    from shipway.prefix.queries import packages

    with call.look() as site:
        installed = [f"{each.package.name} {each.package.version}" for each in packages(site.database)]
    target = os.path.basename(path).removesuffix(".log") + ".report.txt"
    fs = call.file_system()
    scratch = f".{target}.{os.getpid()}"
    fs.write_file(scratch, report(path, installed).encode("utf-8", "surrogateescape"), 0o600)
    fs.replace(scratch, target)
    call.console.answer(os.path.abspath(target))


def _document(line: Line) -> dict[str, object]:
    return {"seconds": None if line.ours else line.seconds, "phase": line.phase, "text": line.text}

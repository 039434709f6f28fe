"""`shipway adopt`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from shipway.cli.call import Call
from shipway.cli.options import as_command, pass_call
from shipway.errors import UsageError

if TYPE_CHECKING:
    from shipway.adopting import Taken


class Wanted(TypedDict):
    """What was said on the command line."""

    everything: bool
    python: str
    target: str
    dry_run: bool


@as_command("adopt")
@click.argument("names", metavar="[NAME…]", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that others installed.")
@click.option(
    "--python", default="", metavar="EXE", help="The interpreter whose environment it is [else: the prefix's own]."
)
@click.option("--target", default="", metavar="DIR", help="A directory that pip filled with --target.")
@click.option("--dry-run", is_flag=True, help="Say what would be taken over and what is damaged, and change nothing.")
@pass_call
def command(call: Call, names: tuple[str, ...], **wanted: Unpack[Wanted]) -> None:
    """Take over Python projects that pip or uv installed, and heal what is damaged of them.

    From then on they are packages like others: verify, undo, removal.  What an installation that was broken off has left goes,
    of two `dist-info` the true one stays, and a missing RECORD is written.
    """
    if wanted["everything"] == bool(names):
        raise UsageError("name the projects to take over, or say --all")
    from shipway.cli.environment import target_of
    from shipway.installing import Environment, refuse_managed
    from shipway.python.pip_arguments import Arguments
    from shipway.python.target import checked

    place = target_of(call, Arguments((), (), (), python=wanted["python"], directory=wanted["target"]))
    refuse_managed(place)
    checked(place)
    call.prefix, call.prefix_source = place.root, ""
    dry_run = wanted["dry_run"]
    with call.open() as prefix:
        _tell(call, Environment(prefix, place).adopt(names, dry_run=dry_run), dry_run=dry_run)


def _tell(call: Call, taken: Taken, *, dry_run: bool) -> None:
    for text in (*taken.notes, *(f"left alone: {text}" for text in taken.refused)):
        call.console.warn(text)
    for name, version, damage in taken.adopted:
        call.console.say(*(f"{name} {version} is damaged: {text}" for text in damage))
    for name, found in taken.incurable.items():
        call.console.warn(
            *(f"{name}: {text}; install it again: shipway pip install --force-reinstall {name}" for text in found)
        )
    if call.json:
        call.console.document(_document(taken))
    elif not call.quiet:
        call.console.answer(*_sentences(call, taken, dry_run=dry_run))


def _document(taken: Taken) -> dict[str, object]:
    adopted = [{**each._asdict(), "incurable": list(taken.incurable.get(each.name, ()))} for each in taken.adopted]
    return {
        "transaction": taken.number or None,
        "healed": taken.healed or None,
        "adopted": adopted,
        "refused": list(taken.refused),
    }


def _sentences(call: Call, taken: Taken, *, dry_run: bool) -> list[str]:
    from shipway.cli.text import plural

    if not taken.adopted:
        return [f"nothing is to be taken over in {call.root}"]
    lines = [f"  {each.name} {each.version}" for each in taken.adopted]
    if dry_run:
        return [f"would take over in {call.root}:", *lines]
    healed = f"; damage was mended (transaction {taken.healed})" if taken.healed else ""
    return [*lines, f"{plural(len(lines), 'project')} taken over in {call.root} (transaction {taken.number}){healed}"]

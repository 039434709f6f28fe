"""`shipway merge`: a staged tree becomes an installed package."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from shipway.cli.call import Call
from shipway.cli.options import as_command, pass_call
from shipway.errors import UsageError
from shipway.model.config import LINK_MODES, NO_PYTHON, POLICIES

if TYPE_CHECKING:
    from shipway.adopting import Adopted
    from shipway.api import Image, Outcome, Prefix
    from shipway.cli.arrivals import Arrival, Packed
    from shipway.prefix.site import Options
    from shipway.sealing import Staged

TREE = click.Path(exists=True)


class Wanted(TypedDict):
    """What was said on the command line."""

    name: str | None
    version: str | None
    move: bool
    destdir: bool
    ignore_outside: bool
    python: str | None
    exclusive: bool
    on_conflict: str | None
    dry_run: bool
    explain: bool
    allow_stage_paths: bool
    keep_la: bool
    link_mode: str | None
    no_undo: bool
    copy: tuple[str, ...]


@as_command("merge")
@click.argument("tree", type=TREE)
@click.option(
    "--name", help="What the package is called: a plain name, or a PURL such as pkg:pypi/build.  A file says it itself."
)
@click.option("--version", help="Its version.  A file says it itself.")
@click.option("--move", is_flag=True, help="Take TREE instead of copying it: it is gone afterwards.")
@click.option(
    "--destdir", is_flag=True, help="TREE is a DESTDIR: what lies in it under the prefix's path is installed."
)
@click.option("--ignore-outside", is_flag=True, help="With --destdir: leave out what lies beside the prefix's path.")
@click.option(
    "--python",
    metavar="EXE",
    help="Compile bytecode with this interpreter; 'none' for no bytecode [else: the prefix's own].",
)
@click.option("--exclusive", is_flag=True, help="Wait until no build and no `exec` runs.")
@click.option(
    "--on-conflict", type=click.Choice(POLICIES), help="What to do about paths that others have [else: fail]."
)
@click.option("--dry-run", is_flag=True, help="Print the plan and change nothing.")
@click.option("--explain", is_flag=True, help="A dry run that says for every unit why it is not a larger one.")
@click.option("--allow-stage-paths", is_flag=True, help="Say nothing about text files that name the stage.")
@click.option("--keep-la", is_flag=True, help="Keep libtool archives (*.la).")
@click.option("--link-mode", type=click.Choice(LINK_MODES), help="How live files share with the store [else: auto].")
@click.option("--no-undo", is_flag=True, help="Keep nothing to undo this transaction with.")
@click.option("--copy", multiple=True, metavar="GLOB", help="Paths that are copied, never linked.  May be repeated.")
@pass_call
def command(call: Call, tree: str, **wanted: Unpack[Wanted]) -> int | None:
    """Install TREE, or upgrade to it.

    TREE holds files as they shall lie under the prefix, or is a file that `shipway build -o` wrote for this prefix.  A package of the
    same name that is installed already is replaced.
    """
    from shipway.model.planning import Policy

    packed = _packed(tree, wanted)
    staged = _staged(call, tree, packed, wanted)
    policy = Policy(wanted["on_conflict"] or call.place.config.on_conflict)
    with call.open(_options(call, wanted)) as prefix:
        arrival = _arrival(prefix, packed, staged)
        if wanted["dry_run"] or wanted["explain"]:
            from shipway.cli.merge_plan import show

            for name, version, _ in arrival.taken_over(dry_run=True):
                call.console.say(
                    f"{name} {version}, which somebody else installed, would be taken over first; see `shipway adopt`"
                )
            return show(call, prefix, *arrival.plan(policy), explain=wanted["explain"])
        _tell_adopted(call, arrival.taken_over())
        image, outcome = arrival.merge(policy)
        if packed is not None:
            packed.keep_note(prefix, image)
        if wanted["no_undo"]:
            _forget(prefix, outcome)
        _deliver(call, image, outcome)
    return None


def _packed(tree: str, wanted: Wanted) -> Packed | None:
    """The image file that is meant; None if it is a directory.  Raises UsageError for what does not go with a file."""
    if os.path.isdir(tree):
        return None
    no_file = [f"--{name.replace('_', '-')}" for name in ("move", "destdir", "ignore_outside") if wanted[name]]
    if no_file:
        raise UsageError(f"{tree} is a file, and {no_file[0]} is for a directory")
    from shipway.cli.arrivals import Packed

    packed = Packed(tree)
    packed.refuse(wanted["name"], wanted["version"])
    return packed


def _staged(call: Call, tree: str, packed: Packed | None, wanted: Wanted) -> Staged:
    from shipway.api import staged

    python = wanted["python"] or call.place.config.python or None
    chosen = "" if python == NO_PYTHON else python
    about = packed.head.about if packed else None
    name, version = (about.identity, about.version) if about else (wanted["name"], wanted["version"])
    if not name or not version:
        lacking = "--version" if name else "--name"
        raise UsageError(f"{tree} does not say what it is: {lacking} is missing", hint=f"say it with {lacking}")
    return staged(tree, name, version, move=wanted["move"], python=chosen)._replace(
        destdir=wanted["destdir"],
        ignore_outside=wanted["ignore_outside"],
        allow_stage_paths=wanted["allow_stage_paths"],
        keep_libtool=wanted["keep_la"],
        exclusive=wanted["exclusive"],
    )


def _arrival(prefix: Prefix, packed: Packed | None, staged: Staged) -> Arrival:
    if packed is None:
        from shipway.cli.arrivals import Tree

        return Tree(prefix, staged)
    packed.refuse_elsewhere(prefix.site.layout.root)
    if packed.is_wheel:
        return packed.wheel(prefix, staged.python, exclusive=staged.exclusive)
    return packed.tree(prefix, staged)


def _options(call: Call, wanted: Wanted) -> Options:
    from shipway.store.mode import LinkMode

    options = call.options()
    link = LinkMode(wanted["link_mode"]) if wanted["link_mode"] else options.link
    return options._replace(link=link, copied=(*options.copied, *wanted["copy"]))


def _forget(prefix: Prefix, outcome: Outcome) -> None:
    if outcome.number:
        prefix.forget_undo(outcome.number)


def _tell_adopted(call: Call, adopted: list[Adopted]) -> None:
    if adopted:
        from shipway.cli.pip_report import tell_adopted

        tell_adopted(call, adopted)


def _deliver(call: Call, image: Image, outcome: Outcome) -> None:
    from shipway.cli.report import deliver, footnote
    from shipway.cli.text import plural

    package = image.package
    here = f"{package.name} {package.version} is in {call.root}"
    before = next((change.old for change in outcome.changes if change.old), "")
    instead = f" instead of {before}" if before and before != package.version else ""
    sentence = f"{here}{instead} {footnote(outcome, plural(package.files, 'file'))}"
    deliver(call, outcome, sentence, image.notes, nothing=f"{here} already; there was nothing to do")

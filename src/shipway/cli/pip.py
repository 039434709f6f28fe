"""`shipway pip`: what stood as `pip install …`, in one transaction."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import click

from shipway.cli.call import Call
from shipway.cli.environment import interpreter_of, target_of
from shipway.cli.options import as_command, pass_call
from shipway.errors import UsageError

if TYPE_CHECKING:
    from shipway.installing import Done, Environment
    from shipway.python.pip_arguments import Arguments


@as_command("pip", allow_interspersed_args=False, ignore_unknown_options=True)
@click.argument("words", metavar="COMMAND…", nargs=-1, required=True, type=click.UNPROCESSED)
@pass_call
def command(call: Call, words: tuple[str, ...]) -> int | None:
    r"""Run a pip command; install, uninstall and sync become transactions.

    \b
    install REQUIREMENT… [-r FILE] [-c FILE] [pip's options]
    uninstall NAME… [-r FILE] [-y]
    sync FILE: what is in FILE, no more and no less

    The environment: after the command -p EXE, --prefix DIR, --target DIR or --system as pip and uv have them; else the prefix of
    -p PREFIX before `pip`, VIRTUAL_ENV, or the nearest .venv.  Every other command is passed to pip.
    """
    ours = {"install": _install, "uninstall": _uninstall, "sync": _sync}
    words = _command_first(words, ours)
    if words[0] not in ours or {"-h", "--help"} & set(words):
        return _pass_on(call, words)
    from shipway.installing import Environment, prepare, refuse_managed
    from shipway.python.pip_arguments import parse
    from shipway.python.target import checked
    from shipway.store.depot import directory_of

    arguments = parse(words[1:], words[0])
    target = target_of(call, arguments)
    refuse_managed(target)
    checked(target)
    call.prefix, call.prefix_source = target.root, ""
    prepare(target)
    arguments = arguments._replace(resolver=_resolver(call, arguments))
    call.ear.tells_steps = not call.json
    with call.open(call.options()._replace(cache=directory_of())) as prefix:
        _tell(call, ours[words[0]](call, Environment(prefix, target), arguments), dry_run=arguments.dry_run)
    return None


def _resolver(call: Call, arguments: Arguments) -> str:
    """Who resolves: --resolver, SHIPWAY_PIP_RESOLVER, the configuration."""
    from shipway.python.pip_arguments import RESOLVERS

    named = arguments.resolver or os.environ.get("SHIPWAY_PIP_RESOLVER", "") or call.place.config.resolver
    if named not in RESOLVERS:
        raise UsageError(f"SHIPWAY_PIP_RESOLVER is {named}", hint=f"it must be one of {', '.join(RESOLVERS)}")
    return named


def _command_first(words: tuple[str, ...], ours: Collection[str]) -> tuple[str, ...]:
    """With the options that pip takes before its commands (`pip --python X install …`) after it, if it is one of ours."""
    place = next((number for number, word in enumerate(words) if word in ours), 0)
    return (words[place], *words[:place], *words[place + 1 :]) if words[0].startswith("-") else words


def _install(call: Call, environment: Environment, arguments: Arguments) -> Done:
    return environment.install(arguments)


def _sync(call: Call, environment: Environment, arguments: Arguments) -> Done:
    listed = arguments.requirements
    files = listed if "-r" in listed else [word for path in listed for word in ("-r", path)]
    return environment.sync(arguments._replace(requirements=tuple(files)))


def _uninstall(call: Call, environment: Environment, arguments: Arguments) -> Done:
    names = _names(arguments.requirements)
    if not names:
        raise UsageError("pip uninstall: nothing is asked for", hint="name a project, or a file with -r")
    if not arguments.yes and not arguments.dry_run and sys.stdin.isatty() and not call.json:
        click.confirm(f"Remove {', '.join(names)} from {call.root}?", default=True, abort=True, err=True)
    return environment.uninstall(names, dry_run=arguments.dry_run)


def _names(words: Sequence[str]) -> list[str]:
    """The projects that words and requirement files name; their versions don't matter."""
    from shipway.python.requirement_files import named_files, read

    files = named_files(words)
    projects = [word for word in words if word not in files and not word.startswith("-")]
    listed = [line.text for path in files for line in read(path) if not line.text.startswith("-")]
    return [_name(word) for word in (*projects, *listed)]


def _name(word: str) -> str:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return Requirement(re.split(r"\s--", word)[0]).name
    except InvalidRequirement as error:
        raise UsageError(f"not a project's name: {word}") from error


def _pass_on(call: Call, words: Sequence[str]) -> int:
    from shipway.cli.child import run
    from shipway.python.target import of_interpreter
    from shipway.python.tools import pip

    return run((*pip(of_interpreter(interpreter_of(call))), *words), dict(os.environ))


# -- what came of it -----------------------------------------------------------------------------------------


def _tell(call: Call, done: Done, *, dry_run: bool) -> None:
    from shipway.cli.pip_report import document, sentences, tell_adopted

    for text in done.notes:
        call.console.warn(text)
    tell_adopted(call, done.adopted)
    if call.json:
        call.console.document(document(call, done))
    elif not call.quiet:
        call.console.answer(*sentences(call, done, dry_run=dry_run))

"""The arguments of `pip install` and its kin, sorted by who they are for: pip's resolver, pip's builder, or us.

An option that is none of ours and none that is sound to pass on is refused by name.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, NoReturn

from shipway.errors import UsageError
from shipway.python.pip_options import FINDING, RESOLVING, SOURCES, VALUED, WITHOUT_MEANING

RESOLVERS = ("pip", "uv")

_OURS = frozenset(("-p", "--python", "--prefix", "-t", "--target", "--resolver", "--on-conflict"))
_REFUSED = {
    "--user": "a user's site directory is no prefix; make an environment: python3 -m venv .venv",
    "--root": "stage into a DESTDIR with pip itself, then: shipway merge --destdir TREE",
    "--src": "what -e checks out is kept in PREFIX/src",
    "--report": "the plan is told by: shipway --json pip install --dry-run",
}


class Arguments(NamedTuple):
    """One command line: `requirements` as given (with -r and -c), what else the resolver gets, what builder and resolver get.

    Of ours: `python`, `prefix` and `directory` say where to (each "" if not given), `system` the interpreter on PATH; `resolver` is
    one of RESOLVERS, or "" if not given.
    """

    requirements: tuple[str, ...]
    resolving: tuple[str, ...]
    finding: tuple[str, ...]
    python: str = ""
    prefix: str = ""
    directory: str = ""
    system: bool = False
    dry_run: bool = False
    compile: bool = True
    yes: bool = False
    resolver: str = ""
    on_conflict: str = "fail"

    @property
    def reinstalls(self) -> bool:
        """Whether what is installed is to be installed again."""
        return bool({"--force-reinstall", "-I", "--ignore-installed"} & set(self.resolving))

    @property
    def upgrades(self) -> bool:
        """Whether newer versions are wanted."""
        return bool({"-U", "--upgrade"} & set(self.resolving))


def parse(words: Sequence[str], command: str) -> Arguments:
    """Sort the words of `pip COMMAND`.  Raises UsageError that names every option it does not know or will not pass on."""
    found, rest = _parser(command).parse_known_args(list(_with_values(words)))
    _refuse(command, [word.partition("=")[0] for word in rest if word.startswith("-") and word != "-"])
    listed = (*found.files, *found.projects, *rest)
    if not listed and command in ("install", "sync"):
        raise UsageError(f"pip {command}: nothing is asked for", hint="name a project, or a file with -r")
    return Arguments(
        listed,
        tuple(found.resolving),
        tuple(found.finding),
        found.python,
        found.prefix,
        found.target,
        found.system,
        found.dry_run,
        found.compile_bytecode,
        found.yes,
        found.resolver,
        found.on_conflict,
    )


def _refuse(command: str, options: Sequence[str]) -> None:
    if options:
        raise UsageError(
            f"pip {command}: {', '.join(sorted(set(options)))} cannot be used here",
            details=[f"{name}: {_REFUSED.get(name, 'no such option is known')}" for name in sorted(set(options))],
            hint=f"pip {command} --help lists pip's own",
        )


class _Collect(argparse.Action):
    """Keeps the words of an option as they were given, in one list for all options of a kind."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        words = getattr(namespace, self.dest)
        setattr(namespace, self.dest, [*words, option, *([values] if isinstance(values, str) else [])])


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}")


def _with_values(words: Sequence[str]) -> Iterator[str]:
    """Each option in one word with its value, which may look like an option (optparse, which pip uses, takes any word)."""
    rest = iter(words)
    for word in rest:
        value = next(rest, None) if word in VALUED or word in _OURS else None
        if value:
            yield f"{word}={value}" if word.startswith("--") else f"{word}{value}"
        else:
            yield from (word,) if value is None else (word, value)


def _parser(command: str) -> argparse.ArgumentParser:
    parser = _Parser(prog=f"pip {command}", add_help=False, allow_abbrev=False)
    kinds = {"finding": FINDING, "resolving": RESOLVING, "files": SOURCES, "unused": WITHOUT_MEANING}
    for kind, (flags, valued) in kinds.items():
        parser.set_defaults(**{kind: []})
        for names in flags:
            parser.add_argument(*names.split(","), action=_Collect, dest=kind, nargs=0)
        for names in valued:
            parser.add_argument(*names.split(","), action=_Collect, dest=kind)
    parser.add_argument("-p", "--python", default="")
    parser.add_argument("--prefix", default="")
    parser.add_argument("-t", "--target", default="")
    parser.add_argument("--resolver", choices=RESOLVERS, default="")
    parser.add_argument("--on-conflict", choices=("fail", "backup", "overwrite"), default="fail")
    parser.add_argument("--no-compile", action="store_false", dest="compile_bytecode")
    parser.add_argument("-y", "--yes", action="store_true")
    for flag in ("--dry-run", "--system"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("-q", "--quiet", "-v", "--verbose", action="count", dest="loudness")
    parser.add_argument("projects", nargs="*", default=[])
    return parser

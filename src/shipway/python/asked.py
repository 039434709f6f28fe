"""What is asked for, as far as it can be understood without pip: requirements by name, limits, and whatever else there is.

Sources: "Requirements File Format" (pip's documentation), "Dependency specifiers" (packaging.python.org).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from shipway.python.distributions import normal
from shipway.python.requirement_files import CONSTRAINTS, FILES, Line, anywhere, read

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_OPTIONS = re.compile(r"\s(?=--?[A-Za-z])")
_HASH = re.compile(r"--hash[\s=]+(\w+:[0-9a-fA-F]+)\Z")
_ARCHIVES = (".whl", ".zip", ".tar", ".gz", ".tgz", ".bz2", ".tbz", ".xz", ".txz", ".tlz", ".lz", ".lzma")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_OTHERS = ("-e", "--editable", "-r", "--requirement", "-c", "--constraint")
_PINS = ("==", "===")


class Wish(NamedTuple):
    """One requirement by name, and the digests ("sha256:…") of archives that will do, all if none."""

    requirement: Requirement
    hashes: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The project's compared name."""
        return normal(self.requirement.name)

    @property
    def pin(self) -> str:
        """The one version that will do, or ""."""
        specifiers = list(self.requirement.specifier)
        one = specifiers[0] if len(specifiers) == 1 else None
        return one.version if one and one.operator in _PINS and not one.version.endswith("*") else ""


class Asked(NamedTuple):
    """`wishes` are to be installed, `limits` hold for whatever is; `options` are lines of files that are options.

    `strange` is what only pip can tell: paths, addresses, files elsewhere.
    """

    wishes: tuple[Wish, ...] = ()
    limits: tuple[Wish, ...] = ()
    options: tuple[str, ...] = ()
    strange: tuple[str, ...] = ()

    @property
    def hashed(self) -> bool:
        """Whether anything has a digest: then all must have one."""
        return any(wish.hashes for wish in (*self.wishes, *self.limits))


def asked(words: Sequence[str]) -> Asked:
    """The words of a command line as `pip_arguments` has them, and the files that they name.  Raises UsageError."""
    wishes: list[Wish] = []
    limits: list[Wish] = []
    options: list[str] = []
    strange: list[str] = []
    for line in _lines(words):
        wish = None if line.text.startswith("-") else _wish(line.text)
        if wish is not None:
            (limits if line.limits else wishes).append(wish)
        else:
            (options if line.path and _is_option(line.text) else strange).append(anywhere(line))
    return Asked(tuple(wishes), tuple(limits), tuple(options), tuple(strange))


def _lines(words: Sequence[str]) -> Iterator[Line]:
    """The lines of all files, and what stands on the command line itself as lines of no file."""
    rest = iter(words)
    for word in rest:
        if word in FILES:
            path = next(rest)
            known = os.path.isfile(path) and not path.endswith(".toml")
            yield from read(path, limits=word in CONSTRAINTS) if known else (Line(f"{word} {path}", ""),)
        elif word.startswith("-"):
            yield Line(f"{word} {next(rest, '')}", "")
        else:
            yield Line(word, "")


def _is_option(text: str) -> bool:
    return text.startswith("-") and not text.startswith(_OTHERS)


def _wish(text: str) -> Wish | None:
    from packaging.requirements import InvalidRequirement, Requirement

    requirement, *options = _OPTIONS.split(_VARIABLE.sub(_value, text))
    hashes = [_HASH.match(option.strip()) for option in options]
    try:
        found = Requirement(requirement.strip())
    except InvalidRequirement:
        return None
    if found.url or found.name.endswith(_ARCHIVES) or not all(hashes):
        return None
    return Wish(found, tuple(each[1] for each in hashes if each))


def _value(found: re.Match[str]) -> str:
    return os.environ.get(found[1]) or found[0]

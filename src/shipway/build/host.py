"""What the host provides: seen by pkg-config, by a program's own word, or by the distribution's list of packages.

Sources: pkg-config(1), os-release(5), dpkg-query(1), rpm(8).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from shipway.build.recipe import Recipe

PATIENCE = 10
"""Seconds that a program has to say its version."""

_REQUIREMENT = re.compile(r"(\S+)(?:\s*>=\s*(\S+))?\Z")
_VERSIONS = (re.compile(r"\d+(?:\.\d+)+"), re.compile(r"\d+"))
"""What looks like a version, the likelier first: "m4 (GNU M4) 1.4.19" begins with another number."""


class Answer(NamedTuple):
    """What a program said, and its exit status; 127 where there is none of that name."""

    code: int
    text: str


Ask = Callable[[Sequence[str]], Answer]


class Distribution(NamedTuple):
    """A family of distributions: how its package manager installs, and how it tells whether a package is there."""

    family: str
    install: str
    query: tuple[str, ...]


DISTRIBUTIONS: Mapping[str, Distribution] = {
    "debian": Distribution("debian", "apt install", ("dpkg-query", "-W", "-f=${Status}\n")),
    "fedora": Distribution("fedora", "dnf install", ("rpm", "-q")),
    "suse": Distribution("suse", "zypper install", ("rpm", "-q")),
    "arch": Distribution("arch", "pacman -S", ("pacman", "-Q")),
    "alpine": Distribution("alpine", "apk add", ("apk", "info", "-e")),
}


class Host:
    """This machine, asked at most once about each thing."""

    def __init__(self, distribution: Distribution | None, ask: Ask | None = None) -> None:
        self.distribution = distribution
        self._ask = ask or run
        self._known: dict[str, str] = {}

    def provides(self, recipe: Recipe) -> str:
        """How it was seen that the host provides a package, such as "pkg-config zlib 1.2.13"; "" if it does not."""
        if recipe.name not in self._known:
            ways = (self._by_pkg_config, self._by_program, self._by_distribution)
            self._known[recipe.name] = next(filter(None, (way(recipe) for way in ways)), "")
        return self._known[recipe.name]

    def to_install(self, recipes: Iterable[Recipe]) -> str:
        """The line that installs the host's packages of these names; "" where nothing is known of them."""
        if self.distribution is None:
            return ""
        family = self.distribution.family
        names = sorted({name for recipe in recipes for name in recipe.system.packages.get(family, ())})
        return f"{self.distribution.install} {' '.join(names)}" if names else ""

    def _by_pkg_config(self, recipe: Recipe) -> str:
        wanted = _REQUIREMENT.match((recipe.system.pkg_config or "").strip())
        if wanted is None:
            return ""
        module, least = wanted.groups()
        found = self._ask(["pkg-config", "--modversion", module])
        version = found.text.strip()
        return f"pkg-config {module} {version}" if found.code == 0 and at_least(version, least or "0") else ""

    def _by_program(self, recipe: Recipe) -> str:
        program = recipe.system.program
        if program is None:
            return ""
        if recipe.system.at_least is None:
            return f"program {program}" if self._ask(["which", program]).code == 0 else ""
        found = self._ask([program, "--version"])
        version = next((seen[0] for seen in (v.search(found.text) for v in _VERSIONS) if seen), "")
        good = found.code == 0 and version and at_least(version, recipe.system.at_least)
        return f"program {program} {version}" if good else ""

    def _by_distribution(self, recipe: Recipe) -> str:
        """Only for a package that nothing else tells of: a list of packages knows no least version."""
        if self.distribution is None or recipe.system.pkg_config or recipe.system.program:
            return ""
        names = recipe.system.packages.get(self.distribution.family, ())
        there = [self._ask([*self.distribution.query, name]) for name in names]
        good = names and all(answer.code == 0 and "not-installed" not in answer.text for answer in there)
        return f"{self.distribution.family} {' '.join(names)}" if good else ""


def distribution_of(os_release: str) -> Distribution | None:
    """From the text of /etc/os-release; None where it is of no family that we know."""
    fields = dict(line.split("=", 1) for line in os_release.splitlines() if "=" in line and not line.startswith("#"))
    words = [fields.get(key, "").strip("\"'") for key in ("ID", "ID_LIKE")]
    names = " ".join(words).replace("rhel", "fedora").replace("opensuse", "suse").replace("ubuntu", "debian").split()
    return next((DISTRIBUTIONS[name] for name in names if name in DISTRIBUTIONS), None)


def here() -> Host:
    """The machine that this runs on."""
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        if os.path.exists(path):
            with open(path, encoding="utf-8", errors="replace") as file:
                return Host(distribution_of(file.read()))
    return Host(None)


def at_least(version: str, least: str) -> bool:
    """Whether the numbers of a version are not below those of another: 1.10 is above 1.9, and 1.2 is 1.2.0."""
    found, wanted = (tuple(map(int, re.findall(r"\d+", text))) for text in (version, least))
    length = max(len(found), len(wanted))
    return _padded(found, length) >= _padded(wanted, length)


def _padded(numbers: tuple[int, ...], length: int) -> tuple[int, ...]:
    return numbers + (0,) * (length - len(numbers))


def run(words: Sequence[str]) -> Answer:
    """What a program says on both its streams; one that does not answer in time, or is not there, says nothing."""
    if words[0] == "which":
        path = shutil.which(words[1])
        return Answer(0 if path else 127, path or "")
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return Answer(127, "")
    return Answer(done.returncode, done.stdout.decode(errors="replace"))

"""Where it is plain what pip would find, without asking it: everything that is asked for is there already.

pip keeps what is installed as long as it satisfies everything (unless it is to upgrade or reinstall).  So where all that is asked for,
and all that this needs, is installed, pip's answer is known.  Whatever is not surely understood is left to pip.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping

from shipway.errors import ShipwayError
from shipway.python.compatible import markers
from shipway.python.distributions import Distribution, normal
from shipway.python.needs import Needs, complete, needs
from shipway.python.pip_options import pairs
from shipway.python.target import Target
from shipway.python.understanding import Understanding

_DECIDING = frozenset(("--use-feature", "--use-deprecated", "--isolated"))
"""Options of finding that may lead pip to another answer also where all is there."""
_HARMLESS = frozenset(("--no-deps", "--upgrade-strategy", "--ignore-requires-python"))
"""Options of resolving that do not."""


def settled(target: Target, words: Understanding, before: Mapping[str, Distribution]) -> bool:
    """Whether everything that is asked for is there, so that pip would change nothing; False also where that is not sure."""
    if target.isolated or sees_more(target):
        return False
    resolving, finding = ({name for name, _ in pairs(w)} for w in (words.arguments.resolving, words.arguments.finding))
    return not resolving - _HARMLESS and not finding & _DECIDING and _is_complete(target, words, before)


def _is_complete(target: Target, found: Understanding, before: Mapping[str, Distribution]) -> bool:
    lookup = Installed(target, before)
    wanted = [wish.requirement for wish in found.asked.wishes]
    limits = [wish.requirement for wish in found.asked.limits]
    try:
        return complete(wanted, limits, lookup.shallow if found.shallow else lookup, markers(target.python))
    except (ValueError, ShipwayError):
        return False


class Installed:
    """What the projects of a target need, by their compared names."""

    def __init__(self, target: Target, before: Mapping[str, Distribution]) -> None:
        self._before = before
        self._count = Counter(_key(name) for place in target.libraries for name in _names(place))

    def __call__(self, key: str) -> Needs | None:
        """One project; None if it is not there, or twice, or as tools of old have left it."""
        found = self._before.get(key)
        if found is None or self._count[key] != 1 or not found.info.endswith(".dist-info"):
            return None
        try:
            with open(f"{found.info}/METADATA", encoding="utf-8", errors="replace") as file:
                return needs(file.read())
        except OSError:
            return None

    def shallow(self, key: str) -> Needs | None:
        """The same as if it needed nothing."""
        found = self(key)
        return found and found._replace(requires=())


def _names(place: str) -> list[str]:
    endings = (".dist-info", ".egg-info", ".egg-link", ".egg")
    return [name for name in os.listdir(place) if name.endswith(endings)] if os.path.isdir(place) else []


def _key(name: str) -> str:
    return normal(name.rpartition(".")[0].partition("-")[0])


def sees_more(target: Target) -> bool:
    """Whether pip would look elsewhere first for what is installed: PYTHONPATH, the user's own directory."""
    venv = os.path.isfile(f"{target.root}/pyvenv.cfg")
    users = os.environ.get("PYTHONUSERBASE") or os.path.expanduser("~/.local")
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return any(map(_names, paths)) or (not venv and os.path.isdir(f"{users}/lib"))

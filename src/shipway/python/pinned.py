"""Where every requirement names one version, and all that any of them needs is among them or installed, no resolver has a choice.

Then its answer is known as soon as the wheels are there: from directories, if no index is to be asked, else fetched by one run of pip
that resolves nothing.  The second only where digests or --no-deps make it likely that the list is complete.  Whatever is not surely
understood is left to pip's resolver.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import NamedTuple

from shipway.errors import ShipwayError
from shipway.fs.hashing import hash_file
from shipway.fs.pool import run
from shipway.python.asked import Wish
from shipway.python.chosen import Chosen
from shipway.python.compatible import markers, tags
from shipway.python.distributions import Distribution, normal
from shipway.python.needs import Lookup, Needs, complete, holds, needs
from shipway.python.pip_arguments import Arguments
from shipway.python.pip_options import pairs
from shipway.python.settled import Installed, sees_more, settled
from shipway.python.shelf import Shelf, UnclearError
from shipway.python.steps import Tell
from shipway.python.target import Target
from shipway.python.tools import run_pip
from shipway.python.understanding import Understanding, understanding
from shipway.python.wheel_metadata import metadata_of

_RESOLVING = frozenset(("--no-deps", "--force-reinstall", "--ignore-installed", "--upgrade-strategy"))
_FINDING = frozenset(
    (
        *"--no-index --find-links --index-url --extra-index-url --pre --require-hashes --only-binary --prefer-binary".split(),
        *"--no-build-isolation --config-settings --build-constraint --trusted-host --cert --client-cert --proxy".split(),
        *"--retries --timeout --cache-dir --no-cache-dir --keyring-provider --exists-action --log".split(),
    )
)
"""Options that are understood, or mean nothing where wheels are pinned."""


class Work(NamedTuple):
    """What makes a directory to work in, how many processes may, and whom to tell."""

    area: Callable[[], str]
    jobs: int
    tell: Tell


class _Pins(NamedTuple):
    """What is to come (`coming`) of all that is asked for (`wishes`), what stays, and the variables of markers."""

    words: Understanding
    wishes: tuple[Wish, ...]
    coming: tuple[Wish, ...]
    kept: Lookup
    environment: Mapping[str, str]


def known(target: Target, arguments: Arguments, before: Mapping[str, Distribution], work: Work) -> list[Chosen] | None:
    """What pip would install, where that is plain without its resolver: nothing, or what is pinned.  None where it is not."""
    try:
        words = understanding(target, arguments)
    except (ShipwayError, OSError, ValueError):
        return None
    if not words.plain:
        return None
    return [] if settled(target, words, before) else pinned(target, words, before, work)


def pinned(target: Target, words: Understanding, before: Mapping[str, Distribution], work: Work) -> list[Chosen] | None:
    """What pip would install, with digests checked; None where it is not plain."""
    try:
        pins = _pins(target, words, before)
        if "--no-index" in dict(pairs(words.arguments.finding)):
            paths = _on_shelves(pins, target)
            digests = _checked(pins, paths, work.jobs) if pins.words.hashed else [""] * len(paths)
        elif (words.hashed or words.shallow) and not words.given.dry_run and words.given.resolver != "uv":
            paths = _fetched(pins, target, work)
            digests = [""] * len(paths)
        else:
            return None
        return _chosen(pins, paths, digests)
    except (ValueError, OSError, ShipwayError):
        return None


def _pins(target: Target, words: Understanding, before: Mapping[str, Distribution]) -> _Pins:
    finding, resolving = ({name for name, _ in pairs(w)} for w in (words.arguments.finding, words.arguments.resolving))
    if finding - _FINDING or resolving - _RESOLVING or sees_more(target):
        raise UnclearError("options that may matter")
    environment = markers(target.python)
    wishes = tuple(wish for wish in words.asked.wishes if holds(wish.requirement, (), environment))
    afresh = target.isolated or words.arguments.reinstalls
    kept: Lookup = _nothing if afresh else Installed(target, before)
    coming = tuple(wish for wish in wishes if not _is_there(wish, kept))
    pins = _Pins(words, wishes, coming, kept, environment)
    if len({wish.key for wish in wishes}) != len(wishes) or not all(wish.pin for wish in wishes):
        raise UnclearError("not one version of each")
    if any(wish.hashes for wish in words.asked.limits) or (
        pins.words.hashed and not all(wish.hashes for wish in wishes)
    ):
        raise UnclearError("digests of some alone")
    return pins


def _nothing(key: str) -> Needs | None:
    return None


def _is_there(wish: Wish, kept: Lookup) -> bool:
    found = kept(wish.key)
    return found is not None and wish.requirement.specifier.contains(found.version, prereleases=True)


# -- the wheels --------------------------------------------------------------------------------------------------


def _on_shelves(pins: _Pins, target: Target) -> list[str]:
    """The wheels in the directories that are named, in the order of what is to come."""
    places = [value for name, value in pairs(pins.words.arguments.finding) if name == "--find-links"]
    places = [os.path.abspath(place.removeprefix("file://")) for place in places]
    if not all(map(os.path.isdir, places)):
        raise UnclearError("wheels lie elsewhere")
    shelf = Shelf(places, tags(target.python))
    return [shelf.best(wish.requirement) for wish in pins.coming]


def _checked(pins: _Pins, paths: Sequence[str], jobs: int) -> list[str]:
    digests = list(run(hash_file, paths, jobs))
    for wish, digest in zip(pins.coming, digests, strict=True):
        if f"sha256:{digest}" not in map(str.lower, wish.hashes):
            raise UnclearError("other digests than asked for")
    return digests


def _fetched(pins: _Pins, target: Target, work: Work) -> list[str]:
    """The wheels as pip fetches or builds them; it insists on digests."""
    area = work.area()
    wheels, lists = f"{area}/wheels", f"{area}/pinned.txt"
    with open(lists, "w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in pins.words.asked.options)
        file.writelines(
            " ".join((str(wish.requirement), *(f"--hash={each}" for each in wish.hashes))) + "\n"
            for wish in pins.coming
        )
    if pins.coming:
        command = ["wheel", "--no-deps", "--wheel-dir", wheels, *pins.words.given.finding, "--requirement", lists]
        run_pip(target, command, "fetch", work.tell)
    found = {normal(name.partition("-")[0]): f"{wheels}/{name}" for name in os.listdir(wheels)} if pins.coming else {}
    return [found[wish.key] for wish in pins.coming]


# -- what they need ----------------------------------------------------------------------------------------------


def _chosen(pins: _Pins, paths: Sequence[str], digests: Sequence[str]) -> list[Chosen]:
    """The same as pip would have reported it, if nothing else is needed."""
    found = {wish.key: _needs(pins, wish, path) for wish, path in zip(pins.coming, paths, strict=True)}

    def lookup(key: str) -> Needs | None:
        there = found.get(key) or pins.kept(key)
        return there._replace(requires=()) if there and pins.words.shallow else there

    limits = [wish.requirement for wish in pins.words.asked.limits]
    if not complete([wish.requirement for wish in pins.wishes], limits, lookup, pins.environment):
        raise UnclearError("something else is needed")
    return [
        Chosen(about.name, about.version, PurePath(path).as_uri(), {"sha256": digest} if digest else {}, True, "")
        for about, path, digest in zip(found.values(), paths, digests, strict=True)
    ]


def _needs(pins: _Pins, wish: Wish, path: str) -> Needs:
    from packaging.specifiers import SpecifierSet

    about = needs(metadata_of(path))
    if normal(about.name) != wish.key or not wish.requirement.specifier.contains(about.version, prereleases=True):
        raise UnclearError(f"{path} is of another project")
    if not SpecifierSet(about.python).contains(pins.environment["python_full_version"], prereleases=True):
        raise UnclearError(f"{path} is for another Python")
    return about

"""Wheels become images by way of the user's depot: what a wheel is everywhere is unpacked and compiled once, then linked.

digests ─ the depot has it? ─┬─────────────── yes ──────────────┬─ this environment's own half ─ put together by links
                             └─ unpack all, compile all ─ keep ─┘        └─ damaged, or vanished meanwhile: again
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import NamedTuple

from shipway.api import Image, Prefix
from shipway.assembling import Wanted
from shipway.errors import CorruptError, ShipwayError
from shipway.fs.hashing import hash_file
from shipway.fs.pool import run
from shipway.fs.system import FileSystem
from shipway.model.entry import Entry, Manifest, with_entries
from shipway.model.identity import checked_version, identity_of
from shipway.python.bytecode import CompileRequest, compile_all
from shipway.python.distributions import normal
from shipway.python.interpreter import Interpreter, inspect
from shipway.python.own_half import own_half, places
from shipway.python.target import Target
from shipway.python.wheel import Unpacked, Wheel, unpack
from shipway.store.assemble import Graft, Parts
from shipway.store.depot import FORMAT, TREE, Depot, Kept
from shipway.store.stocktaking import is_sound

ATTEMPTS = 3
"""How often what the depot has may prove damaged, or vanish, before it is done without."""

_LIBRARIES = ("purelib", "platlib")


class Making(NamedTuple):
    """A wheel, the key of its image in the depot ("" if it is not to be kept), and where it is made."""

    wheel: Wheel
    key: str
    place: str


class Stock:
    """Makes images of wheels for one target."""

    def __init__(self, prefix: Prefix, target: Target, *, compiled: bool) -> None:
        self.prefix = prefix
        self.target = target
        self.site = prefix.site
        self.interpreter = inspect(target.python) if compiled else None
        self.depot = Depot(self.site.fs, self.site.options.cache)

    def images(self, wheels: Sequence[Wheel]) -> list[Image]:
        """An image in the prefix's store for each wheel.  Raises ShipwayError, for all wheels that are not sound."""
        keys = self._keys(wheels)
        for attempt in range(ATTEMPTS + 1):
            if attempt == ATTEMPTS:
                keys = [""] * len(wheels)
            with ExitStack() as open_until_linked:
                halves = self._halves(wheels, keys, open_until_linked)
                try:
                    return self._assembled(wheels, halves)
                except (CorruptError, FileNotFoundError):
                    if attempt == ATTEMPTS:
                        raise
                    self._drop_damaged(keys)
        raise AssertionError("the last attempt needs no depot")

    # -- what is the same everywhere -------------------------------------------------------------------------

    def _keys(self, wheels: Sequence[Wheel]) -> list[str]:
        suffix = self._suffix()
        if not suffix or not self.depot.directory:
            return [""] * len(wheels)
        digests = run(hash_file, [wheel.path for wheel in wheels], self.site.options.jobs)
        return ["" if _is_passing(w) else f"{digest}-{suffix}" for w, digest in zip(wheels, digests, strict=True)]

    def _suffix(self) -> str:
        """What beside the wheel decides what its image holds; "" where its bytecode serves no other environment."""
        python = self.interpreter
        if python is None:
            return f"plain-{FORMAT}"
        if not python.corrects_names:
            return ""
        return f"{python.cache_tag}-{python.magic.hex()}-{FORMAT}"

    def _halves(self, wheels: Sequence[Wheel], keys: Sequence[str], scope: ExitStack) -> list[Kept]:
        """For each wheel what it is everywhere, from the depot or made now."""
        found = {key: kept for key in set(keys) - {""} if (kept := self.depot.find(key)) is not None}
        missing = [(wheel, key) for wheel, key in zip(wheels, keys, strict=True) if key not in found]
        made = iter(self._made(missing, scope) if missing else ())
        return [found[key] if key in found else next(made) for key in keys]

    def _made(self, missing: Sequence[tuple[Wheel, str]], scope: ExitStack) -> list[Kept]:
        """Made in the depot if it may be, else in the prefix's own area."""
        if any(key for _, key in missing):
            with suppress(OSError, _NoDepotError):
                return self._made_in(self._workshop(scope), missing)
        area = self.prefix.staging(f"wheels-{os.urandom(4).hex()}")
        return self._made_in(area, [(wheel, "") for wheel, _ in missing])

    def _workshop(self, scope: ExitStack) -> str:
        try:
            return scope.enter_context(self.depot.workshop())
        except ShipwayError as error:
            raise _NoDepotError(error.message) from error

    def _made_in(self, area: str, missing: Sequence[tuple[Wheel, str]]) -> list[Kept]:
        makings = [Making(wheel, key, f"{area}/{number}") for number, (wheel, key) in enumerate(missing)]
        if not any(making.key for making in makings):
            return list(self._halves_of(area, makings)[0].values())
        with self.depot.on_disk(area):
            halves, whole = self._halves_of(area, makings)
            for making in makings:
                self.depot.describe(making.place, halves[making.place])
        return [self._kept(making, halves[making.place], whole=whole) for making in makings]

    def _kept(self, making: Making, half: Kept, *, whole: bool) -> Kept:
        return self.depot.keep(making.key, making.place, half) if making.key and whole else half

    def _halves_of(self, area: str, makings: Sequence[Making]) -> tuple[dict[str, Kept], bool]:
        """All unpacked and compiled, by place; and whether the interpreter did its work."""
        self.site.tell("phase", f"unpacking {len(makings)} wheels")
        for making in makings:
            self.site.fs.mkdir(making.place, 0o700)
        largest_first = sorted(makings, key=lambda each: -os.path.getsize(each.wheel.path))
        done = run(partial(_unpacked, self.site.fs, time.time_ns()), largest_first, self.site.options.jobs)
        unpacked = dict(zip((each.place for each in largest_first), done, strict=True))
        manifests, whole = self._compiled(area, {place: each.manifest for place, each in unpacked.items()})
        places = [making.place for making in makings]
        return {place: Kept(f"{place}/{TREE}", manifests[place], unpacked[place].about) for place in places}, whole

    def _compiled(self, area: str, manifests: Mapping[str, Manifest]) -> tuple[dict[str, Manifest], bool]:
        """The manifests, by place, with bytecode; and whether the interpreter did its work."""
        python = self.interpreter
        if python is None:
            return dict(manifests), True
        sources = [
            (f"{place}/{TREE}/{path}"[len(area) + 1 :], entry)
            for place, m in manifests.items()
            for path, entry in _sources(m)
        ]
        self.site.tell("phase", f"compiling {len(sources)} files")
        request = CompileRequest(
            python, area, sources, partial(_code_name, self._root(python)), jobs=self.site.options.jobs
        )
        done = compile_all(self.site.fs, request)
        added: dict[str, dict[str, Entry]] = {place: {} for place in manifests}
        for path, entry in done.entries.items():
            number, _, rest = path.partition("/")
            added[f"{area}/{number}"][rest.removeprefix(f"{TREE}/")] = entry
        return {place: with_entries(m, added[place]) for place, m in manifests.items()}, not done.warnings

    def _root(self, python: Interpreter) -> str:
        """What code says before the path that it is imported by: nothing, where the interpreter puts the right name in its place."""
        return "" if python.corrects_names else f"{self.target.paths['purelib']}/"

    def _drop_damaged(self, keys: Sequence[str]) -> None:
        """Remove what cannot be linked from, so that it is made anew."""
        with suppress(OSError, ShipwayError), self.depot.workshop() as area:
            for key in set(keys) - {""}:
                if not is_sound(self.depot, key, self.site.options.jobs):
                    self.depot.drop(key, area)

    # -- this environment's image ----------------------------------------------------------------------------

    def _assembled(self, wheels: Sequence[Wheel], halves: Sequence[Kept]) -> list[Image]:
        self.site.tell("phase", f"preparing {len(wheels)} projects")
        now = time.time_ns()
        return self.prefix.assemble([self._wanted(w, half, now) for w, half in zip(wheels, halves, strict=True)])

    def _wanted(self, wheel: Wheel, half: Kept, now: int) -> Wanted:
        there = places(self.target, wheel)
        grafts = [
            Graft(half.tree, half.manifest, scheme, there[scheme]) for scheme in half.manifest.directories[""].entries
        ]
        parts = Parts(grafts, own_half(wheel, half.about, self.target), now)
        key, python = normal(wheel.name), self.interpreter
        version = ".".join(map(str, python.version)) if python else ""
        compiler = self.target.python if python else ""
        return Wanted(identity_of(f"pkg:pypi/{key}"), key, checked_version(wheel.version), parts, compiler, version)


class _NoDepotError(Exception):
    """There can be no depot here; it is done without."""


def _unpacked(fs: FileSystem, mtime: int, making: Making) -> Unpacked:
    done = unpack(fs, making.wheel, f"{making.place}/{TREE}", mtime)
    if making.key and not making.key.startswith(hash_file(making.wheel.path)):
        raise ShipwayError(f"{making.wheel.path} changed while it was read", hint="run the command again")
    return done


def _is_passing(wheel: Wheel) -> bool:
    """Whether a wheel was built just now from a directory, so that no other will ever be the same."""
    return '"dir_info"' in wheel.direct_url


def _sources(manifest: Manifest) -> list[tuple[str, Entry]]:
    return [(path, entry) for path, entry in manifest.files() if path.endswith(".py") and path.startswith(_LIBRARIES)]


def _code_name(root: str, path: str) -> str:
    """NUMBER/tree/SCHEME/PATH as code is to call it."""
    return root + path.split("/", 3)[3]

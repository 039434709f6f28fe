"""The journal carried out: every unit forward to finish a transaction, or backward to take it back.

Commit, abort and recovery are this one loop.  For each unit it finds which role what lies on either side plays, asks
the table in `model.recovery` what to do, and does it.  A side is recognised by its identity (device, inode, birth time,
kind); where that fails, because the prefix was copied or restored meanwhile, by its content against both manifests.
What fits neither is left alone and named: nothing is guessed (I3, I10).  A directory that the kernel does not let be renamed is
turned from old to new, or back, piece by piece (`pieces`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from shipway.errors import StuckError
from shipway.fs.found import DIRECTORY, FILE, Identity, identity, look
from shipway.fs.hashing import hash_file
from shipway.fs.relink import is_directory, is_unmovable, rename_or_relink
from shipway.fs.system import FileSystem
from shipway.model.entry import Manifest, parent_of
from shipway.model.recovery import (
    Action,
    Role,
    backward,
    backward_derived,
    forward,
    forward_derived,
)
from shipway.model.unit import Source, Verb
from shipway.prefix.layout import Layout, brought, dropped, pieces, saved, staged
from shipway.prefix.pieces import Pieces, Wanted, only_derived
from shipway.prefix.records import Step
from shipway.store.compare import compare, strays

FALLBACK = "fallback"


class Journal:
    """The units of one transaction, with where they lie.  `manifest` reads an image's manifest from the record."""

    def __init__(
        self, fs: FileSystem, layout: Layout, area: str, mode: str, manifest: Callable[[str], Manifest]
    ) -> None:
        self.fs = fs
        self.layout = layout
        self.area = area
        self.mode = mode
        self.manifest = manifest
        self.left: list[str] = []
        """Paths that could not be removed because something new lies there."""
        self._in_pieces: set[int] = set()
        """Units that an earlier recovery, or this one, carries out piece by piece."""
        self.brought: set[int] = set()
        """Units with a mark: they are carried out, and what they took out lies where it belongs."""

    def carry_out(self, steps: list[Step]) -> None:
        """`roll_forward` for the process that has just staged: it knows what lies in its own area, so it looks less."""
        for step in steps:
            if not self._carried_out(step):
                self._forward(step)

    def _carried_out(self, step: Step) -> bool:
        """Do a unit where all is as planned; False, and nothing done, where it has to be looked at closely.

        A place needs no look: the rename itself refuses a name that is taken.
        """
        there, live = staged(self.area, step.seq), self.layout.live(step.unit.path)
        verb = step.unit.verb
        if step.unit.derived or self.mode == FALLBACK:
            return False
        try:
            if verb is Verb.PLACE:
                self.fs.place(there, live)
            elif verb is Verb.SWAP and step.live is not None and identity(live) == step.live:
                self.fs.exchange(there, live)
            else:
                return False
        except (FileExistsError, FileNotFoundError):
            return False
        return True

    def roll_forward(self, steps: list[Step]) -> None:
        """Finish every unit, in order.  Raises OSError where one proves impossible, StuckError where one is unclear."""
        self._find_pieces(steps)
        for step in steps:
            self._forward(step)

    def roll_back(self, steps: list[Step]) -> None:
        """Take every unit back, in reverse.  Tries all; raises StuckError that lists what could not be taken back."""
        self._find_pieces(steps)
        failures = []
        for step in reversed(steps):
            try:
                self._backward(step)
            except (OSError, StuckError) as error:
                failures.append(f"{step.unit.path}: {error}")
        if failures:
            raise StuckError("these paths could be neither finished nor taken back", details=failures)

    def pieces(self, step: Step) -> Pieces | None:
        """How a unit is carried out that cannot be a rename here; None for all others."""
        return self._pieces(step) if step.seq in self._in_pieces else None

    def _find_pieces(self, steps: list[Step]) -> None:
        found = {f"{self.area}/{name}" for name in os.listdir(self.area)} if os.path.isdir(self.area) else set()
        self.brought = {step.seq for step in steps if brought(self.area, step.seq) in found}
        self._in_pieces = {step.seq for step in steps if pieces(self.area, step.seq) in found} - self.brought

    def _pieces(self, step: Step) -> Pieces:
        return Pieces(self.fs, pieces(self.area, step.seq), self.layout.live(step.unit.path), step.unit.path)

    def _forward(self, step: Step) -> None:
        if step.seq in self.brought:
            return None
        if step.seq in self._in_pieces:
            return self._turn(step, going=True)
        action = self._decide(step, going=True)
        if action is Action.UNCLEAR:
            raise StuckError(f"{step.unit.path} is neither the old nor the new content")
        if action is Action.DONE and step.unit.verb is Verb.RETIRE and not step.unit.derived:
            self.left.append(step.unit.path)
        try:
            self._carry_out(partial(self._rename, action, step), step, going=True)
        except FileExistsError:
            if not self._may_displace(step):
                raise
            self._carry_out(partial(self._displace, step), step, going=True)
        except FileNotFoundError:
            if not step.unit.derived:
                raise

    def _backward(self, step: Step) -> None:
        if step.seq in self._in_pieces:
            return self._turn(step, going=False)
        action = self._decide(step, going=False)
        if action is Action.UNCLEAR:
            raise StuckError("is neither the old nor the new content")
        if action is Action.REGAIN:
            self._take_apart(step)
            return self._turn(step, going=False)
        return self._carry_out(partial(self._rename, action, step), step, going=False)

    def _decide(self, step: Step, *, going: bool) -> Action:
        there, here = self._roles(step)
        if step.unit.derived:
            return (forward_derived if going else backward_derived)(step.unit.verb, there, here)
        action = (forward if going else backward)(step.unit.verb, there, here)
        if action is Action.DONE and here is Role.OTHER and os.path.lexists(saved(self.area, step.seq)):
            return Action.UNCLEAR
        return action

    def _carry_out(self, rename: Callable[[], None], step: Step, *, going: bool) -> None:
        """By renames, or piece by piece where it is a directory that stays where it is."""
        try:
            rename()
        except OSError as error:
            sides = staged(self.area, step.seq), self.layout.live(step.unit.path)
            if not is_unmovable(error) or not any(map(is_directory, sides)):
                raise
            self._take_apart(step)
            self._turn(step, going=going)

    def _rename(self, action: Action, step: Step) -> None:
        there, live = staged(self.area, step.seq), self.layout.live(step.unit.path)
        if action is Action.PLACE:
            self._place(there, live)
        elif action is Action.EXCHANGE:
            self._exchange(step, there, live)
        elif action is Action.TAKE:
            self.fs.take(live, there)
        elif action is Action.DROP and step.unit.kind == DIRECTORY:
            self.fs.take(live, dropped(self.area, step.seq))
        elif action is Action.DROP:
            self.fs.replace(live, there)
        elif action is Action.RMDIR:
            self._rmdir(step.unit.path, live)
        elif action is Action.MKDIR:
            self.fs.mkdir(live, self._old_mode(step))
        elif action is Action.RESTORE:
            self._restore(step, live)

    def _place(self, there: str, live: str) -> None:
        """In an overlay's lower layer a directory stays where it is, and is placed made again: the same on both sides is done."""
        rename_or_relink(self.fs, self.fs.place, there, live, f"{there}-again")

    def _exchange(self, step: Step, there: str, live: str) -> None:
        if self.mode != FALLBACK:
            return self.fs.exchange(there, live)
        kept = saved(self.area, step.seq)
        if not os.path.lexists(kept):
            self.fs.take(live, kept)
            return self.fs.place(there, live)
        return self.fs.replace(there, live)

    def _restore(self, step: Step, live: str) -> None:
        """Fall-back mode: the old content comes back from where it was kept beforehand."""
        kept, there = saved(self.area, step.seq), staged(self.area, step.seq)
        if look(kept) is None:
            return self.fs.take(live, there)
        if is_directory(live) or (is_directory(kept) and look(live) is not None):
            self.fs.take(live, there if look(there) is None else dropped(self.area, step.seq))
        return self._place(kept, live) if look(live) is None else self.fs.replace(kept, live)

    # -- in pieces -------------------------------------------------------------------------------------------

    def _take_apart(self, step: Step) -> None:
        """Have both contents of a unit side by side, whichever of them is live."""
        there, live, kept = staged(self.area, step.seq), self.layout.live(step.unit.path), saved(self.area, step.seq)
        sides = list(zip(self._roles(step), (there, live), strict=True))
        new = next((path for role, path in sides if role is Role.NEW), "")
        old = next((path for role, path in sides if role in (Role.OLD, Role.OTHER)), "")
        if os.path.lexists(kept):
            old = kept
        sources, other = (step.unit.sources, old) if new == live else (step.unit.replaces, new)
        found = self._pieces(step)
        if step.seq in self.brought:
            self.fs.remove_tree(found.there)
            self.fs.unlink(brought(self.area, step.seq))
            self.brought.discard(step.seq)
        found.begin(new, old, self._wanted(live, sources, other))
        self._in_pieces.add(step.seq)

    def _wanted(self, live: str, sources: tuple[Source, ...], other: str) -> Wanted:
        """Of what is live all but strays; these too where the other content has a file in place of their directory."""
        found = [set(strays(live, manifest, "")) for manifest in self._manifests(sources)]
        spared = set.intersection(*found) if found else set()

        def wanted(path: str) -> bool:
            above = [other, *(f"{other}/{path[:at]}" for at, letter in enumerate(path) if letter == "/")]
            return path not in spared or any(os.path.lexists(p) and not is_directory(p) for p in above if other)

        return wanted

    def _turn(self, step: Step, *, going: bool) -> None:
        """Bring a unit in pieces to its end, forward or backward; again and again if need be."""
        verb, found = step.unit.verb, self._pieces(step)
        new = found.new if os.path.lexists(found.new) else ""
        old = found.old if os.path.lexists(found.old) else ""
        goal, other = (new, old) if going else (old, new)
        if verb is (Verb.RETIRE if going else Verb.PLACE):
            goal = ""
        elif not os.path.lexists(goal):
            raise StuckError("what is to lie there is gone")
        found.turn(goal, other)
        self.left += found.left

    def _rmdir(self, path: str, live: str) -> None:
        try:
            self.fs.rmdir(live)
        except OSError:
            if not os.listdir(live):
                raise
            self.left.append(path)

    def _old_mode(self, step: Step) -> int:
        for source in step.unit.replaces:
            entry = self.manifest(source.image).entry(source.path)
            if entry is not None:
                return entry.mode
        return 0o755

    def _displace(self, step: Step) -> None:
        there, live = staged(self.area, step.seq), self.layout.live(step.unit.path)
        if self.mode == FALLBACK:
            return self.fs.replace(there, live)
        return self.fs.exchange(there, live)

    def _may_displace(self, step: Step) -> bool:
        """Whether what appeared at a free path since the plan is only bytecode of a late importer."""
        live = self.layout.live(step.unit.path)
        if step.unit.verb is not Verb.PLACE:
            return False
        if step.unit.kind == DIRECTORY:
            return self.mode != FALLBACK and only_derived(live)
        return step.unit.derived

    # -- roles -----------------------------------------------------------------------------------------------

    def _roles(self, step: Step) -> tuple[Role, Role]:
        there, live = staged(self.area, step.seq), self.layout.live(step.unit.path)
        if step.unit.verb is Verb.RMDIR:
            return Role.ABSENT, Role.OLD if os.path.isdir(live) else Role.ABSENT
        return self._role(step, there), self._role(step, live)

    def _role(self, step: Step, path: str) -> Role:
        found = identity(path)
        if found is None:
            return Role.ABSENT
        if found == step.staged:
            return Role.NEW
        if found == step.live:
            return Role.OLD
        return self._by_content(step, path, found)

    def _by_content(self, step: Step, path: str, found: Identity) -> Role:
        if found.kind == DIRECTORY:
            if step.new and self._holds(path, step.unit.sources, step.unit.replaces):
                return Role.NEW
            held = step.old and self._holds(path, step.unit.replaces, step.unit.sources)
            return Role.OLD if held else Role.OTHER
        content = content_of(path, found.kind)
        if content == step.new:
            return Role.NEW
        return Role.OLD if content == step.old else Role.OTHER

    def _holds(self, path: str, sources: tuple[Source, ...], others: tuple[Source, ...]) -> bool:
        """Whether a directory holds what these images have at the path, all of it and nothing that only the others have.

        What neither has, somebody wrote into it; but any directory would pass for one that is empty.
        """
        if not sources:
            return False
        wanted, unwanted = self._manifests(sources), self._manifests(others)
        if any(compare(path, manifest, quick=False, jobs=1) for manifest in wanted):
            return False
        extra = set.intersection(*(set(strays(path, manifest, "")) for manifest in wanted))
        if not any(any(manifest.entries()) for manifest in wanted):
            return not extra
        return not any(manifest.entry(name) for manifest in unwanted for name in extra)

    def _manifests(self, sources: tuple[Source, ...]) -> list[Manifest]:
        return [self.manifest(source.image).subtree(source.path) for source in sources]


def content_of(path: str, kind: str) -> str:
    """What a step's `new` and `old` say of a file or symlink."""
    if kind == FILE:
        return hash_file(path)
    found = look(path)
    return f"-> {found.target}" if found else ""


def parents(steps: list[Step]) -> list[str]:
    """The directories in which the units' names lie, each once."""
    return sorted({parent_of(step.unit.path) for step in steps})

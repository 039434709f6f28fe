"""After the renames: what was taken out is looked through, put away and made durable; then a transaction is `done`.

Runs outside the prefix lock, by the process that committed or by the next one that finds it dead; every step may be
repeated.  Nothing that a program wrote into a directory between the plan and the rename is lost (I9): such strays go
back under their names, or into `lost+found/`, and are told.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress

from shipway.errors import StuckError
from shipway.fs.found import DIRECTORY, FILE, LINK, list_directory, look
from shipway.fs.relink import Rename, is_directory, is_unmovable, relink, rename_or_relink
from shipway.fs.tree import make_directories
from shipway.model.derived import bytecode_of, is_derived
from shipway.model.entry import DEEPEST, Entry, Manifest, join, parent_of
from shipway.model.planning import Note
from shipway.model.unit import Verb
from shipway.prefix.journal import Journal
from shipway.prefix.layout import brought, dropped, saved, staged
from shipway.prefix.leftover import IN_THE_WAY, remove
from shipway.prefix.pieces import Pieces
from shipway.prefix.records import State, Step
from shipway.prefix.site import Site
from shipway.store.attributes import CAPABILITY
from shipway.store.compare import changed, strays

SPECIAL_BITS = stat.S_ISUID | stat.S_ISGID
AGAIN = "again"


class HeldError(Exception):
    """Something cannot be removed where content that was taken out is to lie; says what, and what to do about it."""


class Finisher:
    """Finishes one transaction that is `applied`."""

    def __init__(self, site: Site, ref: int, number: int, token: str, journal: Journal) -> None:
        self.site = site
        self.ref = ref
        self.number = number
        self.token = token
        self.journal = journal
        self.notes: list[Note] = []
        self.changed: dict[str, str] = {}

    def finish(self, steps: list[Step]) -> list[Note]:
        """Look through, put away, sync, `done`; returns what there is to tell.

        Raises HeldError where that has to wait: the transaction stays `applied`, and may be finished another time.
        """
        site = self.site
        descriptor = site.fs.open_for_sync(site.layout.state)
        try:
            self._bring_all(steps, descriptor)
            for step in steps:
                self._look_through(step)
            sweep_bytecode(site, steps)
            size = self._size(steps)
            kept = self._put_away(steps)
            parents = {site.layout.live(parent_of(step.unit.path)) for step in steps}
            site.sync(descriptor, (), [*parents, site.layout.undo, site.layout.work, self.journal.area])
        finally:
            os.close(descriptor)
        site.database.finish(self.ref, "kept" if kept else "none", size if kept else (0, 0), self.changed)
        for mark in self._marks() if kept else ():
            remove(site.fs, mark)
        left = [path for path in self.journal.left if os.path.lexists(site.layout.live(path))]
        self.notes += [Note("left", path, "not removed, something new lies there") for path in left]
        return self.notes

    def take_back(self, steps: list[Step]) -> list[Note]:
        """Take back a transaction that is `undoing`: it ends `undone`, or `stuck` with StuckError."""
        site = self.site
        descriptor = site.fs.open_for_sync(site.layout.state)
        try:
            self.journal.roll_back(steps)
            for step in steps:
                self._save_strays(step)
            lives = [site.layout.live(step.unit.path) for step in steps]
            site.sync(descriptor, filter(is_directory, lives), ())
            for step in filter(self.journal.pieces, steps):
                remove(site.fs, staged(self.journal.area, step.seq))  # its old content is live again
        except StuckError as error:
            site.database.set_state(self.ref, State.STUCK, "\n".join(error.details))
            raise
        finally:
            os.close(descriptor)
        site.database.set_state(self.ref, State.UNDONE)
        return self.notes

    def _save_strays(self, step: Step) -> None:
        """What a program wrote into new content that lies elsewhere than where it was staged, after that was taken back."""
        apart = self.journal.pieces(step)
        self._give_back_strays(apart)
        place = apart.new if apart else dropped(self.journal.area, step.seq)
        if step.unit.verb in (Verb.PLACE, Verb.SWAP) and is_directory(place):
            manifests = [self.journal.manifest(s.image).subtree(s.path) for s in step.unit.sources]
            for name in _in_none(place, manifests):
                self._give_back(join(step.unit.path, name), f"{place}/{name}")

    # -- what was taken out ----------------------------------------------------------------------------------

    def _bring_all(self, steps: list[Step], descriptor: int) -> None:
        """Have what was taken out where it belongs.

        What stays elsewhere all the same is removed with the rest of the area, and what lies at the path may not be what it was
        by then.  So a mark says, when all is on disk, that nobody has to ask any more; it goes when the transaction is `done`.
        """
        journal, fs = self.journal, self.site.fs
        found = [step.seq for step in steps if self._bring(step)]
        if found:
            lives = [self.site.layout.live(step.unit.path) for step in steps]
            self.site.sync(descriptor, [journal.area, *filter(os.path.lexists, lives)], ())
            for seq in found:
                fs.write_file(brought(journal.area, seq), b"", 0o600)
            fs.flush(journal.area)
            journal.brought.update(found)

    def _marks(self) -> list[str]:
        return [brought(self.journal.area, seq) for seq in sorted(self.journal.brought)]

    def _bring(self, step: Step) -> bool:
        """Whether a mark is due."""
        area, fs = self.journal.area, self.site.fs
        there, apart = staged(area, step.seq), self.journal.pieces(step)
        self._give_back_strays(apart)
        before = apart.old if apart else saved(area, step.seq)
        if step.unit.verb not in (Verb.SWAP, Verb.RETIRE) or not os.path.lexists(before):
            return apart is not None
        if os.path.lexists(brought(area, step.seq)):
            return False
        if left := remove(fs, there):
            raise HeldError(str(left))
        if apart is None:
            return rename_or_relink(fs, fs.take, before, there, f"{there}-again")
        relink(fs, before, f"{there}-again")
        fs.take(f"{there}-again", there)
        return True

    def _look_through(self, step: Step) -> None:
        if step.unit.verb not in (Verb.SWAP, Verb.RETIRE):
            return
        there = staged(self.journal.area, step.seq)
        found = look(there)
        if found is None or found.kind == LINK:
            return
        if found.kind == DIRECTORY:
            self._look_through_directory(step, there)
        else:
            self._disarm_one(step.unit.path, there)

    def _look_through_directory(self, step: Step, there: str) -> None:
        manifests = [self.journal.manifest(s.image).subtree(s.path) for s in step.unit.replaces]
        for name in _in_none(there, manifests):
            self._give_back(join(step.unit.path, name), f"{there}/{name}")
        for manifest in manifests:
            for name in changed(there, manifest, ""):
                text = "was changed by somebody; their version is kept in the undo area"
                self.changed[join(step.unit.path, name)] = f"u{step.seq}/{name}"
                self.notes.append(Note("changed", join(step.unit.path, name), text))
            self._disarm(step.unit.path, there, manifest)

    def _disarm(self, at: str, there: str, manifest: Manifest) -> None:
        """Old programs with setuid or capabilities must not stay usable in the undo area (I11)."""
        if not any(entry.mode & SPECIAL_BITS or entry.xattrs for entry in manifest.entries()):
            return
        for path, entry in manifest.files():
            if _is_armed(entry):
                self._disarm_one(join(at, path), f"{there}/{path}")

    def _disarm_one(self, path: str, there: str) -> None:
        """One that is immutable stays as it is: nobody else may look into an undo area."""
        found = look(there)
        if found is None or found.kind != FILE:
            return
        try:
            if found.mode & SPECIAL_BITS:
                self.site.fs.chmod(there, found.mode & ~SPECIAL_BITS)
            if CAPABILITY in os.listxattr(there, follow_symlinks=False):
                self.site.fs.remove_xattr(there, CAPABILITY)
        except PermissionError as error:
            text = (
                f"keeps its special rights in the undo area: {(error.strerror or '').lower()}; `shipway gc` says more"
            )
            self.notes.append(Note("armed", path, text))

    def _give_back_strays(self, apart: Pieces | None) -> None:
        for path, taken in apart.strays() if apart else ():
            self._give_back(path, taken)

    def _give_back(self, path: str, taken: str) -> None:
        """A stray returns to its name; where that is taken by now it goes to lost+found."""
        try:
            make_directories(self.site.layout.live(parent_of(path)), 0o755, self.site.fs.mkdir)
            self._move(self.site.fs.place, taken, self.site.layout.live(path))
            self.notes.append(Note("stray", path, "was written while the commit was under way; it is where it was"))
        except OSError:
            self.notes.append(
                Note("stray", path, f"was written while the commit was under way; {self._lose(path, taken)}")
            )

    def _lose(self, path: str, taken: str) -> str:
        """Move a stray to lost+found; one that cannot be moved stays in the undo area."""
        lost = f"{self.site.layout.lost}/{self.number}/{path}"
        try:
            make_directories(os.path.dirname(lost), 0o700, self.site.fs.mkdir)
            self._move(self.site.fs.take, taken, lost)
        except OSError as error:
            if error.errno not in IN_THE_WAY:
                raise
            below = taken.removeprefix(self.journal.area)
            return f"it cannot be moved and lies in {self.site.layout.undo_of(self.number)}{below}"
        return f"its name is taken, it lies in {lost}"

    def _move(self, rename: Rename, taken: str, target: str) -> None:
        if rename_or_relink(self.site.fs, rename, taken, target, f"{self.journal.area}/stray"):
            remove(self.site.fs, taken)

    # -- the undo area ---------------------------------------------------------------------------------------

    def _put_away(self, steps: list[Step]) -> bool:
        """Turn the session's area into the undo area; False if a commit took nothing out."""
        area, undo = self.journal.area, self.site.layout.undo_of(self.number)
        kept = {staged(area, step.seq) for step in steps if step.unit.verb in (Verb.SWAP, Verb.RETIRE)}
        marks = self._marks()
        if not os.path.isdir(area):
            return False
        for path in sorted(f"{area}/{name}" for name in os.listdir(area)):
            if path not in kept and path not in marks:
                remove(self.site.fs, path)  # what cannot be removed goes with the undo area
        if len(os.listdir(area)) == len(marks):
            for mark in marks:
                self.site.fs.unlink(mark)
            self.site.fs.rmdir(area)
            return False
        if area != undo:
            self._become(area, undo)
            self.journal.area = undo
        return True

    def _become(self, area: str, undo: str) -> None:
        """One rename; in an overlay's lower layer of a tree made again, which belongs to the area until then."""
        fs = self.site.fs
        try:
            fs.take(area, undo)
        except OSError as error:
            if not is_unmovable(error):
                raise
            again = f"{area}/{AGAIN}"
            relink(fs, area, again, lambda path: path != AGAIN)
            fs.take(again, undo)
            remove(fs, area)  # whoever sweeps dead sessions tells what is left, and tries again

    def _size(self, steps: list[Step]) -> tuple[int, int]:
        """Bytes and inodes in the undo area, by the manifests of what was taken out."""
        size = inodes = 0
        for step in steps:
            for source in step.unit.replaces:
                manifest = self.journal.manifest(source.image)
                entry = manifest.entry(source.path)
                below = manifest.subtree(source.path).entries() if entry and entry.kind == DIRECTORY else ()
                sizes = [e.size for e in below] + ([entry.size] if entry else [])
                size, inodes = size + sum(sizes), inodes + len(sizes)
        return size, inodes


def _is_armed(entry: Entry) -> bool:
    return entry.kind == FILE and (
        bool(entry.mode & SPECIAL_BITS) or any(name == CAPABILITY for name, _ in entry.xattrs)
    )


def sweep_bytecode(site: Site, steps: Iterable[Step]) -> None:
    """Remove what late importers wrote after the sources had gone (I6): bytecode alone, never anything else.

    What may not be removed stays: bytecode is never the cause of a failure.
    """
    for step in steps:
        if step.unit.verb is Verb.RETIRE and not step.unit.derived:
            if step.unit.kind == DIRECTORY:
                _sweep_directory(site, site.layout.live(step.unit.path))
            elif step.unit.path.endswith(".py"):
                _sweep_source(site, step.unit.path)


def _sweep_directory(site: Site, live: str) -> None:
    found = look(live)
    if found is not None and found.kind == DIRECTORY and _holds_derived_only(live):
        remove(site.fs, live, lambda path: not is_derived(path))


def _sweep_source(site: Site, path: str) -> None:
    if os.path.lexists(site.layout.live(path)):
        return
    directory = site.layout.live(parent_of(path))
    names = [_names(directory), _names(f"{directory}/__pycache__")]
    for derived in bytecode_of(path, *names):
        with suppress(FileNotFoundError, IsADirectoryError, PermissionError):
            site.fs.unlink(site.layout.live(derived))


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _holds_derived_only(path: str, deepest: int = DEEPEST) -> bool:
    found = list_directory(path) if deepest else []
    return bool(found) and all(
        _holds_derived_only(f"{path}/{f.name}", deepest - 1) if f.kind == DIRECTORY else is_derived(f"{path}/{f.name}")
        for f in found
    )


def _in_none(there: str, manifests: list[Manifest]) -> list[str]:
    """The names below a taken-out directory that none of its packages knows; the topmost only."""
    if not manifests:
        return [f.name for f in list_directory(there) if not is_derived(f"{there}/{f.name}") and f.kind != DIRECTORY]
    found = set.intersection(*(set(strays(there, manifest, "")) for manifest in manifests))
    return sorted(name for name in found if not any(parent in found for parent in _above(name)))


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:i]) for i in range(1, len(parts))]

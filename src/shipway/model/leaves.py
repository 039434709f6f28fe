"""What to do about a file or symlink: the part of the planner below directories.

Each path is settled in two steps: who shows there before and after (`claims.settle`), then what that means for
what lies on disk.  A file that its user changed is never lost: under etc/ it stays and the new version is laid
beside it, elsewhere it goes to the undo area, and either is told.
"""

from __future__ import annotations

from shipway.model.claims import SETTLED, Outcome, Path, settle
from shipway.model.derived import CACHE_DIRECTORY, bytecode_of, is_derived
from shipway.model.entry import DIRECTORY, FILE, KIND_NAMES, LINK, Entry, join, parent_of
from shipway.model.facts import (
    ACCEPTED,
    BACKUP,
    CONTEST,
    KEPT,
    NEW,
    OVERRIDE,
    FactChange,
    Override,
    encode_owners,
    override_key,
)
from shipway.model.planning import (
    Claim,
    Conflict,
    Note,
    Past,
    PlanRequest,
    Policy,
    Seen,
    Wish,
    is_configuration,
    matches,
)
from shipway.model.unit import Source, Unit, Verb

SECOND = 1_000_000_000


class Leaves:
    """Collects the units, changes, conflicts and notes of one plan."""

    def __init__(self, request: PlanRequest) -> None:
        self._request = request
        self._record = request.record
        self._disk = request.disk
        self._wishes = {wish.identity: wish for wish in request.wishes}
        self._laid: set[str] = set()
        self._past = request.past or Past()
        self.why = ""
        self.units: list[Unit] = []
        self.changes: dict[tuple[str, str], FactChange] = {}
        self.conflicts: list[Conflict] = []
        self.notes: list[Note] = []
        self.shadowed: list[tuple[str, str, Entry]] = []
        self.backups: dict[str, tuple[Entry, str]] = {}
        self.overlays: list[tuple[str, Source]] = []
        self.gone: set[str] = set()

    def add(self, unit: Unit) -> None:
        """Add one unit."""
        self.units.append(unit)
        if unit.verb in (Verb.RETIRE, Verb.RMDIR):
            self.gone.add(unit.path)

    def change(self, change: FactChange) -> None:
        """Change one fact; a second change of the same fact keeps the first one's old value."""
        key = (change.kind, change.key)
        first = self.changes.get(key)
        merged = change._replace(old=first.old) if first else change
        self.changes.pop(key, None)
        if merged.old != merged.new:
            self.changes[key] = merged

    def note(self, kind: str, path: str, text: str) -> None:
        """Something to tell."""
        self.notes.append(Note(kind, path, text))

    def is_derived_name(self, directory: str, name: str) -> bool:
        """Whether a name in a directory is a derived file, or a `__pycache__` with nothing else in it."""
        path = join(directory, name)
        if name == CACHE_DIRECTORY:
            return all(is_derived(join(path, n)) for n in self._disk.names(path))
        return is_derived(path)

    def visit(self, at: Path) -> None:
        """Plan one path that is a file or symlink in every claim on it."""
        if any(c.entry.derived for c in (*at.old, *at.new)):
            return self._visit_derived(at)
        outcome = self._settle(at)
        return self._on_disk(at, outcome.before, outcome.after) if outcome else None

    def settle_inside(self, at: Path) -> None:
        """Settle a path inside a directory that goes as one, for several packages."""
        outcome = None if any(c.entry.derived for c in at.new) else self._settle(at)
        if outcome and outcome.stack and outcome.after:
            self.overlays.append((at.path, Source(outcome.after.image, at.path)))

    def restores_below(self, path: str) -> bool:
        """Whether an undo gives something back below a directory."""
        return any(p.startswith(path + "/") for p in self._past.restore)

    def _settle(self, at: Path) -> Outcome | None:
        contest = self._record.contest(at.path)
        outcome = settle(at, contest, self._request.policy, self._past.stacks.get(at.path))
        if outcome.conflict:
            self.conflicts.append(outcome.conflict)
            return None
        old, new = (encode_owners(s) if s else None for s in (contest, outcome.stack))
        self.change(FactChange(CONTEST, at.path, old, new))
        return outcome

    def retire_derived(self, path: str) -> None:
        """Take a derived file (or `__pycache__`) out, whoever wrote it."""
        if path not in self.gone:
            seen = self._disk.look(path)
            kind = seen.kind if seen else FILE
            self.add(Unit(Verb.RETIRE, path, kind, derived=True, why="bytecode goes with its source"))

    def restore_rest(self) -> None:
        """Content to give back on paths that no unit touched; inside a directory that comes as one it is laid over."""
        tops = [u.path + "/" for u in self.units if u.kind == DIRECTORY]
        done = {u.path for u in self.units}
        for path, source in self._past.restore.items():
            if any(path.startswith(top) for top in tops):
                self.overlays.append((path, source))
            elif path not in done:
                verb = Verb.PLACE if self._disk.look(path) is None else Verb.SWAP
                self._restoring(Unit(verb, path, FILE, keep="changed" if verb is Verb.SWAP else ""), source)

    def look_for_shadows(self, at: Path) -> None:
        """Find sources in a directory that is swapped whose old bytecode would pass for the new (I6)."""
        for claim in at.new:
            wish = self._wishes[claim.owner]
            if wish.old is not None and wish.new is not None:
                self._shadows_below(wish, at.path)

    def _shadows_below(self, wish: Wish, path: str) -> None:
        assert wish.old is not None and wish.new is not None
        old = wish.old.directories.get(path)
        new = wish.new.directories.get(path)
        if old is None or new is None or old.digest == new.digest:
            return
        for name, entry in new.entries.items():
            if entry.kind == DIRECTORY:
                self._shadows_below(wish, join(path, name))
            elif name in old.entries and shadows(old.entries[name], entry):
                self.shadowed.append((wish.identity, join(path, name), old.entries[name]))

    def _visit_derived(self, at: Path) -> None:
        seen = self._disk.look(at.path)
        if seen is not None and seen.kind == DIRECTORY:
            return self.note("left", at.path, "is a directory where bytecode would be")
        if at.new:
            sources = (Source(at.new[-1].image, at.path),)
            verb = Verb.PLACE if seen is None else Verb.SWAP
            self.add(Unit(verb, at.path, FILE, sources, derived=True, why=self.why))
        elif seen is not None and not at.others:
            self.retire_derived(at.path)
        return None

    def _on_disk(self, at: Path, before: Claim | None, after: Claim | None) -> None:
        seen = self._disk.look(at.path)
        if before is None and after is not None:
            return self._first_claim(at, after, seen)
        if before is not None and after is None:
            return self._last_claim(at, before, seen)
        if before is None or after is None or (before.entry.same_as(after.entry) and at.path not in self._past.restore):
            return None
        if seen is not None and seen.kind == DIRECTORY:
            return self._refuse(at, "a directory lies where the package's file was")
        if shadows(before.entry, after.entry) and after.owner in self._wishes:
            self.shadowed.append((after.owner, at.path, before.entry))
        return self._next_version(at, before, after, seen)

    def _first_claim(self, at: Path, after: Claim, seen: Seen | None) -> None:
        """A path that no package had before."""
        if at.path in self._laid:
            return None
        if seen is None:
            return self._coming(Unit(Verb.PLACE, at.path, FILE), after)
        if seen.kind == DIRECTORY or seen.kind not in KIND_NAMES:
            return self._refuse(at, "a directory or special file that nobody owns")
        same = matches(self._disk, at.path, seen, after.entry) and _mode_of(seen) == _mode_of(after.entry)
        if self._request.past is not None and (same or is_configuration(at.path)):
            return (
                None
                if same
                else self._set_override(after.owner, at.path, Override(KEPT, self._entry_of(at.path, seen)))
            )
        policy = self._policy_at(at.path)
        if policy is Policy.FAIL:
            problem = f"a {KIND_NAMES[seen.kind]} that nobody owns{' (with the same content)' if same else ''}"
            self.conflicts.append(Conflict(at.path, problem, (after.owner,), SETTLED))
            return None
        if policy is Policy.BACKUP:
            self.backups[at.path] = (self._entry_of(at.path, seen), after.owner)
        return None if same else self._coming(Unit(Verb.SWAP, at.path, FILE, keep="foreign"), after)

    def _policy_at(self, path: str) -> Policy:
        """The policy for what nobody owns; undo settles it as it was settled then."""
        if any(owner.startswith(BACKUP) for owner in self._past.stacks.get(path, ())):
            return Policy.BACKUP
        return Policy.OVERWRITE if path in self._past.given else self._request.policy

    def _last_claim(self, at: Path, before: Claim, seen: Seen | None) -> None:
        """A path that no package has any longer."""
        if at.path in self._laid or self._still_laid(before.owner, at.path):
            return None
        self._forget_override(before.owner, at.path)
        restored = self._past.restore.get(at.path)
        if seen is None:
            return self._restoring(Unit(Verb.PLACE, at.path, FILE), restored) if restored else None
        if seen.kind != before.entry.kind:
            return self.note("left", at.path, f"is no longer a {KIND_NAMES[before.entry.kind]}; it stays")
        changed = not matches(self._disk, at.path, seen, before.entry)
        if is_configuration(at.path) and (changed or self._is_kept(before.owner, at.path)):
            return self.note("kept", at.path, "changed by its user, stays; no package owns it now")
        keep = self._told_if_changed(at.path, changed=changed)
        replaces = (Source(before.image, at.path),)
        if restored:
            return self._restoring(Unit(Verb.SWAP, at.path, FILE, (), replaces, keep=keep), restored)
        self.add(Unit(Verb.RETIRE, at.path, seen.kind, (), replaces, keep=keep, why=self.why))
        return self._bytecode(at.path)

    def _next_version(self, at: Path, before: Claim, after: Claim, seen: Seen | None) -> None:
        """A path that stays, with other content."""
        restored = self._past.restore.get(at.path)
        self._forget_accepted(after.owner, at.path)
        if seen is None:
            self.note("missing", at.path, "was gone, is put back")
            return self._coming(Unit(Verb.PLACE, at.path, FILE), after, restored)
        changed = not matches(self._disk, at.path, seen, before.entry)
        if is_configuration(at.path) and not restored and self._request.past is None:
            kept = self._is_kept(before.owner, at.path)
            if changed or kept:
                return self._keep_users(at, before, after, seen)
        keep = self._told_if_changed(at.path, changed=changed)
        unit = Unit(Verb.SWAP, at.path, FILE, (), (Source(before.image, at.path),), keep=keep)
        return self._coming(unit, after, restored)

    def _keep_users(self, at: Path, before: Claim, after: Claim, seen: Seen) -> None:
        """A changed file under etc/: the user's stays, the package's new one is laid beside it as NAME.new."""
        if matches(self._disk, at.path, seen, after.entry):
            return self._forget_override(after.owner, at.path)
        own = self._entry_of(at.path, seen)
        self._set_override(after.owner, at.path, Override(KEPT, own))
        if before.entry.same_as(after.entry):
            return None
        beside = f"{at.path}.new"
        entry = after.entry._replace(name=f"{after.entry.name}.new")
        self._set_override(after.owner, beside, Override(NEW, entry, at.path))
        self._laid.add(beside)
        self.note("kept", at.path, f"changed by its user, stays; the new version is {beside}")
        there = self._disk.look(beside)
        ours = beside in self._wishes[after.owner].overrides
        keep = "foreign" if there is not None and not ours else ""
        verb = Verb.PLACE if there is None else Verb.SWAP
        self.add(Unit(verb, beside, entry.kind, (Source(after.image, at.path),), keep=keep, why=self.why))
        return None

    def _coming(self, unit: Unit, after: Claim, restored: Source | None = None) -> None:
        source = restored or Source(after.image, self._source_path(after.owner, unit.path))
        self.add(unit._replace(kind=after.entry.kind, sources=(source,), why=self.why))
        if unit.verb is Verb.SWAP:
            self._bytecode(unit.path)

    def _restoring(self, unit: Unit, restored: Source) -> None:
        self.add(unit._replace(sources=(restored,), why="what was there before is given back"))
        self._bytecode(unit.path)

    def _bytecode(self, path: str) -> None:
        """Take out the bytecode of a source that goes or changes, whichever interpreter wrote it (I6)."""
        if not path.endswith(".py"):
            return
        directory = parent_of(path)
        beside, cached = self._disk.names(directory), self._disk.names(join(directory, CACHE_DIRECTORY))
        for derived in bytecode_of(path, beside, cached):
            if not self._is_claimed(derived):
                self.retire_derived(derived)

    def _is_claimed(self, path: str) -> bool:
        manifests = [m for w in self._request.wishes for m in (w.old, w.new) if m is not None]
        return any(m.entry(path) is not None for m in manifests)

    def _refuse(self, at: Path, problem: str) -> None:
        self.conflicts.append(Conflict(at.path, problem, tuple(c.owner for c in at.new), ()))

    def _told_if_changed(self, path: str, *, changed: bool) -> str:
        if changed:
            self.note("changed", path, "was changed by somebody; their version is kept in the undo area")
        return "changed" if changed else ""

    def _still_laid(self, owner: str, path: str) -> bool:
        """Whether NAME.new of an earlier upgrade still says what this version would."""
        wish = self._wishes.get(owner)
        override = wish.overrides.get(path) if wish else None
        if wish is None or override is None or override.why != NEW or wish.old is None or wish.new is None:
            return False
        old, new = wish.old.entry(override.source), wish.new.entry(override.source)
        return old is not None and new is not None and old.same_as(new)

    def _is_kept(self, owner: str, path: str) -> bool:
        wish = self._wishes.get(owner)
        return bool(wish and path in wish.overrides and wish.overrides[path].why == KEPT)

    def _source_path(self, owner: str, path: str) -> str:
        wish = self._wishes.get(owner)
        override = wish.overrides.get(path) if wish else None
        return override.source or path if override else path

    def _set_override(self, owner: str, path: str, override: Override) -> None:
        present = self._wishes[owner].overrides.get(path)
        old = present.encode() if present else None
        self.change(FactChange(OVERRIDE, override_key(owner, path), old, override.encode()))

    def _forget_override(self, owner: str, path: str) -> None:
        wish = self._wishes.get(owner)
        if wish and path in wish.overrides:
            self.change(FactChange(OVERRIDE, override_key(owner, path), wish.overrides[path].encode(), None))

    def _forget_accepted(self, owner: str, path: str) -> None:
        """Metadata that was taken as wanted holds as long as the file stays what it is."""
        wish = self._wishes.get(owner)
        if wish and path in wish.overrides and wish.overrides[path].why == ACCEPTED:
            self._forget_override(owner, path)

    def forget_accepted_below(self, path: str) -> None:
        """The same for everything in a directory that goes as one."""
        for wish in self._request.wishes:
            for at in wish.overrides:
                if at == path or at.startswith(path + "/"):
                    self._forget_accepted(wish.identity, at)

    def accept_mode(self, owner: str, path: str, entry: Entry, mode: int) -> None:
        """A directory that stays keeps its mode, whatever a new version of its package would have it."""
        self._set_override(owner, path, Override(ACCEPTED, entry._replace(mode=mode)))

    def _entry_of(self, path: str, seen: Seen) -> Entry:
        digest = self._disk.digest(path) if seen.kind == FILE else ""
        name = path.rpartition("/")[2]
        size = seen.size if seen.kind == FILE else 0
        return Entry(name, seen.kind, seen.mode, size, seen.mtime, digest, seen.target)


def shadows(old: Entry, new: Entry) -> bool:
    """Whether bytecode of `old` would be taken for `new`: a changed source of the same whole second.

    CPython 3 compares size and time, 2.7 the time alone (importlib._bootstrap_external, PEP 3147; import.c), so the time must differ.
    """
    if not new.name.endswith(".py") or old.kind != FILE or new.kind != FILE:
        return False
    return old.digest != new.digest and old.mtime // SECOND == new.mtime // SECOND


def _mode_of(thing: Seen | Entry) -> int:
    return 0 if thing.kind == LINK else thing.mode

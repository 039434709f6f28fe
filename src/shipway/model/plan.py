"""The planner: from what is installed, what lies on disk and what is wanted to the units of a commit.

A pure function of its request (the `Record` and the `Disk` in it only answer questions).  It walks the manifests
of the packages that change, descending only where old and new differ, and at every directory asks one
question: may this go as one rename?  It may where nobody else has a claim in it, everything in it belongs to
what is being replaced (bytecode and other derived files do not count), it was not there before any package,
and the kernel would let it go.  Where only one name in it changes it is not needed: the rename happens further down.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shipway.model.blockers import Blockers, only_derived
from shipway.model.claims import Path, differs
from shipway.model.entry import DIRECTORY, KIND_NAMES, Entry, Manifest, join, manifest_of, parent_of
from shipway.model.facts import BACKUP, CONTEST, FOREIGN, OVERRIDE, FactChange, encode_owners, override_key
from shipway.model.leaves import Leaves
from shipway.model.planning import Claim, Conflict, Plan, PlanRequest
from shipway.model.unit import Source, Unit, Verb, in_order


def plan(request: PlanRequest) -> Plan:
    """The plan for a request: units, changes of facts, conflicts (all of them) and notes."""
    planner = _Planner(request)
    planner.descend("", "the prefix itself is never replaced")
    planner.forget_overrides()
    out = planner.leaves
    out.restore_rest()
    backups = _backup_manifest({path: entry for path, (entry, _) in out.backups.items()})
    if backups is not None:
        for path, (_, owner) in out.backups.items():
            stack = encode_owners([BACKUP + backups.image_name(), owner])
            out.change(FactChange(CONTEST, path, None, stack))
    return Plan(
        units=in_order(out.units),
        changes=tuple(out.changes.values()),
        conflicts=tuple(sorted(out.conflicts)),
        notes=tuple(out.notes),
        shadowed=tuple(sorted(set(out.shadowed))),
        backups=backups,
        overlays=tuple(out.overlays),
    )


class _Planner:
    """The walk over directories; what to do about anything else is decided in `Leaves`."""

    def __init__(self, request: PlanRequest) -> None:
        self.request = request
        self.record = request.record
        self.disk = request.disk
        self.leaves = Leaves(request)
        self.blockers = Blockers(request)

    def descend(self, path: str, why: str) -> None:
        """Plan every name in a directory on its own; `why` says why the directory did not go as one."""
        old, new = self._children(path, old=True), self._children(path, old=False)
        others = self.record.others(path) if old or new else {}
        reason = f"{path or '.'}/ did not go as one: {why}"
        for name in sorted(old.keys() | new.keys()):
            at = Path(join(path, name), old.get(name, ()), new.get(name, ()), others.get(name, ()))
            if not _unchanged(at):
                self.leaves.why = reason
                self._visit(at)

    def forget_overrides(self) -> None:
        """A package that goes takes its overrides with it."""
        for wish in self.request.wishes:
            if wish.new is None:
                for path, override in wish.overrides.items():
                    key = override_key(wish.identity, path)
                    self.leaves.change(FactChange(OVERRIDE, key, override.encode(), None))

    def _children(self, path: str, *, old: bool) -> dict[str, list[Claim]]:
        found: dict[str, list[Claim]] = {}
        for wish in self.request.wishes:
            manifest = wish.old if old else wish.new
            if manifest is not None and path in manifest.directories:
                image = wish.old_image if old else wish.new_image
                for name, entry in manifest.directories[path].entries.items():
                    found.setdefault(name, []).append(Claim(wish.identity, entry, image))
        return found

    def _visit(self, at: Path) -> None:
        coming = [*at.others, *at.new]
        if any(_is_directory(c) for c in coming) and not all(_is_directory(c) for c in coming):
            self._refuse_mixed(at, coming)
        elif any(_is_directory(c) for c in (*coming, *at.old)):
            self._visit_directory(at)
        else:
            self.leaves.visit(at)

    def _refuse_mixed(self, at: Path, coming: Sequence[Claim]) -> None:
        files = [c for c in coming if not _is_directory(c)]
        directories = [c for c in coming if _is_directory(c)]
        owners = (files[0].owner, directories[0].owner)
        self.leaves.conflicts.append(Conflict(at.path, differs(files[0], directories[0]), owners, ()))

    def _visit_directory(self, at: Path) -> None:
        was, becomes = any(map(_is_directory, at.old)), any(map(_is_directory, at.new))
        if at.others:
            self._warn_of_modes(at.path, at.new, at.others[0])
            self.descend(at.path, f"{at.others[0].owner} has files in it too")
        elif was and becomes:
            self._replace(at)
        elif becomes:
            self._make(at)
        else:
            self._drop(at, at.new)

    def _replace(self, at: Path) -> None:
        """A directory of the old version and of the new one."""
        if self.record.foreign(at.path) is not None:
            return self._keep_directory(at, "it was there before any package")
        only = self._only_change(at)
        if only:
            return self.descend(at.path, f"nothing but {only} changes in it")
        seen = self.disk.look(at.path)
        if seen is None:
            return self._unit(Verb.PLACE, at)
        if seen.kind != DIRECTORY:
            return self._in_the_way(at, f"a {_kind_name(seen.kind)} lies where the package's directory was")
        reason = self._why_not(at.path) or ("" if self.disk.exchange else "no exchange on this file system")
        if reason:
            return self._keep_directory(at, reason)
        self.leaves.look_for_shadows(at)
        return self._unit(Verb.SWAP, at)

    def _keep_directory(self, at: Path, reason: str) -> None:
        """A directory that stays while what is in it changes: it keeps its mode, which is the one expected from now on."""
        present = at.old[0].entry.mode
        self._warn_of_modes(at.path, at.new, at.old[0])
        for claim in at.new:
            if claim.entry.mode != present:
                self.leaves.accept_mode(claim.owner, at.path, claim.entry, present)
        self.descend(at.path, reason)

    def _make(self, at: Path) -> None:
        """A directory that no version had before, where there may be something all the same."""
        seen = self.disk.look(at.path)
        if at.old and seen is not None and seen.kind != DIRECTORY:
            return self._unit(Verb.SWAP, at)
        if seen is None:
            return self._unit(Verb.PLACE, at)
        if seen.kind != DIRECTORY:
            return self._in_the_way(at, _obstacle(seen.kind, seen.target))
        if self.disk.exchange and only_derived(self.disk, at.path) and not self.disk.refusal(at.path):
            return self._unit(Verb.SWAP, at)
        self._note_foreign(at.path, seen.mode)
        self._warn_of_mode(at.path, at.new[0].entry.mode, seen.mode)
        return self.descend(at.path, "it was there before")

    def _note_foreign(self, path: str, mode: int) -> None:
        """Remember that a directory was there before any package; undo remembers only what was so before."""
        past = self.request.past
        value = f"{mode:o}" if past is None else past.foreign.get(path)
        if value is not None and self.record.foreign(path) is None:
            self.leaves.change(FactChange(FOREIGN, path, None, value))

    def _drop(self, at: Path, instead: Sequence[Claim]) -> None:
        """A directory that no package has any longer; `instead` is the file that takes its place, if any."""
        seen = self.disk.look(at.path)
        if seen is None:
            return self._unit(Verb.PLACE, at) if instead else None
        if seen.kind != DIRECTORY:
            return self.leaves.note("left", at.path, f"is now a {_kind_name(seen.kind)}, not the package's directory")
        foreign = self.record.foreign(at.path)
        going = not instead
        reason = "it was there before any package" if foreign is not None else self._why_not(at.path, going=going)
        if instead:
            return self._in_the_way(at, reason) if reason else self._unit(Verb.SWAP, at)
        if not reason:
            return self._unit(Verb.RETIRE, at)
        self.descend(at.path, reason)
        if foreign is not None:
            return self.leaves.change(FactChange(FOREIGN, at.path, foreign, None))
        return self._drop_rest(at, reason)

    def _drop_rest(self, at: Path, reason: str) -> None:
        """After the parts of a directory were planned one by one: the directory itself, unless something stays."""
        staying = [n for n in self.disk.kinds(at.path) if join(at.path, n) not in self.leaves.gone]
        solid = [n for n in staying if not self.leaves.is_derived_name(at.path, n)]
        if solid:
            return self.leaves.note("left", at.path, f"not removed, it holds {solid[0]}")
        for name in staying:
            self.leaves.retire_derived(join(at.path, name))
        replaces = tuple(Source(claim.image, at.path) for claim in at.old)
        self.leaves.add(Unit(Verb.RMDIR, at.path, DIRECTORY, (), replaces, why=reason))
        return None

    def _why_not(self, path: str, *, going: bool = False) -> str:
        """Why a live directory cannot go as one rename, or ""."""
        if self.record.contested_below(path):
            return "a path in it has more than one claim"
        if self.leaves.restores_below(path):
            return "something in it is given back"
        return self.blockers.in_directory(path, going=going) or self.disk.refusal(path)

    def _only_change(self, at: Path) -> str:
        """The one name that changes in a directory, if it is one and the directory's own mode stays."""
        if {c.entry.mode for c in at.old} != {c.entry.mode for c in at.new}:
            return ""
        old, new = self._children(at.path, old=True), self._children(at.path, old=False)
        changed = [
            name
            for name in old.keys() | new.keys()
            if not _unchanged(Path(name, old.get(name, ()), new.get(name, ()), ()))
        ]
        return changed[0] if len(changed) == 1 else ""

    def _unit(self, verb: Verb, at: Path) -> None:
        if len(at.new) > 1:
            self._settle_below(at.path)
        kind = at.new[0].entry.kind if at.new else DIRECTORY
        sources = tuple(Source(claim.image, at.path) for claim in at.new)
        replaces = tuple(Source(claim.image, at.path) for claim in at.old)
        self.leaves.forget_accepted_below(at.path)
        self.leaves.add(Unit(verb, at.path, kind, sources, replaces, why=self.leaves.why))
        if verb is Verb.SWAP and not self.disk.exchange:
            self.leaves.note("exception", at.path, "changes its kind without an exchange: absent for an instant")

    def _settle_below(self, path: str) -> None:
        """Several packages of this transaction bring one new directory: what they have in common must agree, or be settled."""
        for name, claims in self._children(path, old=False).items():
            at = Path(join(path, name), (), claims, ())
            if len(claims) < 2:
                continue
            if all(map(_is_directory, claims)):
                self._settle_below(at.path)
            elif any(map(_is_directory, claims)):
                self._refuse_mixed(at, claims)
            else:
                self.leaves.settle_inside(at)

    def _in_the_way(self, at: Path, problem: str) -> None:
        owners = tuple(claim.owner for claim in at.new)
        self.leaves.conflicts.append(Conflict(at.path, problem, owners, ()))

    def _warn_of_modes(self, path: str, new: Sequence[Claim], present: Claim) -> None:
        for claim in new:
            self._warn_of_mode(path, claim.entry.mode, present.entry.mode)

    def _warn_of_mode(self, path: str, wanted: int, present: int) -> None:
        if wanted != present:
            self.leaves.note("mode", path, f"directory stays {present:04o}, the package would have it {wanted:04o}")


def _unchanged(at: Path) -> bool:
    """Whether the same packages want the same thing as before (times do not count)."""
    if len(at.old) != len(at.new):
        return False
    old = {claim.owner: claim.entry for claim in at.old}
    return all(c.owner in old and _same(old[c.owner], c.entry) for c in at.new)


def _same(old: Entry, new: Entry) -> bool:
    return old.same_as(new) and old.derived == new.derived and old.group == new.group


def _is_directory(claim: Claim) -> bool:
    return claim.entry.kind == DIRECTORY


def _kind_name(kind: str) -> str:
    return KIND_NAMES.get(kind, "device, socket or fifo")


def _obstacle(kind: str, target: str) -> str:
    if kind == "l":
        return f"a symlink to {target} lies where a directory must be"
    return f"a {_kind_name(kind)} that nobody owns lies where a directory must be"


def _backup_manifest(entries: dict[str, Entry]) -> Manifest | None:
    """A manifest of the paths to be given back one day, with plain directories above them."""
    if not entries:
        return None
    listings: dict[str, dict[str, Entry]] = {"": {}}
    for path, entry in entries.items():
        for directory in _above(path):
            above = listings.setdefault(parent_of(directory), {})
            above.setdefault(directory.rpartition("/")[2], Entry(directory.rpartition("/")[2], DIRECTORY, 0o755))
            listings.setdefault(directory, {})
        listings[parent_of(path)][entry.name] = entry
    return manifest_of({path: listing.values() for path, listing in listings.items()})


def _above(path: str) -> Iterable[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: i + 1]) for i in range(len(parts))]

"""Verify and repair: what the record expects against what lies on disk, and back again from the images.

Which claim shows at a contested path is known, so a file is only ever held against the one package whose it is.  Directories that
several packages share have the mode of whoever came first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from shipway.errors import ShipwayError
from shipway.fs.found import look
from shipway.model.entry import DIRECTORY, Entry, Manifest, parent_of
from shipway.model.facts import (
    ACCEPTED,
    CONTEST,
    FOREIGN,
    INSTALLED,
    KEPT,
    OVERRIDE,
    FactChange,
    Installed,
    Override,
    decode_owners,
    effective,
    encode_owners,
    override_key,
)
from shipway.model.planning import Note, Plan, is_configuration
from shipway.model.unit import Source, Unit, Verb, in_order
from shipway.prefix.commit import Planned
from shipway.prefix.database import Database
from shipway.prefix.lookup import overrides_of, resolve
from shipway.prefix.site import Site
from shipway.store.compare import Difference, compare


class Problem(NamedTuple):
    """A path that is not as recorded: `problem` is missing, modified, type, mode or target.

    `metadata_only`: the content is right.
    """

    path: str
    package: str
    problem: str
    detail: str = ""
    metadata_only: bool = False


class Report(NamedTuple):
    """What verification found, by package and path; `checked` counts paths."""

    problems: tuple[Problem, ...]
    checked: int

    @property
    def ok(self) -> bool:
        """Whether everything is as recorded."""
        return not self.problems


def verify(site: Site, names: Sequence[str], *, quick: bool) -> Report:
    """Compare packages (all if none are named) with the disk; `quick` by stat alone where size and time agree."""
    problems: list[Problem] = []
    checked = 0
    for package in chosen(site.database, names):
        expected = expected_of(site.database, package)
        checked += sum(len(directory.entries) for directory in expected.directories.values())
        found = compare(site.layout.root, expected, quick=quick, jobs=site.options.jobs)
        users = {p for p, o in overrides_of(site.database, package.identity).items() if o.why == KEPT}
        problems += [
            _problem(package, d)
            for d in found
            if (d.path not in users or d.problem == "missing") and _counts(site, package, d, expected)
        ]
    return Report(tuple(problems), checked)


def chosen(database: Database, names: Sequence[str]) -> list[Installed]:
    """The packages of these names, or all, by name."""
    if names:
        return [resolve(database, name) for name in names]
    return sorted(database.installed().values(), key=lambda p: (p.name, p.identity))


def expected_of(database: Database, package: Installed) -> Manifest:
    """A package's manifest with what its facts say beside it."""
    return effective(database.manifest(package.image), overrides_of(database, package.identity))


def _problem(package: Installed, found: Difference) -> Problem:
    return Problem(found.path, package.name, found.problem, found.detail, found.metadata_only)


def _counts(site: Site, package: Installed, found: Difference, expected: Manifest) -> bool:
    contest = site.database.fact(CONTEST, found.path)
    if contest is not None and decode_owners(contest)[-1] != package.identity:
        return False
    entry = expected.entry(found.path)
    if found.problem != "mode" or entry is None or entry.kind != DIRECTORY:
        return True
    return not _mode_is_anothers(site, package, found.path, entry)


def _mode_is_anothers(site: Site, package: Installed, path: str, entry: Entry) -> bool:
    """Whether a directory's mode is that of whoever came first, or has but the setgid bit of the one above it."""
    live = look(site.layout.live(path))
    above = look(site.layout.live(parent_of(path)))
    if live is None or site.database.fact(FOREIGN, path) is not None:
        return True
    if above and above.mode & 0o2000 and live.mode == entry.mode | 0o2000:
        return True
    images = {p.image for p in site.database.installed().values() if p.identity != package.identity}
    listings = site.database.listings(parent_of(path), images)
    name = path.rpartition("/")[2]
    return any(name in d.entries and d.entries[name].mode == live.mode for d in listings.values())


# -- accept, repair, detach: planned here, committed as any other transaction ------------------------------------


def plan_accept(site: Site, names: Sequence[str]) -> Planned:
    """Take changes of metadata alone as wanted: facts only, no file moves."""
    changes: list[FactChange] = []
    for package in chosen(site.database, names):
        expected = expected_of(site.database, package)
        overrides = overrides_of(site.database, package.identity)
        metadata = [p.path for p in verify(site, [package.identity], quick=True).problems if p.metadata_only]
        changes += [_acceptance(site, package, p, expected.entry(p), overrides.get(p)) for p in metadata]
    return Planned(Plan((), (), (), (), ()), tuple(changes))


def _acceptance(site: Site, package: Installed, path: str, entry: Entry | None, present: Override | None) -> FactChange:
    found = look(site.layout.live(path))
    if found is None or entry is None:
        raise ShipwayError(f"{path} changes while it is looked at", hint="try again")
    why, source = (present.why, present.source) if present else (ACCEPTED, "")
    wanted = Override(why, entry._replace(mode=found.mode), source)
    return FactChange(
        OVERRIDE, override_key(package.identity, path), present.encode() if present else None, wanted.encode()
    )


def plan_repair(site: Site, names: Sequence[str]) -> Planned:
    """Put back from the images what is missing or changed; what was changed goes to the undo area.

    What a rename cannot mend is told instead: a directory's mode, a directory where a file was; and configuration that its
    user changed is his.
    """
    units: list[Unit] = []
    changes: list[FactChange] = []
    notes: list[Note] = []
    for package in chosen(site.database, names):
        for problem in verify(site, [package.identity], quick=False).problems:
            unit = _repair(site, package, problem)
            if isinstance(unit, Unit):
                units.append(unit)
                notes.append(Note("repaired", problem.path, problem.problem))
            else:
                notes.append(unit)
        if any(note.kind == "repaired" for note in notes):
            same = package.encode()
            changes.append(FactChange(INSTALLED, package.identity, same, same))
    kept = tuple(changes) if units else ()
    return Planned(Plan(in_order(_outermost(units)), (), (), tuple(notes), ()), kept)


def _repair(site: Site, package: Installed, problem: Problem) -> Unit | Note:
    path = problem.path
    entry = expected_of(site.database, package).entry(path)
    assert entry is not None
    override = overrides_of(site.database, package.identity).get(path)
    source = Source(package.image, override.source if override and override.source else path)
    live = look(site.layout.live(path))
    if live is None:
        return Unit(Verb.PLACE, path, entry.kind, (source,), why="was missing")
    if live.kind == DIRECTORY and entry.kind == DIRECTORY:
        return Note(
            "left", path, f"has another mode: chmod {entry.mode:o} it, or take it with `shipway verify --accept`"
        )
    if live.kind == DIRECTORY:
        return Note("left", path, "is a directory now: move it away, then repair again")
    if is_configuration(path) and not problem.metadata_only:
        return Note(
            "kept", path, "configuration that its user changed is not put back; remove it first if it should be"
        )
    return Unit(Verb.SWAP, path, entry.kind, (source,), keep="changed", why=f"was {problem.problem}")


def _outermost(units: list[Unit]) -> list[Unit]:
    """A directory that was missing brings what is in it."""
    tops = {u.path for u in units if u.kind == DIRECTORY}
    return [u for u in units if not any(_lies_in(u.path, top) for top in tops)]


def _lies_in(path: str, directory: str) -> bool:
    return path.startswith(directory + "/")


def plan_detach(site: Site, names: Sequence[str]) -> Planned:
    """Forget packages and keep their files: they belong to nobody then."""
    gone = chosen(site.database, names)
    identities = {package.identity for package in gone}
    changes = [FactChange(INSTALLED, p.identity, p.encode(), None) for p in gone]
    for package in gone:
        for path, override in overrides_of(site.database, package.identity).items():
            changes.append(FactChange(OVERRIDE, override_key(package.identity, path), override.encode(), None))
    for path, value in site.database.facts(CONTEST).items():
        owners = [owner for owner in decode_owners(value) if owner not in identities]
        if tuple(owners) != decode_owners(value):
            changes.append(FactChange(CONTEST, path, value, encode_owners(owners) if len(owners) > 1 else None))
    return Planned(Plan((), (), (), (), ()), tuple(changes))

"""What may go wrong in a prefix, found before it does: findings as values.

It looks for itself instead of opening the prefix as a command does: opening finishes what a dead process left, and a doctor that
heals on the way in cannot say what was wrong.  Nothing is changed but for a scratch directory, removed again.
"""

from __future__ import annotations

import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from shipway.errors import ShipwayError
from shipway.fs.apart import probe as try_apart
from shipway.fs.lock import Terms
from shipway.fs.mount import mount_points
from shipway.fs.probe import Capabilities, probe
from shipway.fs.space import flags, free
from shipway.fs.system import FileSystem
from shipway.prefix.connection import in_the_way
from shipway.prefix.database import Database
from shipway.prefix.layout import Layout
from shipway.prefix.leftover import expected, given_up
from shipway.prefix.records import Row, State
from shipway.prefix.schema import SETTINGS
from shipway.prefix.session import abandoned, heir, is_abandoned, is_alive, sessions

LOW_BYTES = 1 << 30
LOW_INODES = 10_000
_SHOWN = 5
_MOMENT = 0.5
"""Seconds; whoever reads or writes holds the record for less."""
_HARDLINKS = "/proc/sys/fs/protected_hardlinks"


class Level(StrEnum):
    """How bad a finding is: FAIL means that Shipway must not, or cannot, be relied on here."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(NamedTuple):
    """One answer: what was looked at (a word or two), how it is, and what to do about it."""

    check: str
    level: Level
    text: str
    hint: str = ""


@dataclass(slots=True)
class _Patient:
    """The prefix under examination; `database` is None where there is no record, or none that can be read."""

    layout: Layout
    writable: bool
    database: Database | None = None
    unreadable: str = ""
    remedy: str = "restore state.sqlite from a backup; the files are untouched"
    capabilities: Capabilities | None = None
    refusal: str = ""
    hardlinks_file: str = field(default=_HARDLINKS)

    @property
    def has_state(self) -> bool:
        return os.path.isdir(self.layout.state)


def examine(root: str, *, hardlinks_file: str = _HARDLINKS) -> list[Finding]:
    """All findings about a prefix.  `hardlinks_file` is where the kernel tells fs.protected_hardlinks (proc(5))."""
    layout = Layout(os.path.realpath(root))
    if not os.path.isdir(layout.root):
        return [Finding("prefix", Level.FAIL, f"{root} is not a directory", f"mkdir {root}")]
    patient = _admit(layout, hardlinks_file)
    try:
        return [finding for check in _CHECKS for finding in check(patient)]
    finally:
        if patient.database:
            patient.database.close()


def _admit(layout: Layout, hardlinks_file: str) -> _Patient:
    where = layout.work if os.path.isdir(layout.work) else layout.root
    patient = _Patient(layout, os.access(where, os.W_OK | os.X_OK), hardlinks_file=hardlinks_file)
    if os.path.exists(layout.database):
        try:
            write = patient.writable and os.access(layout.database, os.W_OK)
            patient.database = Database(layout.database, Terms("the record", 0), write=write)
        except ShipwayError as error:
            patient.unreadable, patient.remedy = str(error), error.hint
        except OSError as error:
            patient.unreadable = f"{layout.database}: {error.strerror}"
    if patient.writable:
        try:
            patient.capabilities = probe(where)
        except OSError as error:
            patient.refusal = error.strerror or str(error)
    return patient


# -- the checks: each a question to the patient, with any number of findings -----------------------------------------


def _prefix(patient: _Patient) -> Iterator[Finding]:
    root = patient.layout.root
    if patient.refusal:
        yield Finding("prefix", Level.FAIL, f"nothing can be written in {root}: {patient.refusal}")
    elif not patient.writable:
        yield Finding("prefix", Level.WARN, f"you may not write in {root}; what follows is what a reader can see")
    else:
        yield Finding("prefix", Level.OK, f"{root} can be written")
    marked = flags(root)
    if marked.immutable or marked.append_only:
        which = "i" if marked.immutable else "a"
        yield Finding("prefix", Level.FAIL, f"{root} has the attribute {which} (chattr)", f"chattr -{which} {root}")


def _file_system(patient: _Patient) -> Iterator[Finding]:
    able = patient.capabilities
    if able is None:
        return
    where = f"the file system ({able.type})"
    if able.exchange and able.noreplace:
        yield Finding("renames", Level.OK, f"{where} exchanges two names in one step")
    else:
        text = f"{where} cannot exchange two names: commits go file by file, directories are never swapped as a whole"
        yield Finding("renames", Level.WARN, text)
    yield _sharing(able, where)
    if not able.xattr:
        yield Finding("attributes", Level.WARN, f"{where} keeps no extended attributes; those of packages are left out")
    if able.syncfs:
        yield Finding("durability", Level.OK, "syncfs reports failed writes")
    else:
        yield Finding(
            "durability",
            Level.WARN,
            "syncfs cannot be relied on here; every file is synced on its own, which is slower",
        )
    if able.folds_case:
        text = "names that differ only in case are one here; packages that have such pairs are refused"
        yield Finding("letter case", Level.WARN, text)


def _sharing(able: Capabilities, where: str) -> Finding:
    if able.reflink:
        return Finding(
            "links",
            Level.OK,
            f"{where} shares data between files (reflinks): editing a live file leaves its image alone",
        )
    if able.hardlink:
        text = "live files are hard links of their images: who edits one in place edits both, and `repair` cannot bring it back"
        return Finding("links", Level.OK, text, 'name such files in shipway.toml, [merge] copy = ["share/game/scores"]')
    return Finding("links", Level.WARN, f"{where} knows no links: every file is there twice, live and in the store")


def _locks(patient: _Patient) -> Iterator[Finding]:
    able = patient.capabilities
    if able is not None and able.lock_scope:
        hint = "change the mount, or see to it that one host alone changes this prefix"
        yield Finding("locks", Level.FAIL, able.lock_scope, hint)
    elif able is not None:
        yield Finding("locks", Level.OK, "nothing says that locks would not reach other hosts")


def _mounts(patient: _Patient) -> Iterator[Finding]:
    inside = mount_points(patient.layout.root)
    if not inside:
        yield Finding("mounts", Level.OK, "nothing is mounted inside the prefix")
        return
    text = f"mounted inside the prefix: {_some(inside)}; directories that hold them cannot go as one rename"
    yield Finding("mounts", Level.WARN, text)


def _space(patient: _Patient) -> Iterator[Finding]:
    there = free(patient.layout.root)
    inodes = "as many inodes as you like" if there.inodes is None else f"{there.inodes:,} inodes"
    text = f"{there.bytes / (1 << 30):,.1f} GiB and {inodes} are free"
    low = there.bytes < LOW_BYTES or (there.inodes is not None and there.inodes < LOW_INODES)
    hint = "`shipway gc --keep 1` gives up old undo areas; `shipway du` says what they take"
    yield Finding("space", Level.WARN if low else Level.OK, text, hint if low else "")


def _hardlinks(patient: _Patient) -> Iterator[Finding]:
    """The kernel refuses links to files of others; then copies are made."""
    try:
        protected = Path(patient.hardlinks_file).read_text().strip() != "0"
    except FileNotFoundError:
        return
    strangers = _strangers(patient) if protected and os.geteuid() != 0 else []
    if strangers:
        text = f"fs.protected_hardlinks is on, and images belong to others ({_some(strangers)}): their files are copied, not linked"
        yield Finding("hard links", Level.WARN, text)


def _strangers(patient: _Patient) -> list[str]:
    images = Path(patient.layout.images)
    found = sorted(images.iterdir()) if images.is_dir() and os.access(images, os.R_OK | os.X_OK) else []
    return [f"{image.name[:12]}…" for image in found if image.is_dir() and image.stat().st_uid != os.geteuid()]


def _record(patient: _Patient) -> Iterator[Finding]:
    if patient.unreadable:
        yield Finding("record", Level.FAIL, patient.unreadable, patient.remedy)
    elif patient.database is None:
        yield Finding("record", Level.OK, "nothing was ever installed here")
    else:
        mode = os.stat(patient.layout.database).st_mode
        shown = ", ".join(f"{name} {value}" for name, value in SETTINGS.items() if name != "foreign_keys")
        yield Finding("record", Level.OK, f"{len(patient.database.installed())} packages; {shown}")
        if not mode & stat.S_IROTH:
            yield Finding(
                "record", Level.WARN, "other users cannot read the record", f"chmod o+r {patient.layout.database}"
            )
        names = " and ".join(_who_sits_on(patient.layout.database))
        if names:
            yield Finding(
                "record", Level.WARN, f"{names} holds the record: whoever would change something waits for it"
            )


def _who_sits_on(record: str) -> list[str]:
    """Who holds the record, and still does a moment later."""
    found = {holder.pid for holder in in_the_way(record)}
    if found:
        time.sleep(_MOMENT)
    return [str(holder) for holder in in_the_way(record) if holder.pid in found] if found else []


def _place(patient: _Patient) -> Iterator[Finding]:
    recorded = patient.database.meta("root") if patient.database else None
    if recorded is not None and recorded != patient.layout.root:
        text = f"this prefix was made at {recorded}: it was moved or copied, and files may still name that path"
        yield Finding("place", Level.WARN, text, "`shipway rehome` lists them and corrects the record")


def _transactions(patient: _Patient) -> Iterator[Finding]:
    rows = patient.database.unfinished() if patient.database else []
    for row in rows:
        if is_abandoned(patient.layout, row.token):
            text = f"transaction {row.id} ({row.reason}) was interrupted ({row.state})"
            yield Finding("transactions", Level.WARN, text, f"{heir(patient.layout, row.token)} finishes it")
        else:
            yield _transaction(row, living=is_alive(patient.layout, row.token))
    if patient.database and not rows:
        yield Finding("transactions", Level.OK, "all are finished")


def _transaction(row: Row, *, living: bool) -> Finding:
    name = f"transaction {row.id} ({row.reason})"
    if row.state is State.STUCK:
        text = f"{name} can be neither finished nor taken back: {_some(row.message.splitlines())}"
        return Finding(
            "transactions", Level.FAIL, text, "put each path as it was before or after, then run `shipway recover`"
        )
    if living:
        return Finding("transactions", Level.OK, f"{name} is under way")
    return Finding("transactions", Level.WARN, f"{name} was interrupted ({row.state})", "`shipway recover` finishes it")


def _sessions(patient: _Patient) -> Iterator[Finding]:
    if not os.path.isdir(patient.layout.work) or not os.access(patient.layout.work, os.R_OK | os.X_OK):
        return
    tokens = sessions(patient.layout)
    unfinished = {row.token for row in patient.database.unfinished()} if patient.database else set()
    dead = [token for token in tokens - unfinished if not is_alive(patient.layout, token)]
    if dead:
        text = f"{len(dead)} dead process{'es' if len(dead) > 1 else ''} left something in {patient.layout.work}"
        yield Finding(
            "sessions",
            Level.WARN,
            text,
            "the next command that changes something, or `shipway recover`, clears it away",
        )


def _leftovers(patient: _Patient) -> Iterator[Finding]:
    """What nobody needs any longer and is still there: something may keep it from being removed."""
    layout = patient.layout
    if os.access(layout.work, os.R_OK | os.X_OK):
        unfinished = {layout.session(row.token) for row in patient.database.unfinished()} if patient.database else ()
        for left in abandoned(layout):
            if left.path in unfinished:
                continue
            yield Finding("leftovers", Level.WARN, f"{left.path} is still there: {left.problem}", left.hint)
    if patient.database and os.access(layout.undo, os.R_OK | os.X_OK):
        for path, _ in given_up(layout, patient.database):
            left = expected(path)
            yield Finding("leftovers", Level.WARN, f"{left.path} is still there: {left.problem}", left.hint)


def _lost(patient: _Patient) -> Iterator[Finding]:
    lost = patient.layout.lost
    if not os.path.isdir(lost) or not os.access(lost, os.R_OK | os.X_OK):
        return
    names = sorted(f"{number}/{name}" for number in os.listdir(lost) for name in _names(f"{lost}/{number}"))
    if names:
        text = f"files that programs wrote while a commit was under way wait in {lost}: {_some(names)}"
        yield Finding("lost and found", Level.WARN, text, "look at them, then move or delete them; shipway never does")


def _names(path: str) -> list[str]:
    return os.listdir(path) if os.path.isdir(path) else [""]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _builds(patient: _Patient) -> Iterator[Finding]:
    """How far builds in the usual place can be kept apart (docs/explanation/isolation.md)."""
    place = tempfile.gettempdir()
    try:
        isolation = try_apart(patient.layout.root, place, FileSystem())
    except OSError as error:
        yield Finding("builds", Level.WARN, f"nothing can be written in {place}: {error.strerror}", "--build-dir DIR")
        return
    if isolation.overlay:
        yield Finding("builds", Level.OK, "are kept apart; what they write past their stage is caught")
    hint = "see docs/explanation/isolation.md; another --build-dir may do"
    yield from (Finding("builds", Level.WARN, line, hint) for line in isolation.lacks)


_CHECKS: tuple[Callable[[_Patient], Iterator[Finding]], ...] = (
    _prefix,
    _file_system,
    _locks,
    _mounts,
    _space,
    _hardlinks,
    _record,
    _place,
    _transactions,
    _sessions,
    _leftovers,
    _lost,
    _builds,
)

"""A small prefix whose record is damaged, and the judge of what commands make of it.

The judge looks at the disk: each live path must be as it was before the command, or as the same command leaves it where nothing is
damaged.  What a command answers must be what it answers there, or a refusal.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from proof.calls import Ended, called, in_process
from proof.scene import Scene, leave
from proof.world import STATE, Snapshot, make_tree, snapshot
from shipway.api import Options, Prefix
from shipway.fs.system import FileSystem

SHARED = {"lib/both/same.py": "SAME = 1\n", "share/both": "both\n"}
FIRST = {**SHARED, "bin/first": "first\n", "etc/first.conf": "level = 1\n", "lib/first/one.py": "ONE = 1\n"}
SECOND = {
    **SHARED,
    "bin/second": "second\n",
    "lib/second/deep/two.py": "TWO = 2\n",
    "lib/second/link": "-> deep/two.py",
}
BETTER = {**SECOND, "lib/second/deep/two.py": "TWO = 3\n", "lib/second/more": "more\n"}
THIRD = {"bin/third": "third\n", "lib/both/third.py": "THIRD = 3\n", "lib/third/three.py": "THREE = 3\n"}

RECORD = f"{STATE}/state.sqlite"
JOURNAL = f"{RECORD}-journal"


@dataclass(frozen=True)
class Arrangement:
    """A prefix in a room, kept to be put back, with bytes of its record and of a journal that was left ("" if none)."""

    room: Path
    record: bytes
    journal: bytes = b""
    expected: dict[tuple[str, ...], tuple[Ended, Snapshot]] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        """The prefix."""
        return self.room / "prefix"

    def words(self, command: Sequence[str]) -> list[str]:
        """A command line on this prefix."""
        return [
            "-p",
            str(self.root),
            "--wait",
            "5",
            *(str(self.room / w[1:]) if w.startswith("@") else w for w in command),
        ]

    def restore(self, record: bytes, journal: bytes) -> None:
        """The prefix as it was, with this record."""
        leave(self.root)
        shutil.copytree(self.room / "kept", self.root, symlinks=True)
        self.lay(record, journal)

    def lay(self, record: bytes, journal: bytes) -> None:
        """Put another record into the prefix."""
        (self.root / RECORD).write_bytes(record)
        (self.root / JOURNAL).unlink(missing_ok=True)
        if journal:
            (self.root / JOURNAL).write_bytes(journal)


MERGE = ("merge", "@third", "--name", "third", "--version", "1", "--python", "none")
CHANGES = (
    MERGE,
    ("remove", "second"),
    ("remove", "first"),
    ("undo",),
    ("recover",),
    ("gc", "--keep", "1"),
    ("repair",),
)
QUESTIONS = (("verify",), ("list",), ("files", "second"), ("owner", "lib/both/same.py"), ("history", "--json"))
COMMANDS = (*CHANGES, *QUESTIONS)


def arranged(scene: Scene, name: str) -> Arrangement:
    """Two packages that share a directory and a file, an upgrade that can be undone, a tree to merge."""
    room = scene.room(name)
    root = room / "prefix"
    root.mkdir()
    for tree, files in {"first": FIRST, "second": SECOND, "better": BETTER, "third": THIRD}.items():
        make_tree(room / tree, files)
    for tree, package, version in (("first", "first", "1"), ("second", "second", "1"), ("better", "second", "2")):
        done = scene.run("-p", root, "merge", room / tree, "--name", package, "--version", version, "--python", "none")
        if done.returncode:
            raise RuntimeError(done.stderr)
    return kept(room)


def kept(room: Path) -> Arrangement:
    """The arrangement of a prefix as it is now."""
    shutil.copytree(room / "prefix", room / "kept", symlinks=True)
    journal = room / "kept" / JOURNAL
    return Arrangement(room, (room / "kept" / RECORD).read_bytes(), journal.read_bytes() if journal.exists() else b"")


class Halt(FileSystem):
    """A process that is gone after so many renames of its commit."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after
        self.committed = False

    def step(self, operation: str, path: str) -> None:
        """Told before each change."""
        self.committed |= (operation, path) == ("database", "commit point")
        self.left -= self.committed
        if self.left < 0:
            os._exit(0)


def interrupted(scene: Scene, name: str, after: int = 3) -> Arrangement:
    """The same with an upgrade that stopped between two renames."""
    whole = arranged(scene, name)

    def merge() -> int:
        with Prefix(str(whole.root), options=Options(jobs=1), fs=Halt(after)) as prefix:
            prefix.remove(["first"])
        return 1

    ended = in_process(merge)
    if ended.code:
        raise RuntimeError(f"it was not interrupted: {ended.err}")
    shutil.rmtree(whole.room / "kept")
    return kept(whole.room)


def with_journal(scene: Scene, name: str) -> Arrangement:
    """The same with the journal of a database transaction that a dead process had half written into the record."""
    whole = arranged(scene, name)
    path = whole.room / "kept" / RECORD
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA cache_size=1")
        db.execute("BEGIN IMMEDIATE")
        for table in ("unit", "delta", "listing", "fact", "tx"):
            db.execute(f"DELETE FROM {table}")
            db.execute(f"CREATE TABLE {table}_more AS SELECT * FROM sqlite_master")
        halfway, journal = path.read_bytes(), (whole.room / "kept" / JOURNAL).read_bytes()
        db.execute("ROLLBACK")
    if halfway == whole.record:
        raise RuntimeError("the database transaction left the record alone")
    path.write_bytes(halfway)
    (whole.room / "kept" / JOURNAL).write_bytes(journal)
    return Arrangement(whole.room, halfway, journal)


Damage = tuple[str, bytes, bytes]
"""What was done, the record, the journal."""


def attacked(
    place: Arrangement, damages: Iterable[Damage], commands: Sequence[tuple[str, ...]]
) -> tuple[int, list[str], int]:
    """Try a damage with a command each, in turn: tries, what broke, and how often it was refused."""
    tries = refused = 0
    broken: list[str] = []
    place.restore(place.record, place.journal)
    before = snapshot(place.root)
    for number, (what, record, journal) in enumerate(damages):
        command = commands[number % len(commands)]
        place.lay(record, journal)
        ended = called(*place.words(command))
        wrong = judged(place, command, ended, before)
        tries, refused = tries + 1, refused + bool(ended.code)
        broken += [f"{what}, {' '.join(command[:2])}: {problem}" for problem in wrong]
        if command in CHANGES:
            place.restore(place.record, place.journal)
    return tries, broken, refused


def judged(place: Arrangement, command: tuple[str, ...], ended: Ended, before: Snapshot) -> list[str]:
    """What is wrong with how a command ended, with what it answered, and with what lies in the prefix now."""
    whole, after = place.expected[command]
    now = snapshot(place.root)
    paths = sorted(now.keys() | before.keys() | after.keys())
    wrong = [p for p in paths if now.get(p) not in (before.get(p), after.get(p))]
    problems = [ended.trouble] if ended.trouble else []
    if ended.code == 0 and command in QUESTIONS and ended.out != whole.out:
        problems.append(f"answered {ended.out[:80]!r}, not {whole.out[:80]!r}")
    if ended.code != 0 and command in QUESTIONS and "error: " not in ended.err:
        problems.append(f"a wrong answer: {(ended.out or ended.err)[:80]!r}")
    if ended.code == 0 and command in CHANGES and now != after:
        problems.append("it succeeded, and the prefix is not as it should be")
    return problems + ([f"wrong on disk: {wrong[:4]}"] if wrong else [])


def expect(place: Arrangement, commands: Iterable[tuple[str, ...]]) -> Arrangement:
    """Find out what each command does where nothing is damaged."""
    for command in commands:
        place.restore(place.record, place.journal)
        ended = called(*place.words(command))
        if ended.code:
            raise RuntimeError(f"{' '.join(command)}: {ended.err}")
        place.expected[command] = ended, snapshot(place.root)
    return place


def cuts(place: Arrangement, lengths: Sequence[int], *, journal: bool = False) -> Iterator[Damage]:
    """The record, or its journal, cut at these lengths."""
    for length in lengths:
        if journal:
            yield f"journal cut at {length}", place.record, place.journal[:length]
        else:
            yield f"cut at {length}", place.record[:length], place.journal


def flips(
    place: Arrangement, offsets: Sequence[int], chance: random.Random, *, journal: bool = False
) -> Iterator[Damage]:
    """The record, or its journal, with the byte at each of these offsets changed: one bit, or all of it."""
    for offset in offsets:
        by = chance.choice([1 << chance.randrange(8), chance.randrange(1, 256)])
        changed = bytearray(place.journal if journal else place.record)
        changed[offset] ^= by
        what = f"{'journal ' if journal else ''}byte {offset} changed by {by:02x}"
        yield (what, place.record, bytes(changed)) if journal else (what, bytes(changed), place.journal)


def telling(data: bytes) -> list[int]:
    """The offsets at which there is something: bytes that are not zero, and those beside them."""
    return [i for i in range(len(data)) if any(data[max(0, i - 2) : i + 3])]


Make = Callable[[Scene, str], Arrangement]

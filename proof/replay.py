"""A power cut on paper: the changes that a transaction made, done again on the disk before it, those not yet synced in disorder.

Needs no rights and no devices.  What was done before the last sync is there; of what came after it each change is kept or dropped,
in order or not.  The record is as it was at that moment: SQLite syncs it by itself.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proof.scene import run
from proof.world import STATE, World

RECORDER = Path(__file__).parent / "programs" / "recorder.py"
TWO_PATHS = ("rename", "exchange", "link", "symlink")
AT_FDCWD, EXCHANGE = -100, 2

Change = Sequence[Any]
Disorder = Callable[[list[Change], random.Random], list[Change]]


@dataclass(frozen=True)
class Moment:
    """A power cut: what is on disk for sure, what may be, and the record; `over`: the command had ended by then."""

    synced: Sequence[Change]
    unsynced: Sequence[Change]
    record: bytes
    over: bool


def recorded(world: World) -> list[Change]:
    """Carry the deed out under the recorder; the last change is the record at the end."""
    log = world.room / "log"
    log.unlink(missing_ok=True)
    database = world.root / STATE / "state.sqlite"
    words = world.command()
    words = words[1:] if world.deed.script else ["shipway", *words[1:]]
    done = run([world.scene.python, "-P", str(RECORDER), str(log), str(database), *words])
    if done.returncode:
        raise RuntimeError(f"{world.deed.name}, recorded: {done.stderr}")
    changes: list[Change] = [json.loads(line) for line in log.read_text().splitlines()]
    return [*changes, ["database", base64.b64encode(database.read_bytes()).decode()]]


def moments(changes: Sequence[Change], left_out: int = 0) -> list[Moment]:
    """A power cut after each change; `left_out` is the number of a sync that was none, 0 for none."""
    found: list[Moment] = []
    synced: list[Change] = []
    unsynced: list[Change] = []
    syncs, record = 0, b""
    for number, change in enumerate(changes, 1):
        if change[0] == "database":
            record = base64.b64decode(change[1])
        elif change[0] in ("sync", "flush"):
            syncs += change[0] == "sync"
            reached = [] if change[0] == "sync" and syncs == left_out else [c for c in unsynced if _reaches(change, c)]
            synced, unsynced = synced + reached, [c for c in unsynced if c not in reached]
        else:
            unsynced = [*unsynced, change]
        found.append(Moment(tuple(synced), tuple(unsynced), record, number == len(changes)))
    return found


def _reaches(sync: Change, change: Change) -> bool:
    """A sync brings everything to the disk; a flush what it names, the names in it, and the directories above."""
    if sync[0] == "sync":
        return True
    target, path = change[2 if change[0] in TWO_PATHS else 1], sync[1]
    return bool(target == path or os.path.dirname(target) == path or path.startswith(f"{target}/"))


def carried_out(world: World, moment: Moment, disorder: Disorder, chance: random.Random) -> None:
    """Make the disk what it may be after the power cut."""
    world.restore()
    for change in [*moment.synced, *disorder(list(moment.unsynced), chance)]:
        with suppress(OSError):
            _do(*change)
    if moment.record:
        (world.root / STATE / "state.sqlite").write_bytes(moment.record)


def kept(changes: list[Change], _: random.Random) -> list[Change]:
    """Everything is there."""
    return changes


def cut_off(changes: list[Change], chance: random.Random) -> list[Change]:
    """A file system with a journal: what came first is there, files of the rest may be empty."""
    found = changes[: chance.randint(0, len(changes))]
    return [_emptied(change) if chance.random() < 0.3 else change for change in found]


def dropped(changes: list[Change], chance: random.Random) -> list[Change]:
    """Each is there or not."""
    return [change for change in changes if chance.random() < 0.5]


def reordered(changes: list[Change], chance: random.Random) -> list[Change]:
    """Some are there, as far as they can be done in any order."""
    found = dropped(changes, chance)
    chance.shuffle(found)
    return found


DISORDERS: Sequence[Disorder] = (kept, cut_off, dropped, reordered)


def _emptied(change: Change) -> Change:
    return [*change[:2], "", *change[3:]] if change[0] == "file" else change


def _do(operation: str, *details: Any) -> None:
    _DEEDS[operation](*details)


def _file(path: str, content: str, mode: int, mtime: int) -> None:
    with open(path, "xb") as file:
        file.write(base64.b64decode(content))
    os.chmod(path, mode)
    os.utime(path, ns=(mtime, mtime))


def _mkdir(path: str, mode: int) -> None:
    os.mkdir(path)
    os.chmod(path, mode)


def _link(source: str, target: str) -> None:
    os.link(source, target, follow_symlinks=False)


def _utime(path: str, mtime: int) -> None:
    os.utime(path, ns=(mtime, mtime), follow_symlinks=False)


def _exchange(a: str, b: str) -> None:
    ctypes.CDLL(None).renameat2(AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b), EXCHANGE)


_DEEDS: dict[str, Callable[..., None]] = {
    "rename": os.rename, "exchange": _exchange, "link": _link, "symlink": os.symlink, "mkdir": _mkdir, "unlink": os.unlink,
    "rmdir": os.rmdir, "chmod": os.chmod, "utime": _utime, "file": _file,
}  # fmt: skip

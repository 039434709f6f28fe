"""Rooms: where packages are built for a prefix, one directory for each name.

BUILD-DIR/shipway-UID/PREFIX-DIGEST/NAME.lock         held from before the build until its commit is over
BUILD-DIR/shipway-UID/PREFIX-DIGEST/NAME/…            the directory of the build (`build.directory`)
BUILD-DIR/shipway-UID/PREFIX-DIGEST/NAME/room.json    where the source lies, and what was made of it

A room outlives a build that failed or was killed, so that a shell can be opened in it, and a stage that was finished is not made again.
Two invocations that want the same package meet at its lock: whoever comes second looks anew whether there is still something to do.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from typing import Any, NamedTuple

from shipway.build.directory import Directory
from shipway.build.one import Built
from shipway.build.places import safe_name
from shipway.build.stage import Staged
from shipway.errors import ShipwayError
from shipway.fs.lock import FileLock
from shipway.fs.overlay import Captured
from shipway.fs.system import FileSystem
from shipway.fs.tree import make_directories
from shipway.schedule.paths import summary

_NOTE = "room.json"
_PRIVATE = 0o700


class Stage(NamedTuple):
    """What a build has left in its room, to be sealed: see `build.one.Built`."""

    staged: Staged
    wheels: tuple[str, ...]
    log: str
    warnings: tuple[str, ...] = ()


class Room:
    """The room of one package; whoever uses it holds its lock."""

    def __init__(self, fs: FileSystem, top: str, name: str) -> None:
        self.fs = fs
        self.directory = Directory(f"{top}/{safe_name(name)}")
        self.lock = FileLock(f"{top}/{safe_name(name)}.lock", what=f"the build of {name}")

    def clear(self) -> None:
        """Empty it and make the directories of a build.  Raises OSError."""
        self.remove()
        self.fs.mkdir(self.directory.root, _PRIVATE)
        self.directory.make(self.fs)

    def remove(self) -> None:
        """Remove all of it but the lock."""
        self.fs.remove_tree(self.directory.root)

    def prepared(self, source: str) -> None:
        """Note where the source lies."""
        self._write({"source": source})

    def made(self, source: str, key: str, built: Built) -> Stage:
        """Note what was made, and of what (`key`)."""
        stage = Stage(built.staged, built.wheels, built.log, tuple(failure.message for failure in built.warnings))
        staged = {**built.staged._asdict(), "written": built.staged.written._asdict()}
        tree = summary(built.staged.tree)
        self._write({"source": source, "key": key, "tree": tree, "stage": {**stage._asdict(), "staged": staged}})
        return stage

    def ensure_tree(self, tree: str) -> None:
        """A package that installs nothing has an empty stage."""
        if not os.path.isdir(tree):
            make_directories(tree, 0o755, self.fs.mkdir)

    def spent(self) -> None:
        """Forget what was made: it is in the prefix now, or was thrown away."""
        self.prepared(self.source)

    @property
    def source(self) -> str:
        """Where the source lies, "" if none was prepared."""
        return str(self._note().get("source", ""))

    def stage(self, key: str) -> Stage | None:
        """What was made of the same ingredients, if all of it is still there: a commit that was killed may have taken it, or a part."""
        note = self._note()
        if note.get("key") != key:
            return None
        try:
            made = _stage_of(note["stage"])
        except (KeyError, TypeError, AttributeError):
            return None
        there = note.get("tree") == summary(made.staged.tree) and all(map(os.path.isfile, made.wheels))
        return made if there else None

    def _note(self) -> dict[str, Any]:
        try:
            with open(f"{self.directory.root}/{_NOTE}", encoding="utf-8", errors="surrogateescape") as file:
                found = json.load(file)
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write(self, note: dict[str, Any]) -> None:
        path = f"{self.directory.root}/{_NOTE}"
        with contextlib.suppress(FileNotFoundError):
            self.fs.unlink(f"{path}.new")
        self.fs.write_file(f"{path}.new", json.dumps(note).encode("utf-8", "surrogateescape"), 0o600)
        self.fs.replace(f"{path}.new", path)


def rooms_of(fs: FileSystem, directory: str, prefix: str) -> str:
    """The directory of a user's rooms for a prefix, made if need be.  Raises ShipwayError where it is not ours alone, OSError."""
    above = f"{os.path.realpath(directory)}/shipway-{os.geteuid()}"
    top = f"{above}/{hashlib.sha256(os.fsencode(prefix)).hexdigest()[:12]}"
    for path in (above, top):
        if not os.path.lexists(path):
            make_directories(path, _PRIVATE, fs.mkdir)
        status = os.lstat(path)
        if status.st_uid != os.geteuid() or not stat.S_ISDIR(status.st_mode) or status.st_mode & 0o022:
            raise ShipwayError(f"{path} is not yours alone", hint="build elsewhere: --build-dir DIR")
    return top


def _stage_of(found: dict[str, Any]) -> Stage:
    staged = found["staged"]
    written = Captured(**{name: tuple(paths) for name, paths in staged["written"].items()})
    tree = Staged(str(staged["tree"]), written, tuple(staged["outside"]))
    return Stage(tree, tuple(found["wheels"]), str(found["log"]), tuple(found["warnings"]))

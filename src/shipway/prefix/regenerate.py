"""Generated files, made anew after a commit (`model.generated` says which, and by what).

The tools write into the directory they are given, some in place.  A live index may be a hard link that
others share, and readers have it open, so no tool ever gets the live directory to write to: it
works on a view, a private directory of symlinks to the live entries without the index, or on a copy of the
index.  What it has written there is renamed over the live names when it is complete and on disk.

One run at a time, by a lock of its own: an index must not be replaced by one made from an older view.

A commit is done before this starts, and nothing here undoes it: whatever goes wrong becomes a note.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import NamedTuple

from shipway.errors import LockedError
from shipway.fs.found import DIRECTORY, FILE, list_directory, look
from shipway.fs.lock import FileLock
from shipway.fs.system import FileSystem
from shipway.model.entry import join
from shipway.model.generated import Output, Regeneration, is_generated, regenerate_for
from shipway.prefix.leases import lock_mode

TIMEOUT = 60.0  # seconds

_COMPRESSED = re.compile(r"(\.info)\.[a-z0-9]+\Z")
_GONE = b"This manual is gone.\n\n"


class Result(Enum):
    """How a regeneration ended; CLEARED: nothing was left to list, and the index went too."""

    RAN = "ran"
    CLEARED = "cleared"
    MISSING = "missing"
    FAILED = "failed"


class Note(NamedTuple):
    """What became of one regeneration; `detail` is the tool that ran or would be needed, or what went wrong."""

    regeneration: Regeneration
    result: Result
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.regeneration.directory}: {self._text()}"

    def _text(self) -> str:
        if self.result is Result.RAN:
            return f"brought up to date by {self.detail}"
        if self.result is Result.CLEARED:
            return "nothing is left to list, the index is removed"
        if self.result is Result.MISSING:
            return f"not brought up to date, as {self.detail} is not installed ({self.regeneration.why})"
        return f"not brought up to date: {self.detail} ({self.regeneration.why})"


class Surroundings(NamedTuple):
    """Where it happens: the prefix, a directory of ours on its file system, and the seconds that a tool may take."""

    prefix: str
    scratch: str
    timeout: float = TIMEOUT


class _FailedError(Exception):
    """A tool did not do what it is for; the text says why."""


def regenerate(fs: FileSystem, around: Surroundings, changed: Iterable[str]) -> list[Note]:
    """Bring up to date what depends on these paths (files that came, changed or went, relative to the prefix).

    Tools are looked for in the prefix, then on the path.  Never raises for what a tool, or the disk, does.
    To be called without the prefix's lock.  A directory left empty (CLEARED) may be removed by whoever made it.
    """
    wanted = [r for r in regenerate_for(changed) if os.path.isdir(f"{around.prefix}/{r.directory}")]
    if not wanted:
        return []
    lock = FileLock(f"{around.scratch}/regenerate.lock", lock_mode(around.scratch), "the making of shared indexes")
    try:
        lock.acquire(wait=around.timeout)
        with lock, _workshop(fs, around) as (area, descriptor):
            return [_attempt(area, _Work(fs, around, regeneration, descriptor)) for regeneration in wanted]
    except (LockedError, OSError, ExceptionGroup) as error:
        return [Note(regeneration, Result.FAILED, str(error)) for regeneration in wanted]


@contextlib.contextmanager
def _workshop(fs: FileSystem, around: Surroundings) -> Iterator[tuple[str, int]]:
    """A private directory, and a descriptor to sync what is written there.  What a killed run left goes first."""
    area = f"{around.scratch}/regenerate"
    fs.remove_tree(area)
    fs.mkdir(area, 0o700)
    descriptor = fs.open_for_sync(area)
    try:
        yield area, descriptor
    finally:
        os.close(descriptor)
        fs.remove_tree(area)


def _attempt(workshop: str, work: _Work) -> Note:
    try:
        return work.run(workshop)
    except (_FailedError, OSError, ExceptionGroup) as error:
        return Note(work.wanted, Result.FAILED, str(error))


def _find(prefix: str, tools: Iterable[str]) -> str | None:
    path = f"{prefix}/bin:{prefix}/sbin:{os.environ.get('PATH', os.defpath)}"
    return next(filter(None, (shutil.which(tool, path=path) for tool in tools)), None)


class _Tool(NamedTuple):
    path: str
    timeout: float

    @property
    def name(self) -> str:
        return os.path.basename(self.path)

    def run(self, template: Iterable[str], values: Mapping[str, str]) -> None:
        """Run it to its end; its output goes to a file, so that nothing it leaves behind can keep us waiting."""
        with tempfile.TemporaryFile() as output:
            try:
                process = subprocess.run(
                    [self.path, *(values.get(argument, argument) for argument in template)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd="/",
                    env={**os.environ, "LC_ALL": "C"},
                    timeout=self.timeout,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise _FailedError(f"{self.name} took more than {self.timeout:g} s") from None
            output.seek(0)
            said = output.read().decode("utf-8", "replace").splitlines()
        if process.returncode:
            last = next((line.strip() for line in reversed(said) if line.strip()), f"exit status {process.returncode}")
            raise _FailedError(f"{self.name} failed: {last}")


class _Work(NamedTuple):
    """One regeneration; `live` is the directory it is about."""

    fs: FileSystem
    around: Surroundings
    wanted: Regeneration
    descriptor: int

    @property
    def live(self) -> str:
        return f"{self.around.prefix}/{self.wanted.directory}"

    def run(self, workshop: str) -> Note:
        """Find the tool, run it in a private directory, and say what came of it."""
        if self.wanted.output is Output.VIEW and not _holds_more_than_indexes(self.live, self.wanted):
            _remove_stale(self.fs, self.live, self.wanted, set())
            return Note(self.wanted, Result.CLEARED)
        path = _find(self.around.prefix, self.wanted.tools)
        if path is None:
            return Note(self.wanted, Result.MISSING, self.wanted.tools[0])
        tool = _Tool(path, self.around.timeout)
        if self.wanted.output is Output.ELSEWHERE:
            tool.run(self.wanted.arguments, {"{directory}": self.live})
            return Note(self.wanted, Result.RAN, tool.name)
        with self.fs.scratch(workshop) as area:
            result = self.merge(tool, area) if self.wanted.output is Output.MERGE else self.remake(tool, area)
        return Note(self.wanted, result, tool.name)

    def remake(self, tool: _Tool, area: str) -> Result:
        """Run a tool on a view, and put what it wrote in place of what there was."""
        view = f"{area}/view"
        self.fs.mkdir(view, 0o700)
        for name in _material(self.live, self.wanted):
            self.fs.symlink(f"{self.live}/{name}", f"{view}/{name}")
        tool.run(self.wanted.arguments, {"{directory}": view})
        outputs = _written(view, self.wanted)
        self._publish(view, outputs)
        _remove_stale(self.fs, self.live, self.wanted, set(outputs))
        return Result.RAN

    def merge(self, tool: _Tool, area: str) -> Result:
        """Edit a copy of the index, first for inputs that are gone: another may bring the same entries under another name."""
        name = self.wanted.outputs[0]
        copy = f"{area}/{name}"
        found = look(f"{self.live}/{name}")
        if found and found.kind != FILE:
            raise _FailedError(f"{name} is not a file")
        if found:
            self.fs.copy_file(f"{self.live}/{name}", copy, 0o600, found.mtime)
        failures = list(self._edit(tool, copy, area))
        if not os.path.exists(copy):
            return Result.RAN
        if _is_empty_menu(copy) and not _holds_more_than_indexes(self.live, self.wanted):
            _remove_stale(self.fs, self.live, self.wanted, set())
            return Result.CLEARED
        self._publish(area, [name])
        if failures:
            raise failures[-1]
        return Result.RAN

    def _edit(self, tool: _Tool, index: str, area: str) -> Iterator[_FailedError]:
        here: list[str] = []
        gone: list[str] = []
        for path in self.wanted.inputs:
            (here if os.path.exists(f"{self.around.prefix}/{path}") else gone).append(path)
        runs = [(self.wanted.removal, self._stand_in(area, path)) for path in gone if os.path.exists(index)]
        runs += [(self.wanted.arguments, f"{self.around.prefix}/{path}") for path in here]
        for template, path in runs:
            try:
                tool.run(template, {"{input}": path, "{index}": index})
            except _FailedError as error:
                yield error

    def _stand_in(self, area: str, path: str) -> str:
        """A file named as an input that is gone: `install-info --delete` wants to read one."""
        name = _COMPRESSED.sub(r"\1", path.rpartition("/")[2])
        stand_in = f"{area}/{name}"
        if not os.path.exists(stand_in):
            self.fs.write_file(stand_in, _GONE, 0o600)
        return stand_in

    def _publish(self, source: str, outputs: Iterable[str]) -> None:
        """Rename files over the live ones, complete and on disk; they are as new as the directory they describe."""
        outputs = list(outputs)
        for path in outputs:
            self._open_up(f"{source}/{path}", path)
        self.fs.sync(self.descriptor)
        for path in outputs:
            self.fs.replace(f"{source}/{path}", f"{self.live}/{path}")
        # gtk+ takes no icon cache that is older than the directory, which the rename has just changed
        changed = os.stat(self.live).st_mtime_ns
        for path in outputs:
            self.fs.utime(f"{self.live}/{path}", changed)

    def _open_up(self, source: str, path: str) -> None:
        """Give a file the mode of the live one, or one as open as its directory, which is made if missing."""
        parent = os.path.dirname(f"{self.live}/{path}")
        around = look(parent)
        if around is None:
            around = look(self.live)
            assert around is not None
            self.fs.mkdir(parent, around.mode)
        old = look(f"{self.live}/{path}")
        self.fs.chmod(source, old.mode & 0o777 if old and old.kind == FILE else around.mode & 0o666)


def _material(live: str, wanted: Regeneration) -> list[str]:
    """The live names that a tool is shown."""
    names = [found.name for found in list_directory(live)]
    if wanted.reads:
        return [name for name in names if name in wanted.reads]
    return [name for name in names if name not in wanted.outputs]


def _holds_more_than_indexes(live: str, wanted: Regeneration) -> bool:
    names = [found.name for found in list_directory(live) if not is_generated(join(wanted.directory, found.name))]
    return any(name in wanted.reads for name in names) if wanted.reads else bool(names)


def _written(root: str, wanted: Regeneration) -> list[str]:
    """The generated files below a directory, relative to it: its own and those of its subdirectories."""
    paths = []
    for found in list_directory(root):
        if found.kind == FILE:
            paths.append(found.name)
        elif found.kind == DIRECTORY and wanted.reads and found.name not in wanted.reads:
            paths += [f"{found.name}/{inner.name}" for inner in list_directory(f"{root}/{found.name}")]
    return [path for path in paths if is_generated(join(wanted.directory, path))]


def _remove_stale(fs: FileSystem, live: str, wanted: Regeneration, kept: set[str]) -> None:
    """Remove live files that the tool has made before and would not make now, and directories that were theirs alone."""
    for path in _written(live, wanted):
        parent, _, name = path.rpartition("/")
        if path in kept or not (parent or name in wanted.outputs):
            continue
        with contextlib.suppress(FileNotFoundError):
            fs.unlink(f"{live}/{path}")
        if parent and not list_directory(f"{live}/{parent}"):
            fs.rmdir(f"{live}/{parent}")


def _is_empty_menu(path: str) -> bool:
    """Whether an Info directory lists nothing."""
    with open(path, "rb") as index:
        return b"\n* " not in index.read().partition(b"\n* Menu:")[2]

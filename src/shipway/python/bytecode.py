"""Bytecode of an image: compiled for where the files will lie, by the interpreter that will run them (I6).

The interpreter only turns text into code, elsewhere and without writing; what it answers is written here,
with the header that keeps the interpreter from writing it again: PEP 552's unchecked fields are
not used, so that an edited source is still noticed.

A source that does not compile is reported, never an error: trees hold templates, tests of syntax, and
modules for the other Python.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from shipway.fs.system import FileSystem
from shipway.model.derived import CACHE_DIRECTORY
from shipway.model.entry import DIRECTORY, FILE, Entry, Manifest, join
from shipway.python.compiler import PATIENCE, Outcome, Setting, Task, compiled
from shipway.python.interpreter import Interpreter

_LEVEL = re.compile(r"\.opt-([12])\.pyc\Z")


class CompileRequest(NamedTuple):
    """What to compile: `sources` (paths with their entries) of a `tree`; `named` gives the file name that the code of a path says.

    `levels` are those of `-O`; 2.7 has one name for 1 and 2, and gets the lower one given.
    """

    interpreter: Interpreter
    tree: str
    sources: Sequence[tuple[str, Entry]]
    named: Callable[[str], str]
    levels: tuple[int, ...] = (0,)
    jobs: int = 1
    patience: float = PATIENCE


class Compiled(NamedTuple):
    """What came of it: derived entries by path (files, and the directories made for them), in sorted order.

    `failed` are sources without bytecode and why, `warnings` what kept the interpreter from working at all.
    """

    entries: dict[str, Entry]
    failed: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()


def python_sources(manifest: Manifest) -> list[tuple[str, Entry]]:
    """The sources in a manifest, with their entries: files, not links to files, whose name ends in `.py`."""
    return [(path, entry) for path, entry in manifest.files() if entry.kind == FILE and path.endswith(".py")]


def levels_found(dropped: Iterable[str]) -> tuple[int, ...]:
    """The optimisation levels of bytecode that was staged, sorted, with 0 always; a `.pyo` says 1, though it may be 2."""
    levels = {0}
    for path in dropped:
        if path.endswith(".pyo"):
            levels.add(1)
        elif found := _LEVEL.search(path):
            levels.add(int(found.group(1)))
    return tuple(sorted(levels))


def compile_all(fs: FileSystem, request: CompileRequest) -> Compiled:
    """Compile sources of an image into the image; nothing that goes wrong with it is raised.

    Bytecode has its source's time, and its mode without execute bits.  What is there already under a name
    of bytecode stays, and is reported.
    """
    if not request.interpreter.caches:
        return Compiled({}, (), (f"{request.interpreter.path} keeps no bytecode",))
    writer = _Writer(fs, request, dict(request.sources))
    warnings: list[str] = []
    tasks = [Task(path, entry.size, request.named(path)) for path, entry in request.sources]
    for setting in _settings(request):
        for outcome in compiled(setting, tasks, request.jobs, warnings):
            writer.take(outcome, setting)
    return Compiled(dict(sorted(writer.entries.items())), tuple(sorted(writer.failed.items())), tuple(warnings))


def _settings(request: CompileRequest) -> list[Setting]:
    """The runs it takes: one for all levels, in 2.7 (whose `compile` takes no level) one for each name."""
    interpreter, tree = request.interpreter, request.tree
    levels = _levels_with_names(interpreter, request.levels)
    if interpreter.version >= (3, 2):
        return [Setting(interpreter, tree, levels, patience=request.patience)]
    flags: dict[int, tuple[str, ...]] = {0: (), 1: ("-O",), 2: ("-OO",)}
    return [Setting(interpreter, tree, (level,), flags[level], request.patience) for level in levels]


def _levels_with_names(interpreter: Interpreter, levels: Iterable[int]) -> tuple[int, ...]:
    """The lowest level for each name that bytecode can have."""
    named: dict[str, int] = {}
    for level in sorted({0, *levels}):
        named.setdefault(interpreter.bytecode_name("x.py", level), level)
    return tuple(named.values())


@dataclass
class _Writer:
    fs: FileSystem
    request: CompileRequest
    sources: dict[str, Entry]
    entries: dict[str, Entry] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    prepared: set[str] = field(default_factory=set)

    def take(self, outcome: Outcome, setting: Setting) -> None:
        """Write what one source was compiled to, or note why it is nothing."""
        if outcome.why:
            self.failed[outcome.path] = outcome.why
            return
        try:
            for level, code in zip(setting.levels, outcome.codes, strict=True):
                self._write(outcome.path, level, code)
        except OSError as error:
            self.failed[outcome.path] = error.strerror or str(error)

    def _write(self, path: str, level: int, code: bytes) -> None:
        source = self.sources[path]
        parent, _, name = path.rpartition("/")
        target = join(parent, self.request.interpreter.bytecode_name(name, level))
        self._prepare(target.rpartition("/")[0], parent)
        data = self.request.interpreter.header(source.mtime, source.size) + code
        mode = source.mode & 0o666
        self.fs.write_file(f"{self.request.tree}/{target}", data, mode, source.mtime)
        digest = hashlib.sha256(data).hexdigest()
        name = target.rpartition("/")[2]
        self.entries[target] = Entry(name, FILE, mode, len(data), source.mtime, digest, derived=True)

    def _prepare(self, directory: str, parent: str) -> None:
        """Make a `__pycache__` as open as the directory it is in."""
        if directory == parent or directory in self.prepared:
            return
        mode = os.stat(f"{self.request.tree}/{parent}").st_mode & 0o7777
        with contextlib.suppress(FileExistsError):
            self.fs.mkdir(f"{self.request.tree}/{directory}", mode)
            self.entries[directory] = Entry(CACHE_DIRECTORY, DIRECTORY, mode, derived=True)
        self.prepared.add(directory)

"""Bytecode that was compiled once, for every environment of the same interpreter: a user's cache of packs.

A pack holds the code of all sources of one image.  Its name is a digest of the sources' paths and content, of the interpreter's magic
number and of the levels, so a pack is never out of date, only unused.  Code is kept without the header, which says the
source's time and is written anew for each image.  The file name inside is that of the environment it was compiled for first:
CPython since 3.3 puts the right one in its place when it loads bytecode (`importlib._bootstrap_external._compile_bytecode`), so
tracebacks, `inspect` and coverage name the file that was imported.

Format: a line with the SHA-256 of all that follows it; a line of JSON, `{path: [length, …] | "why there is no code"}`; the code, in
that order.  A pack is written under another name and renamed: whoever comes second writes the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from shipway.fs.system import FileSystem
from shipway.fs.tree import make_directories
from shipway.model.entry import Entry
from shipway.python.compiler import Outcome
from shipway.python.interpreter import Interpreter

OLDEST = (3, 3)
"""The first CPython that corrects file names."""


class BytecodeCache(NamedTuple):
    """The packs in a directory, which need not be there yet."""

    fs: FileSystem
    directory: str

    def load(self, key: str) -> list[Outcome]:
        """The outcomes of a pack; none if there is no such pack, or what is there is damaged.  It counts as used now."""
        path = self._path(key)
        try:
            with open(path, "rb") as file:
                digest, _, rest = file.read().partition(b"\n")
            self.fs.utime(path, _now())
        except OSError:
            return []
        if hashlib.sha256(rest).hexdigest().encode() != digest:
            return []
        index, _, code = rest.partition(b"\n")
        return list(_outcomes(json.loads(index), code))

    def save(self, key: str, outcomes: Iterable[Outcome]) -> None:
        """Keep outcomes; a cache that cannot be written is none."""
        found = sorted(outcomes)
        index = {each.path: each.why or [len(code) for code in each.codes] for each in found}
        rest = json.dumps(index).encode() + b"\n" + b"".join(code for each in found for code in each.codes)
        scratch = f"{self._path(key)}.{os.getpid()}-{os.urandom(4).hex()}"
        try:
            make_directories(self.directory, 0o700, self.fs.mkdir)
            self.fs.write_file(scratch, hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest, 0o600)
            self.fs.replace(scratch, self._path(key))
        except OSError:
            with suppress(OSError):
                self.fs.remove_tree(scratch)

    def _path(self, key: str) -> str:
        return f"{self.directory}/{key}"


def key_of(interpreter: Interpreter, levels: Sequence[int], sources: Iterable[tuple[str, Entry]]) -> str:
    """The name of the pack for these sources; "" where a pack would not do."""
    if interpreter.implementation != "cpython" or interpreter.version < OLDEST:
        return ""
    total = hashlib.sha256(b"shipway bytecode 1\n")
    total.update(json.dumps([interpreter.version, interpreter.magic.hex(), list(levels)]).encode())
    for path, entry in sorted(sources):
        total.update(f"\n{entry.digest} {path}".encode(errors="surrogateescape"))
    return total.hexdigest()


def directory_of(environment: Mapping[str, str] = os.environ) -> str:
    """Shipway's cache of this user: SHIPWAY_CACHE, else below XDG_CACHE_HOME, else ~/.cache; "" for a user without a home."""
    if environment.get("SHIPWAY_CACHE"):
        return os.path.abspath(environment["SHIPWAY_CACHE"])
    above = environment.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return f"{above}/shipway" if os.path.isabs(above) else ""


def _outcomes(index: Mapping[str, list[int] | str], code: bytes) -> Iterable[Outcome]:
    start = 0
    for path, lengths in index.items():
        if isinstance(lengths, str):
            yield Outcome(path, (), lengths)
            continue
        codes = []
        for length in lengths:
            codes.append(code[start : start + length])
            start += length
        yield Outcome(path, tuple(codes))


def _now() -> int:
    return time.time_ns()

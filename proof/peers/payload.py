"""The package that every tool installs, in three versions, and what each file of it must hold."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

NAME = "parcel"
VERSIONS = ("1", "2", "3")
SITE = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"

NEIGHBOURS = {
    "bin/neighbour": b"#!/bin/sh\necho neighbour\n",
    "share/man/man1/neighbour.1": b".TH NEIGHBOUR 1\n",
    f"{SITE}/neighbour/__init__.py": b"NEAR = 1\n",
}
"""What others have in the same directories: it must stay as it is."""


@cache
def paths(version: str) -> tuple[str, ...]:
    """What a version has: 318 paths, 304 of which are in every version."""
    modules = [f"{SITE}/{NAME}/__init__.py"]
    for number in range(10):
        part = f"{SITE}/{NAME}/part{number}"
        modules += [f"{part}/__init__.py", *(f"{part}/module{n}.py" for n in range(19))]
    data = [f"{SITE}/{NAME}/data/table{n}.bin" for n in range(39)]
    programs = [f"bin/{NAME}-{n}" for n in range(24)]
    pages = [f"share/man/man1/{NAME}-{n}.1" for n in range(40)]
    own = [f"{SITE}/{NAME}/only{version}/module{n}.py" for n in range(10)]
    own += [f"bin/{NAME}-only{version}", f"share/man/man1/{NAME}-only{version}.1"]
    own += [f"{SITE}/{NAME}/data/only{version}-{n}" for n in range(2)]
    return tuple(sorted(modules + data + programs + pages + own))


@cache
def content(version: str, path: str) -> bytes:
    """What a file of a version holds; as long in every version, and different on every line."""
    if path.endswith(".bin"):
        return f"{NAME} {version} {path}\n".encode() * 1200
    if path.endswith(".py"):
        return b"".join(f'LINE_{n} = "{NAME} {version} {path}"\n'.encode() for n in range(30))
    first = b"#!/bin/sh\n" if path.startswith("bin/") else b""
    return first + f": {NAME} {version} {path}\n".encode() * 20


def digest(held: bytes) -> str:
    """What contents are compared by."""
    return hashlib.sha256(held).hexdigest()


@cache
def wanted(version: str) -> Mapping[str, str]:
    """The digest of each path of a version."""
    return {path: digest(content(version, path)) for path in paths(version)}


@cache
def every_path() -> tuple[str, ...]:
    """The paths of all versions together."""
    return tuple(sorted({path for version in VERSIONS for path in paths(version)}))


@cache
def common_paths() -> tuple[str, ...]:
    """The paths that every version has."""
    return tuple(path for path in paths(VERSIONS[0]) if all(path in wanted(v) for v in VERSIONS))


def seconds(version: str) -> int:
    """The mtime of all files of a version."""
    return 1_600_000_000 + 1000 * int(version)


def stage(version: str, where: Path, *, neighbours: bool = False) -> Path:
    """A staged tree of a version, as `make install DESTDIR=…` leaves it."""
    for path in paths(version):
        put(where / path, content(version, path), seconds(version))
    if neighbours:
        move_in(where)
    return where


def move_in(root: Path) -> Path:
    """Put down the files of the others."""
    for path, held in NEIGHBOURS.items():
        put(root / path, held, seconds("0"))
    return root


def put(path: Path, held: bytes, mtime: int) -> None:
    """A file with a time, executable if it is a program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(held)
    path.chmod(mode(str(path)))
    os.utime(path, (mtime, mtime))


def mode(path: str) -> int:
    """The mode of a file."""
    return 0o755 if "bin" in Path(path).parts else 0o644

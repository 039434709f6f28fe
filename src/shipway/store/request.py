"""What sealing is asked for and what it answers, as values."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from shipway.model.entry import Manifest

PATH_MAX = 4096
"""The kernel's limit for a path in bytes, with a zero at the end (limits.h)."""

BYTECODE = "bytecode"
LIBTOOL = "libtool archive"
GENERATED = "generated"
DUPLICATE = "duplicate"


class SealRequest(NamedTuple):
    """A staged tree and what is to become of it.

    `source` is the directory whose children lie under the prefix; `destination`, which must not exist, is where the
    image's files will be, on the prefix's file system.  `stage_paths` must not occur in text files, nor be
    where an absolute symlink points.  `redirects` leads from directories of the tree to where they lie in
    truth, because the live one is a symlink (`lib64` to `lib`); nothing else may lie on the way.  `reference` is the installed version's manifest.
    `constant_times` are mtimes in whole seconds that say nothing, such as SOURCE_DATE_EPOCH.
    `jobs` is the number of processes.  `longest` is how many bytes a path in the tree may have,
    `deepest` in how many directories it may lie.
    """

    source: str
    destination: str
    stage_paths: tuple[str, ...] = ()
    redirects: Mapping[str, str] = MappingProxyType({})
    reference: Manifest | None = None
    keep_libtool: bool = False
    jobs: int = 1
    constant_times: frozenset[int] = frozenset()
    longest: int = PATH_MAX - 1
    deepest: int = PATH_MAX


class Dropped(NamedTuple):
    """A path of the tree (before redirection) that the image leaves out, and why: one of the words above."""

    path: str
    why: str


class Remark(NamedTuple):
    """Something about a path of the tree that a person should know, though it stops nothing."""

    path: str
    text: str


class Shelf(NamedTuple):
    """Names of one directory as they were when they were read, in columns: what stat has to say again later.

    `path` is the directory in the tree, `at` where it lies in the manifest.  `retimed`: some of the names have
    another mtime in the manifest than here.
    """

    path: str
    at: str
    names: Sequence[str]
    inodes: array[int]
    ctimes: array[int]
    mtimes: array[int]
    retimed: bool = False


class Taken(NamedTuple):
    """What adopting a tree in place has to know about it; paths are those in the tree, before redirection.

    `root` is the tree's own inode, mtime and mode.  `private` are files that others own or hold too, or that carry
    capabilities, each by all its names here; `stripped` carry setuid or setgid, which an image must not (I11);
    `groups` are hard links, each by all its names in the tree and in the manifest.  `made` are directories of the
    manifest that the tree lacks, `redirected` pairs of a path and where it goes.  `dropped` files go, and so do
    directories left `emptied`, the deepest first.  `closed` are directories that their owner may not change, with
    their modes.  `alien` says why the tree cannot be renamed but has to be copied, if so.
    """

    root: tuple[int, int, int]
    shelves: tuple[Shelf, ...]
    private: tuple[tuple[str, ...], ...]
    stripped: tuple[str, ...]
    groups: tuple[tuple[tuple[str, str], ...], ...]
    made: tuple[str, ...]
    redirected: tuple[tuple[str, str], ...]
    dropped: tuple[str, ...]
    emptied: tuple[str, ...]
    closed: Mapping[str, int]
    alien: str


class Scanned(NamedTuple):
    """A tree that was read: its manifest, what was left out, what to tell, and the bytes its files hold."""

    manifest: Manifest
    dropped: tuple[Dropped, ...]
    warnings: tuple[Remark, ...]
    bytes: int
    taken: Taken

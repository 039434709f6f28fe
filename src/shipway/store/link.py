"""Linking out: a part of an image materialised elsewhere, complete, with final modes, times and attributes.

Files share their data with the image (reflink), or their inode (hard link), or are copies; what must not
change under the image's feet, or must carry what an image may not (I11), is always a copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from shipway.errors import CorruptError
from shipway.fs.system import FileSystem
from shipway.model.entry import Entry
from shipway.store.linker import Done, Linker, LinkRequest, Piece
from shipway.store.mode import LinkMode
from shipway.store.workers import do_all, in_batches, processes, shared_out

__all__ = ["LinkMode", "LinkReport", "LinkRequest", "link_all", "link_out"]

_BATCH = 256


class LinkReport(NamedTuple):
    """How many files and symlinks were made, of these by hard link, by copy (and their bytes), by reflink.

    `lost` tells attributes that could not be set, "path: name".
    """

    files: int = 0
    linked: int = 0
    copied: int = 0
    bytes_copied: int = 0
    cloned: int = 0
    lost: tuple[str, ...] = ()


def link_out(fs: FileSystem, request: LinkRequest) -> LinkReport:
    """Materialise one part of an image; see `link_all`."""
    return link_all(fs, [request], request.jobs)[0]


def link_all(fs: FileSystem, requests: Sequence[LinkRequest], jobs: int) -> list[LinkReport]:
    """Materialise parts of images, all files of all of them shared out between `jobs` processes.

    Raises CorruptError with all paths if files of an image are not what was sealed, FileExistsError if
    a destination exists, OSError.  In each case nothing is left of any destination that was made here.
    """
    linkers = [Linker(fs, request) for request in requests]
    begun: list[Linker] = []
    try:
        for linker in linkers:
            linker.begin()
            begun.append(linker)
        _make_directories(linkers, jobs)
        _fill(linkers, jobs)
        _refuse_damage(linkers)
        return [_report(linker.finish()) for linker in linkers]
    except BaseException:
        for linker in begun:
            fs.remove_tree(linker.request.destination)
        raise


def _make_directories(linkers: Sequence[Linker], jobs: int) -> None:
    groups = [((number, group), len(group)) for number, each in enumerate(linkers) for group in each.groups()]

    def make(batch: Sequence[tuple[int, list[tuple[str, Entry]]]]) -> None:
        for number, group in batch:
            linkers[number].make_directories(group)

    do_all(make, list(in_batches(groups, _BATCH)), processes(jobs, sum(weight for _, weight in groups)))


def _fill(linkers: Sequence[Linker], jobs: int) -> None:
    pieces = [(piece, piece.stop - piece.start) for number, each in enumerate(linkers) for piece in each.pieces(number)]
    batches = list(in_batches(pieces, _BATCH))

    def fill(batch: Sequence[Piece]) -> list[Done]:
        return [linkers[piece.linker].fill(piece) for piece in batch]

    with shared_out(fill, batches, processes(jobs, sum(weight for _, weight in pieces))) as results:
        for batch, answers in zip(batches, results, strict=True):
            for piece, done in zip(batch, answers, strict=True):
                linkers[piece.linker].done.add(done)


def _refuse_damage(linkers: Sequence[Linker]) -> None:
    damaged = sorted({path for linker in linkers for path in linker.done.damaged})
    if damaged:
        trees = sorted({linker.request.tree for linker in linkers if linker.done.damaged})
        raise CorruptError(
            f"image damaged: {', '.join(trees)}",
            hint="merge the package again to get a sound image",
            details=[f"{path}: not what was sealed" for path in damaged],
        )


def _report(done: Done) -> LinkReport:
    return LinkReport(done.files, done.linked, done.copied, done.bytes_copied, done.cloned, tuple(done.lost))

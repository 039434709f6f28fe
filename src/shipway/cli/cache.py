"""`shipway cache`."""

from __future__ import annotations

import os

import click

from shipway.cli.call import Call
from shipway.cli.options import as_command, pass_call

BYTECODE = "bytecode"


@as_command("cache")
@click.argument("what", metavar="[dir|info|prune]", type=click.Choice(["dir", "info", "prune"]), default="info")
@click.option(
    "--keep", type=click.IntRange(min=0), default=1024, show_default=True, metavar="MIB", help="prune: Keep so much."
)
@pass_call
def command(call: Call, what: str, keep: int) -> None:
    """Say what the user's cache holds, where it is, or give up what was used longest ago."""
    from shipway.cli.text import plural, size
    from shipway.python.bytecode_cache import directory_of

    place = directory_of()
    packs = _packs(f"{place}/{BYTECODE}")
    gone = _prune(call, packs, keep << 20) if what == "prune" else []
    left = [pack for pack in packs if pack not in gone]
    if call.json:
        sizes = {"packs": len(left), "bytes": sum(s for _, s, _ in left)}
        call.console.document({"directory": place, **sizes, "removed": len(gone)})
    elif what == "dir":
        call.console.answer(place)
    else:
        held = f"{plural(len(left), 'pack')} of bytecode, {size(sum(s for _, s, _ in left))}, in {place}"
        call.console.answer(*([f"{plural(len(gone), 'pack')} removed"] if what == "prune" else []), held)


def _packs(directory: str) -> list[tuple[float, int, str]]:
    """When each was used last, its size in bytes, and its path; the one used longest ago first."""
    if not os.path.isdir(directory):
        return []
    with os.scandir(directory) as entries:
        found = [(entry.stat(), entry.path) for entry in entries if entry.is_file(follow_symlinks=False)]
    return sorted((status.st_mtime, status.st_size, path) for status, path in found)


def _prune(call: Call, packs: list[tuple[float, int, str]], keep: int) -> list[tuple[float, int, str]]:
    gone = []
    held = sum(size for _, size, _ in packs)
    for pack in packs:
        if held <= keep:
            break
        call.file_system().remove_tree(pack[2])
        held -= pack[1]
        gone.append(pack)
    return gone

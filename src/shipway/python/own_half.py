"""What an environment adds to a wheel that was unpacked: scripts with its shebangs, and the metadata that tells who installed it.

Sources: "Recording installed projects", "Entry points" (packaging.python.org), PEP 610 (direct_url.json).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

from shipway.model.entry import join
from shipway.python.target import Target
from shipway.python.wheel import Wheel, hash_in_record, record_lines
from shipway.store.assemble import Fresh

INSTALLER = b"shipway\n"


def places(target: Target, wheel: Wheel) -> dict[str, str]:
    """Where each part of an unpacked wheel goes, relative to the target's root."""
    paths = {**target.paths, "headers": os.path.join(target.paths["headers"], wheel.name)}
    return {scheme: _relative(path, target.root) for scheme, path in paths.items()}


def own_half(wheel: Wheel, about: Mapping[str, Any], target: Target) -> list[Fresh]:
    """The files that are this environment's, RECORD last, with their paths relative to the target's root."""
    there = places(target, wheel)
    info = join(there[about["root"]], about["info"])
    scripts = [Fresh(join(there["scripts"], name), data, 0o755) for name, data in _scripts(about, target.python)]
    metadata = [Fresh(f"{info}/{name}", data, 0o644) for name, data in _metadata(wheel)]
    record = _record(wheel, about, target, [*scripts, *metadata])
    return [*scripts, *metadata, Fresh(f"{info}/RECORD", record.encode(), 0o644)]


def _metadata(wheel: Wheel) -> Iterator[tuple[str, bytes]]:
    yield "INSTALLER", INSTALLER
    if wheel.requested:
        yield "REQUESTED", b""
    if wheel.direct_url:
        yield "direct_url.json", wheel.direct_url.encode()


def _scripts(about: Mapping[str, Any], python: str) -> Iterator[tuple[str, bytes]]:
    for name, text in about["scripts"]:
        yield name, f"#!{python}\n".encode() + text.encode("latin-1").partition(b"\n")[2]
    if about["programs"]:
        from installer.scripts import Script

        for each in about["programs"]:
            yield Script(*each).generate(python, "posix")


def _record(wheel: Wheel, about: Mapping[str, Any], target: Target, own: list[Fresh]) -> str:
    """RECORD: what was unpacked, what is ours, itself; paths are relative to the scheme of the wheel's root."""
    there = places(target, wheel)
    root = there[about["root"]] or "."
    rows = [
        [os.path.relpath(join(there[scheme], path), root), hashed, str(size)]
        for scheme, path, hashed, size in about["others"]
    ]
    for path, data, _ in own:
        digest = hash_in_record(hashlib.sha256(data).digest())
        rows.append([os.path.relpath(path, root), digest, str(len(data))])
    rows.append([f"{about['info']}/RECORD", "", ""])
    return f"{about['record']}{record_lines(rows)}"


def _relative(path: str, root: str) -> str:
    """A path relative to the target's root, "" for the root, symlinks of its parents followed."""
    return os.path.realpath(path)[len(root) :].lstrip("/")

"""Trees on disk: laid from dicts, and looked at whole."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from shipway.fs.system import FileSystem
from shipway.model.entry import Manifest
from shipway.store.link import LinkMode, LinkRequest, link_out
from shipway.store.seal import Scanned, SealRequest, adopt, copy, scan

TIME = 1_600_000_000_123_456_789
SECOND = 1_000_000_000


def lay(root: str, files: Mapping[str, str | bytes | None]) -> str:
    """Make a tree: text or bytes are a file, "-> target" is a symlink, None is a directory."""
    os.makedirs(root, exist_ok=True)
    for name, content in files.items():
        path = Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir(exist_ok=True)
        elif isinstance(content, str) and content.startswith("-> "):
            path.symlink_to(content[3:])
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
            os.utime(path, ns=(TIME, TIME))
    return root


def seen(root: str) -> dict[str, tuple[object, ...]]:
    """All of a tree that a manifest speaks of, by path; hard links share the first of their names."""
    found: dict[str, tuple[object, ...]] = {}
    first: dict[int, str] = {}
    for directory, directories, files in os.walk(root):
        directories.sort()
        for name in sorted([*files, *directories]):
            path = os.path.join(directory, name)
            relative = os.path.relpath(path, root)
            status = os.lstat(path)
            if os.path.islink(path):
                found[relative] = ("link", os.readlink(path), status.st_mtime_ns)
            elif os.path.isdir(path):
                found[relative] = ("directory", status.st_mode & 0o7777)
            else:
                same = first.setdefault(status.st_ino, relative)
                mode = status.st_mode & 0o7777
                found[relative] = ("file", mode, Path(path).read_bytes(), status.st_mtime_ns, same)
    return found


def names(root: str) -> set[str]:
    """Every path in a tree."""
    return set(seen(root))


class Sealer:
    """Seals trees of one area, each way."""

    def __init__(self, area: str, fs: FileSystem | None = None) -> None:
        self.area = area
        self.fs = fs or FileSystem()
        self.stage = os.path.join(area, "stage")
        self.image = os.path.join(area, "image")
        self.out = os.path.join(area, "out")

    def request(self, **wishes: object) -> SealRequest:
        return SealRequest(self.stage, self.image, **wishes)  # type: ignore[arg-type]

    def scan(self, **wishes: object) -> Scanned:
        return scan(self.fs, self.request(**wishes))

    def seal(self, way: str, **wishes: object) -> Scanned:
        """By "copy", or by "adopt" of what was scanned."""
        request = self.request(**wishes)
        return copy(self.fs, request) if way == "copy" else adopt(self.fs, request, scan(self.fs, request))

    def link_out(self, manifest: Manifest, how: LinkMode = LinkMode.AUTO) -> str:
        """The whole image, materialised."""
        link_out(self.fs, LinkRequest(self.image, manifest, "", self.out, how))
        return self.out

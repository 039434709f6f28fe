"""Where a prefix may lie: file systems and mounts on which every deed must go as it does elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from proof.mounts import folded, mounted, overlay, tmpfs
from proof.scene import Scene, leave
from proof.world import Deed, World

Maker = Callable[[Scene, Deed, Path], AbstractContextManager[World]]
"""Makes a deed's world on some ground, in a room; CannotMountError if that cannot be had."""


def _on(ground: Callable[[Path], AbstractContextManager[Path]]) -> Maker:
    """A maker of ordinary worlds on a directory that somebody provides."""

    @contextmanager
    def make(scene: Scene, deed: Deed, room: Path) -> Iterator[World]:
        with ground(room) as at:
            (at / "room").mkdir()
            yield World(scene, deed, at / "room")

    return make


def _tmpfs(room: Path) -> AbstractContextManager[Path]:
    return tmpfs(room / "at")


def _overlay(room: Path) -> AbstractContextManager[Path]:
    return overlay(room / "lower", room / "upper", room / "at")


def _bound(room: Path) -> AbstractContextManager[Path]:
    (room / "elsewhere").mkdir()
    return mounted(["mount", "--bind", room / "elsewhere"], room / "at")


def _bindfs(room: Path) -> AbstractContextManager[Path]:
    (room / "elsewhere").mkdir()
    return mounted(["bindfs", room / "elsewhere"], room / "at")


def _fuse_overlay(room: Path) -> AbstractContextManager[Path]:
    for name in ("lower", "upper", "work"):
        (room / name).mkdir()
    options = f"lowerdir={room}/lower,upperdir={room}/upper,workdir={room}/work"
    return mounted(["fuse-overlayfs", "-o", options], room / "at")


class Layered(World):
    """Everything arranged lies in the lower layer of an overlay at the same path: directories that cannot be renamed."""

    def __init__(self, scene: Scene, deed: Deed, room: Path, held: ExitStack) -> None:
        self._held = held
        self._mount = ExitStack()
        held.push(lambda *_: self._mount.close())
        super().__init__(scene, deed, room)

    def restore(self) -> None:
        """Begin again with an empty upper layer."""
        self._mount.close()
        here, upper = self.room / "here", self.room / "upper"
        for directory in (here, upper, self.room / "upper-work"):
            if directory.exists():
                shutil.rmtree(directory)
        self._mount = ExitStack()
        self._mount.enter_context(overlay(self.room / "kept", upper, here))


@contextmanager
def _layered(scene: Scene, deed: Deed, room: Path) -> Iterator[World]:
    with ExitStack() as held:
        yield Layered(scene, deed, room, held)


class Linked(World):
    """The prefix is named by a symlink to it."""

    def _arrange(self) -> None:
        (self.room / "here" / "real").mkdir(parents=True)
        self.root.symlink_to("real")
        super()._arrange()


@contextmanager
def _linked(scene: Scene, deed: Deed, room: Path) -> Iterator[World]:
    yield Linked(scene, deed, room)


GROUNDS: Mapping[str, Maker] = {
    "overlay, packages in the lower layer": _layered,
    "overlay, all in the upper layer": _on(_overlay),
    "tmpfs": _on(_tmpfs),
    "bind mount": _on(_bound),
    "prefix named by a symlink": _linked,
    "bindfs (FUSE)": _on(_bindfs),
    "fuse-overlayfs": _on(_fuse_overlay),
    "case-insensitive ext4": _on(folded),
}


@contextmanager
def world_on(ground: str, scene: Scene, deed: Deed) -> Iterator[World]:
    """A deed's world on one of the grounds; gone in the end."""
    room = scene.room("ground")
    try:
        with GROUNDS[ground](scene, deed, room) as world:
            yield world
    finally:
        leave(room)

"""Tools that put files or links from one directory into another: cp, rsync, stow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from proof.peers.payload import VERSIONS, move_in, stage
from proof.peers.tool import Tool, first_line


class Copy(Tool):
    """`cp -Rp` of a staged tree: what build systems do.  Old files stay."""

    name = "cp"
    installed_by = "apt-get install coreutils"
    needs = ("cp",)

    def version(self) -> str:
        return "cp " + first_line(["cp", "--version"]).split()[-1]

    def prepare(self, here: Path) -> None:
        for version in VERSIONS:
            stage(version, here / f"stage{version}")
        move_in(self.root(here))

    def upgrade(self, here: Path, old: str, new: str) -> list[str]:
        return ["cp", "-Rp", f"{here / f'stage{new}'}/.", str(self.root(here))]


class Rsync(Copy):
    """`rsync -a` of a staged tree; `--delete` is no choice in a directory that others use too."""

    name = "rsync"
    installed_by = "apt-get install rsync"
    needs = ("rsync",)
    options: Sequence[str] = ()

    def version(self) -> str:
        return " ".join([*first_line(["rsync", "--version"]).split()[:3:2], *self.options])

    def upgrade(self, here: Path, old: str, new: str) -> list[str]:
        return ["rsync", "-a", *self.options, f"{here / f'stage{new}'}/", f"{self.root(here)}/"]

    def remedy(self, here: Path, old: str, new: str) -> list[list[str]]:
        return [[*self.upgrade(here, old, new), "--checksum"]]


class RsyncDelayed(Rsync):
    """The same, with all files put in place at the end."""

    name = "rsync-delayed"
    options = ("--delay-updates",)


class Stow(Tool):
    """GNU stow: links into a directory for each version; both steps of the upgrade in one call."""

    name = "stow"
    installed_by = "apt-get install stow"
    needs = ("stow",)

    def version(self) -> str:
        return "stow " + first_line(["stow", "--version"]).split()[-1]

    def prepare(self, here: Path) -> None:
        for version in VERSIONS:
            stage(version, here / "stow" / f"parcel-{version}")
        move_in(self.root(here))

    def upgrade(self, here: Path, old: str, new: str) -> list[str]:
        gone = ["-D", f"parcel-{old}"] if old and old != new else []
        return [*self._stow(here), *gone, "-S", f"parcel-{new}"]

    def remedy(self, here: Path, old: str, new: str) -> list[list[str]]:
        return [[*self._stow(here), "-D", f"parcel-{old}"], [*self._stow(here), "-R", f"parcel-{new}"]]

    def _stow(self, here: Path) -> list[str]:
        return ["stow", f"--dir={here / 'stow'}", f"--target={self.root(here)}"]

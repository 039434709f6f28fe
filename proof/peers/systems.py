"""Tools that distributions are made with: pacman and ostree."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

from proof.peers.payload import NAME, VERSIONS, content, mode, move_in, paths, seconds, stage
from proof.peers.tool import Record, Tool, first_line, of_package, words
from proof.scene import run

CONFIGURATION = "[options]\nArchitecture = auto\nSigLevel = Never\nLocalFileSigLevel = Never\n"
ABOUT = """\
pkgname = {name}
pkgbase = {name}
pkgver = {version}-1
pkgdesc = what is upgraded
url = http://localhost/
builddate = {seconds}
packager = proof
size = {size}
arch = any
"""


class Pacman(Tool):
    """`pacman -U` with a root and a database of its own."""

    name = "pacman"
    installed_by = "apt-get install pacman-package-manager"
    needs = ("pacman",)

    def missing(self) -> str:
        return super().missing() or ("" if os.geteuid() == 0 else "pacman -U wants root")

    def version(self) -> str:
        return "pacman " + run(["pacman", "--version"]).stdout.partition("Pacman v")[2].split()[0]

    def prepare(self, here: Path) -> None:
        for name in ("db", "cache", "hooks", "gnupg", "packages"):
            (here / name).mkdir(parents=True)
        (here / "pacman.conf").write_text(CONFIGURATION)
        for version in VERSIONS:
            package(version, here / "packages")
        move_in(self.root(here))

    def upgrade(self, here: Path, old: str, new: str) -> list[str]:
        made = here / "packages" / f"{NAME}-{new}-1-any.pkg.tar.gz"
        return ["pacman", "-U", "--noconfirm", "--noprogressbar", *self._places(here), str(made)]

    def recorded(self, here: Path) -> Record:
        asked = ["pacman", "-Q", "--config", str(here / "pacman.conf"), "--dbpath", str(here / "db")]
        return tuple(version.removesuffix("-1") for version in of_package(run(asked).stdout.splitlines()))

    def remedy(self, here: Path, old: str, new: str) -> list[list[str]]:
        half = f"for entry in db/local/{NAME}-*; do test -s $entry/desc || rm -rf $entry; done"
        unlock = words(f"cd {here}; rm -f db/db.lck; {half}")
        return [unlock, [*self.upgrade(here, old, new), "--overwrite", "*"]]

    def _places(self, here: Path) -> list[str]:
        return [
            "--config", str(here / "pacman.conf"), "--root", str(self.root(here)), "--dbpath", str(here / "db"),
            "--cachedir", str(here / "cache"), "--hookdir", str(here / "hooks"), "--gpgdir", str(here / "gnupg"),
            "--logfile", str(here / "log"),
        ]  # fmt: skip


def package(version: str, where: Path) -> Path:
    """A package of pacman's, made by hand."""
    made = where / f"{NAME}-{version}-1-any.pkg.tar.gz"
    size = sum(len(content(version, path)) for path in paths(version))
    about = ABOUT.format(name=NAME, version=version, seconds=seconds(version), size=size)
    with tarfile.open(made, "w:gz", compresslevel=1) as archive:
        _add(archive, ".PKGINFO", about.encode(), seconds(version))
        for directory in sorted({str(parent) for path in paths(version) for parent in Path(path).parents} - {"."}):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for path in paths(version):
            _add(archive, path, content(version, path), seconds(version))
    return made


def _add(archive: tarfile.TarFile, path: str, held: bytes, mtime: int) -> None:
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode, entry.mtime = len(held), mode(path), mtime
    archive.addfile(entry, io.BytesIO(held))


class Ostree(Tool):
    """`ostree checkout` beside the live tree, then one rename of the link `current`: a whole tree, neighbours and all."""

    name = "ostree"
    installed_by = "apt-get install ostree"
    needs = ("ostree",)

    def version(self) -> str:
        return "ostree " + first_line(["ostree", "--version"], line=1).split()[-1].strip("'")

    def prepare(self, here: Path) -> None:
        (here / "trees").mkdir(parents=True)
        repository = f"--repo={here / 'repo'}"
        run(["ostree", "init", repository, "--mode=bare-user-only"])
        for version in VERSIONS:
            staged = stage(version, here / f"stage{version}", neighbours=True)
            run(["ostree", "commit", repository, f"--branch={NAME}/{version}", f"--tree=dir={staged}"])

    def root(self, here: Path) -> Path:
        return here / "current"

    def upgrade(self, here: Path, old: str, new: str) -> list[str]:
        checkout = f"ostree checkout --repo=repo --user-mode --require-hardlinks {NAME}/{new} trees/{new}.$$"
        return words(f"cd {here}; {checkout}; ln -s trees/{new}.$$ next.$$; mv -T next.$$ current")

    def recorded(self, here: Path) -> Record:
        """It keeps no record of what is checked out where."""
        return None

"""Tools that install wheels into a virtual environment: pip and uv, without an index."""

from __future__ import annotations

import base64
import hashlib
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

from proof.peers.payload import NAME, SITE, VERSIONS, content, mode, move_in, paths
from proof.peers.tool import Record, Tool, first_line
from proof.scene import run

ABOUT = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: proof\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


class Wheels(Tool):
    """What pip and uv have in common.  Both are installed by pip into a virtual environment of the proof's own."""

    own = (
        f"{SITE}/*.dist-info",
        "pyvenv.cfg",
        "include",
        "lib64",
        "bin/python*",
        ".lock",
        "CACHEDIR.TAG",
        ".gitignore",
    )
    program: str

    def missing(self) -> str:
        said = ""
        if not self.tools.exists():
            run([self.scene.python, "-m", "venv", str(self.tools)])
            said = self._get("pip")
        if not self.found().exists():
            said = self._get(self.program)
        return (
            "" if self.found().exists() else f"cannot be installed ({said or 'no such program'}); {self.installed_by}"
        )

    def found(self) -> Path:
        """The program in the environment of the proof's own."""
        return self.tools / "bin" / self.program

    def _get(self, program: str) -> str:
        pip = [str(self.tools / "bin/python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
        done = run([*pip, "install", "--upgrade", program], timeout=300)
        return (done.stderr.strip().splitlines() or [""])[-1] if done.returncode else ""

    def prepare(self, here: Path) -> None:
        for version in VERSIONS:
            wheel(version, here / "wheels")
        run([self.scene.python, "-m", "venv", "--without-pip", str(self.root(here))])
        move_in(self.root(here))

    def recorded(self, here: Path) -> Record:
        """Its `*.dist-info` directories: the database of installed distributions that both read."""
        names = [path.name for path in (self.root(here) / SITE).glob(f"{NAME}-*.dist-info")]
        return tuple(sorted(name.removeprefix(f"{NAME}-").removesuffix(".dist-info") for name in names))

    def _wanted(self, here: Path, new: str) -> list[str]:
        return ["--no-index", "--no-deps", "--find-links", str(here / "wheels"), f"{NAME}=={new}"]

    def _python(self, here: Path) -> str:
        return str(self.root(here) / "bin/python")


class Pip(Wheels):
    """`pip install parcel==2`, from a directory of wheels."""

    name = "pip"
    program = "pip"
    installed_by = "pip install pip"

    def version(self) -> str:
        return " ".join(first_line([str(self.found()), "--version"]).split()[:2])

    def upgrade(self, here: Path, old: str, new: str) -> list[str]:
        return [*self._pip(here), *self._wanted(here, new)]

    def remedy(self, here: Path, old: str, new: str) -> list[list[str]]:
        return [[*self._pip(here), "--force-reinstall", *self._wanted(here, new)]]

    def _pip(self, here: Path) -> list[str]:
        options = ["--isolated", "--disable-pip-version-check", "--no-cache-dir"]
        return [str(self.found()), *options, "--python", self._python(here), "install"]


class Uv(Wheels):
    """`uv pip install parcel==2`, from a directory of wheels, with a cache of its own."""

    name = "uv"
    program = "uv"
    installed_by = "pip install uv"

    def version(self) -> str:
        return " ".join(first_line([str(self.found()), "--version"]).split()[:2])

    def upgrade(self, here: Path, old: str, new: str) -> list[str]:
        return [*self._uv(here), *self._wanted(here, new)]

    def remedy(self, here: Path, old: str, new: str) -> list[list[str]]:
        return [[*self._uv(here), "--reinstall", *self._wanted(here, new)]]

    def environment(self, here: Path) -> Mapping[str, str]:
        return {"UV_CACHE_DIR": str(here / "cache")}

    def _uv(self, here: Path) -> list[str]:
        return [str(self.found()), "pip", "install", "--no-config", "--offline", "--python", self._python(here)]


def wheel(version: str, where: Path) -> Path:
    """A wheel of a version, made by hand: modules in the root, programs and pages as data."""
    where.mkdir(parents=True, exist_ok=True)
    about = f"{NAME}-{version}.dist-info"
    held = {_inside(path, version): content(version, path) for path in paths(version)}
    held[f"{about}/METADATA"] = ABOUT.format(name=NAME, version=version).encode()
    held[f"{about}/WHEEL"] = WHEEL.encode()
    lines = [f"{path},sha256={_hash(data)},{len(data)}" for path, data in held.items()]
    held[f"{about}/RECORD"] = "\n".join([*lines, f"{about}/RECORD,,", ""]).encode()
    made = where / f"{NAME}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in held.items():
            entry = zipfile.ZipInfo(path, (2020, 1, int(version), 0, 0, 0))
            entry.external_attr = (0o100000 | mode(path)) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    os.utime(made, (1_600_000_000, 1_600_000_000))
    return made


def _inside(path: str, version: str) -> str:
    if path.startswith(f"{SITE}/"):
        return path.removeprefix(f"{SITE}/")
    return f"{NAME}-{version}.data/data/{path}"


def _hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()

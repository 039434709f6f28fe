"""Wheels made by hand, and the environments and tools that they are installed into and by."""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import shutil
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from proof.scene import Scene, environment, leave, run

SITE = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
_WHEEL = "Wheel-Version: 1.0\nGenerator: proof\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
SLOW = 600.0
"""Seconds after which an installation counts as hanging."""


class Project(NamedTuple):
    """One version of a project: its files, and what it requires."""

    name: str
    version: str
    files: Mapping[str, str]
    requires: Sequence[str] = ()

    def write(self, where: Path) -> None:
        """Make the wheel."""
        where.mkdir(parents=True, exist_ok=True)
        stem = f"{self.name.replace('-', '_')}-{self.version}"
        about = [f"Metadata-Version: 2.1\nName: {self.name}\nVersion: {self.version}"]
        about += [f"Requires-Dist: {each}" for each in self.requires]
        held = {**self.files, f"{stem}.dist-info/METADATA": "\n".join([*about, ""]), f"{stem}.dist-info/WHEEL": _WHEEL}
        lines = [f"{path},sha256={_hash(text.encode())},{len(text.encode())}" for path, text in held.items()]
        held[f"{stem}.dist-info/RECORD"] = "\n".join([*lines, f"{stem}.dist-info/RECORD,,", ""])
        with zipfile.ZipFile(where / f"{stem}-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as archive:
            for path, text in held.items():
                archive.writestr(path, text)


def large(name: str, version: str, files: int, requires: Sequence[str] = ()) -> Project:
    """A package of many modules, each of which says the version; a third of them are in this version alone."""
    only = {f"{name}/only_{version.replace('.', '_')}/m{n}.py": f'V = "{version}"\n' for n in range(files // 3)}
    both = {f"{name}/part{n % 7}/m{n}.py": f'V = "{version}"\n' for n in range(files - len(only))}
    packages = {f"{Path(path).parent}/__init__.py": "" for path in (*only, *both)}
    return Project(name, version, {**only, **both, **packages, f"{name}/__init__.py": f'V = "{version}"\n'}, requires)


class Tool(NamedTuple):
    """What installs wheels.

    `start` is how its `install` begins, {python} and {root} to be filled in.  `missing` says why it cannot be had.  `naive`: it must
    break, or the attack proves nothing; what becomes of others that are not ours is only told.
    """

    name: str
    start: Sequence[str]
    missing: str = ""
    ours: bool = False
    naive: bool = False

    def install(self, root: Path, wheels: Path, words: Sequence[str]) -> list[str]:
        """The command that installs requirements from a directory of wheels."""
        start = [word.format(root=root, python=root / "bin/python") for word in self.start]
        return [*start, "--no-index", "--find-links", str(wheels), *words]


def ours(scene: Scene) -> Tool:
    """Shipway."""
    return Tool("shipway", [scene.shipway, "-p", "{root}", "pip", "install"], ours=True)


def others(scene: Scene) -> list[Tool]:
    """pip, which is where we are; in the full form also uv, which is installed beside if it can be."""
    pip = [scene.python, "-m", "pip", "--isolated", "--disable-pip-version-check", "--python", "{python}", "install"]
    if not scene.full:
        return [Tool("pip", pip, naive=True)]
    found, why = _uv(scene)
    uv = [found, "pip", "install", "--no-config", "--offline", "--python", "{python}"]
    return [Tool("pip", pip, naive=True), Tool("uv", uv, why)]


def _uv(scene: Scene) -> tuple[str, str]:
    place = kept(scene) / "uv"
    found = shutil.which("uv") or str(place / "bin/uv")
    if not os.path.exists(found):
        run(
            [scene.python, "-m", "pip", "--disable-pip-version-check", "-q", "install", "--target", str(place), "uv"],
            timeout=300,
        )
    return found, "" if os.path.exists(found) else "uv is not here, and no index to install it from"


def kept(scene: Scene) -> Path:
    """A directory that outlives a run, for what is downloaded."""
    place = scene.place.parent / "downloads"
    place.mkdir(parents=True, exist_ok=True)
    return place


def quiet(scene: Scene) -> dict[str, str]:
    """An environment in which tools know no settings, and have caches of their own."""
    plain = {name: value for name, value in environment().items() if not name.startswith(("PIP_", "UV_"))}
    caches = {"SHIPWAY_CACHE": str(scene.place / "cache"), "UV_CACHE_DIR": str(scene.place / "uv-cache")}
    return {
        **plain,
        **caches,
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_CACHE_DIR": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


def venv(scene: Scene, root: Path) -> Path:
    """A fresh virtual environment without pip, in place of what was there."""
    leave(root)
    run([scene.python, "-m", "venv", "--without-pip", str(root)])
    return root


def done(scene: Scene, tool: Tool, root: Path, wheels: Path, *words: str) -> None:
    """Install; RuntimeError if that fails."""
    said = run(tool.install(root, wheels, words), env=quiet(scene), timeout=SLOW)
    if said.returncode:
        raise RuntimeError(f"{tool.name} {' '.join(words)}: {said.stderr.strip()[-500:]}")


# -- what is there afterwards --------------------------------------------------------------------------------------


def projects(root: Path) -> list[str]:
    """NAME-VERSION of every `dist-info`."""
    return sorted(path.name.removesuffix(".dist-info") for path in (root / SITE).glob("*.dist-info"))


def unsound(scene: Scene, root: Path, modules: Sequence[str]) -> list[str]:
    """What is wrong with an environment: doubled metadata, false RECORDs, what pip finds, modules of several versions."""
    there = projects(root)
    names = [name.partition("-")[0] for name in there]
    problems = [f"several dist-info of {name}" for name in sorted({n for n in names if names.count(n) > 1})]
    problems += _false_records(root / SITE)
    checked = run([scene.python, "-m", "pip", "--python", str(root / "bin/python"), "check"], env=quiet(scene))
    problems += [f"pip check: {line}" for line in checked.stdout.splitlines() if checked.returncode]
    problems += [f"{name}: modules of versions {found}" for name in modules if len(found := versions(root, name)) > 1]
    return problems


def versions(root: Path, name: str) -> list[str]:
    """The versions that the modules of a package of `large` say, and its metadata."""
    said = {
        path.read_text().strip().removeprefix("V = ").strip('"')
        for path in (root / SITE / name).rglob("*.py")
        if path.stat().st_size
    }
    told = {each.partition("-")[2] for each in projects(root) if each.startswith(f"{name}-")}
    return sorted(said | told)


def _false_records(site: Path) -> list[str]:
    wrong, listed = [], set()
    for record in sorted(site.glob("*.dist-info/RECORD")):
        for path, hashed, _ in csv.reader(record.read_text().splitlines()):
            file = Path(os.path.normpath(site / path))
            listed.add(file)
            if not file.is_file():
                wrong.append(f"{record.parent.name}: {path} is not there")
            elif hashed and hashed != f"sha256={_hash(file.read_bytes())}":
                wrong.append(f"{record.parent.name}: {path} differs")
    unlisted = {file for file in site.rglob("*") if file.is_file() and file.suffix != ".pyc"} - listed
    return wrong + [f"{file.relative_to(site)} is in no RECORD" for file in sorted(unlisted)]


def _hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()

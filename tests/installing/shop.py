"""A virtual environment, a directory of wheels, and `shipway pip` as a process that can reach nothing else."""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.cli.shop import Ran, command, environment
from tests.installing.wheels import Wheel, digest

VERSION = f"python{sys.version_info[0]}.{sys.version_info[1]}"
PATIENCE = 120


def offline(wheels: Path) -> dict[str, str]:
    """Variables with which pip looks into a directory alone."""
    kept = {name: value for name, value in environment().items() if not name.startswith(("PIP_", "UV"))}
    return {
        **kept,
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
        "PIP_CACHE_DIR": str(wheels.parent / "cache"),
        "UV_CACHE_DIR": str(wheels.parent / "cache-of-uv"),
        "UV_NO_CONFIG": "1",
        "SHIPWAY_CACHE": str(wheels.parent / "kept"),
    }


def run(words: list[str], wheels: Path, cwd: Path | None = None, **more: str) -> Ran:
    """A process, to its end."""
    done = subprocess.run(
        words, capture_output=True, text=True, env={**offline(wheels), **more}, cwd=cwd, timeout=PATIENCE
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Venv:
    """A virtual environment; `wheels` is where its packages come from."""

    root: Path
    wheels: Path

    @property
    def python(self) -> str:
        return str(self.root / "bin" / "python")

    @property
    def site(self) -> Path:
        return self.root / "lib" / VERSION / "site-packages"

    def offer(self, *wheels: Wheel) -> None:
        """Have wheels where pip finds them."""
        for wheel in wheels:
            wheel.write(self.wheels)

    def pip(self, *words: str, cwd: Path | None = None, **more: str) -> Ran:
        """`shipway -p VENV pip …`, whatever comes of it."""
        return run(command("-p", str(self.root), "pip", *words), self.wheels, cwd, **more)

    def done(self, *words: str) -> Ran:
        """The same; it must succeed."""
        ran = self.pip(*words)
        assert ran.code == 0, ran.err + ran.out
        return ran

    def shipway(self, *words: str) -> Ran:
        """`shipway -p VENV …`; it must succeed."""
        ran = run(command("-p", str(self.root), *words), self.wheels)
        assert ran.code == 0, ran.err + ran.out
        return ran

    def own_pip(self, *words: str) -> Ran:
        """pip itself, ours, which knows nothing of Shipway; it must succeed."""
        ran = run([sys.executable, "-m", "pip", "--python", self.python, *words], self.wheels)
        assert ran.code == 0, ran.err + ran.out
        return ran

    def says(self, code: str) -> str:
        """What the environment's interpreter prints."""
        done = subprocess.run([self.python, "-c", code], capture_output=True, text=True, env=environment(), cwd="/")
        return (done.stdout + done.stderr).strip()

    def script(self, name: str) -> str:
        """What an installed script prints."""
        done = subprocess.run([self.root / "bin" / name], capture_output=True, text=True, env=environment(), cwd="/")
        return (done.stdout + done.stderr).strip()

    def history(self) -> list[str]:
        """The changes of each transaction, oldest first."""
        rows = run(command("-p", str(self.root), "--json", "history"), self.wheels).json
        return [
            " ".join(f"{c['name']}:{c['old']}:{c['new']}" for c in sorted(row["changes"], key=str))
            for row in reversed(rows)
        ]

    def projects(self) -> list[str]:
        """NAME-VERSION of every `dist-info`."""
        return sorted(path.name.removesuffix(".dist-info") for path in self.site.glob("*.dist-info"))


def make_venv(root: Path, wheels: Path, *, with_pip: bool = False) -> Venv:
    """A fresh virtual environment of this interpreter."""
    options = [] if with_pip else ["--without-pip"]
    subprocess.run([sys.executable, "-m", "venv", *options, str(root)], check=True, env=environment())
    wheels.mkdir(parents=True, exist_ok=True)
    return Venv(root, wheels)


def false_records(site: Path) -> list[str]:
    """Where the RECORDs of a directory are wrong: what they list and is not there or differs, and modules nobody lists."""
    wrong, listed = [], set()
    for record in sorted(site.glob("*.dist-info/RECORD")):
        for path, hashed, size in csv.reader(record.read_text().splitlines()):
            file = Path(os.path.normpath(site / path))
            listed.add(file)
            if not file.is_file():
                wrong.append(f"{record.parent.name}: {path} is not there")
            elif hashed and (hashed, size) != (f"sha256={digest(file.read_bytes())}", str(file.stat().st_size)):
                wrong.append(f"{record.parent.name}: {path} differs")
    unlisted = {file for file in site.rglob("*") if file.is_file() and file.suffix != ".pyc"} - listed
    return wrong + [f"{file.relative_to(site)} is in no RECORD" for file in sorted(unlisted)]


def tree(root: Path, *, bytecode: bool = False) -> dict[str, str]:
    """Everything in an environment but Shipway's own: mode, and content's hash or link's target."""
    found = {}
    for parent, directories, files in os.walk(root):
        directories[:] = [
            d for d in directories if not (Path(parent, d) == root / "var" or (d == "__pycache__" and not bytecode))
        ]
        for name in (*directories, *files):
            path = Path(parent, name)
            what = f"-> {path.readlink()}" if path.is_symlink() else ""
            if not what and path.is_file():
                what = hashlib.sha256(path.read_bytes()).hexdigest()
            found[str(path.relative_to(root))] = f"{path.lstat().st_mode:o} {what}"
    return found


def copied(venv: Venv, root: Path) -> Venv:
    """A copy of a template; what depends on the old place (scripts, pyvenv.cfg) is not needed by tests that use it."""
    shutil.copytree(venv.root, root, symlinks=True)
    return Venv(root, venv.wheels)

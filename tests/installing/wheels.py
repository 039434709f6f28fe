"""Wheels made by hand: small sound ones with all that the format knows, and hostile ones, each with one thing wrong."""

from __future__ import annotations

import base64
import hashlib
import io
import stat
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Members = dict[str, bytes]


@dataclass(frozen=True)
class Wheel:
    """A wheel to be written.  `files` are paths with their text, those of `NAME-VERSION.data/` among them.

    `scripts` are console scripts ("module:function"), `extras` requirements by extra, `metadata` more lines of it.
    """

    name: str
    version: str = "1.0"
    files: Mapping[str, str] = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    extras: Mapping[str, str] = field(default_factory=dict)
    scripts: Mapping[str, str] = field(default_factory=dict)

    @property
    def stem(self) -> str:
        return f"{self.name.replace('-', '_')}-{self.version}"

    @property
    def info(self) -> str:
        return f"{self.stem}.dist-info"

    @property
    def module(self) -> str:
        return self.name.replace("-", "_")

    def metadata(self) -> str:
        lines = ["Metadata-Version: 2.1", f"Name: {self.name}", f"Version: {self.version}"]
        lines += [f"Requires-Dist: {each}" for each in self.requires]
        for extra, requirement in self.extras.items():
            lines += [f"Provides-Extra: {extra}", f'Requires-Dist: {requirement}; extra == "{extra}"']
        return "\n".join([*lines, "", "A wheel for tests.", ""])

    def members(self) -> Members:
        """All but RECORD; a module of the project's name that says its version is always among them."""
        members = {f"{self.module}.py": f'VERSION = "{self.version}"\n\n\ndef main():\n    print(VERSION)\n'.encode()}
        if any(path.startswith(f"{self.module}/") for path in self.files):
            members = {}
        members |= {path: text.encode() for path, text in self.files.items()}
        members[f"{self.info}/METADATA"] = self.metadata().encode()
        members[f"{self.info}/WHEEL"] = (
            b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        if self.scripts:
            lines = [f"{name} = {target}" for name, target in self.scripts.items()]
            members[f"{self.info}/entry_points.txt"] = "\n".join(["[console_scripts]", *lines, ""]).encode()
        return members

    def write(self, directory: Path) -> Path:
        members = self.members()
        return self.pack(directory, [*members.items(), self.record(members)])

    def record(self, members: Mapping[str, bytes]) -> tuple[str, bytes]:
        """RECORD, with its path, for these members."""
        lines = [f"{path},sha256={digest(data)},{len(data)}" for path, data in members.items()]
        path = f"{self.info}/RECORD"
        return path, "\n".join([*lines, f"{path},,", ""]).encode()

    def pack(self, directory: Path, members: Iterable[tuple[str | zipfile.ZipInfo, bytes]]) -> Path:
        """The archive of members, whatever they are."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{self.stem}-py3-none-any.whl"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a name that is there twice
            for name, data in members:
                archive.writestr(name, data)
        return path


BACKEND = """
import sys
sys.path.insert(0, {home!r})
from pathlib import Path
from tests.installing.wheels import Wheel

def build_wheel(directory, config_settings=None, metadata_directory=None):
    {fault}
    return Wheel({name!r}, {version!r}, {{"{module}_built.py": f"SETTINGS = {{config_settings}}\\n"}}).write(Path(directory)).name
"""


def sdist(wheel: Wheel, directory: Path, fault: str = "") -> Path:
    """A source distribution that builds the wheel by itself, with a further module that tells the settings of the build.

    `fault` is a statement that the build begins with.
    """
    told = {"home": str(Path(__file__).parents[2]), "name": wheel.name, "version": wheel.version}
    members = {
        "PKG-INFO": wheel.metadata(),
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": BACKEND.format(**told, module=wheel.module, fault=fault),
    }
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{wheel.stem}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in members.items():
            info = tarfile.TarInfo(f"{wheel.stem}/{name}")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return path


def digest(data: bytes) -> str:
    """A hash as RECORD has it."""
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def big(version: str, files: int, name: str = "big") -> Wheel:
    """A package of many modules, each of which says the version; a third of them are in this version alone."""
    only = {f"{name}/only_{version.replace('.', '_')}/m{i}.py": f'V = "{version}"\n' for i in range(files // 3)}
    both = {f"{name}/part{i % 7}/m{i}.py": f'V = "{version}"\n' for i in range(files - len(only))}
    packages = {f"{Path(path).parent}/__init__.py": "" for path in (*only, *both)}
    start = {f"{name}/__init__.py": f'VERSION = "{version}"\n\n\ndef main():\n    print(VERSION)\n'}
    return Wheel(name, version, {**only, **both, **packages, **start}, scripts={name: f"{name}:main"})


# -- hostile ---------------------------------------------------------------------------------------------------------

EVIL = Wheel("evil", files={"evil_data.txt": "harmless\n"})


def with_member(path: str) -> Callable[[Path], Path]:
    """A wheel with a further member, which RECORD lists as it should."""

    def make(directory: Path) -> Path:
        members = EVIL.members() | {path: b"evil\n"}
        return EVIL.pack(directory, [*members.items(), EVIL.record(members)])

    return make


def wrong_hash(directory: Path) -> Path:
    members = EVIL.members()
    record = EVIL.record(members | {"evil.py": b"something else\n"})
    return EVIL.pack(directory, [*members.items(), record])


def no_record(directory: Path) -> Path:
    return EVIL.pack(directory, EVIL.members().items())


def member_not_in_record(directory: Path) -> Path:
    members = EVIL.members()
    return EVIL.pack(directory, [*members.items(), ("stowaway.py", b""), EVIL.record(members)])


def in_record_but_missing(directory: Path) -> Path:
    members = EVIL.members()
    return EVIL.pack(directory, [*members.items(), EVIL.record(members | {"gone.py": b""})])


def twice(directory: Path) -> Path:
    members = EVIL.members()
    return EVIL.pack(directory, [*members.items(), ("evil.py", b"other\n"), EVIL.record(members)])


def bomb(directory: Path) -> Path:
    members = EVIL.members() | {"zeros": bytes(32 << 20)}
    return EVIL.pack(directory, [*members.items(), EVIL.record(members)])


def lying_bomb(directory: Path) -> Path:
    """A bomb whose directory says that it is small."""
    path = bomb(directory)
    data = path.read_bytes()
    size = (32 << 20).to_bytes(4, "little")
    path.write_bytes(data.replace(size, (1000).to_bytes(4, "little")))
    return path


def symlink(directory: Path) -> Path:
    members = EVIL.members()
    link = zipfile.ZipInfo("evil_link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    record = EVIL.record(members | {"evil_link": b"/etc/passwd"})
    return EVIL.pack(directory, [*members.items(), (link, b"/etc/passwd"), record])


def not_a_zip(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{EVIL.stem}-py3-none-any.whl"
    path.write_bytes(b"this is no archive")
    return path


HOSTILE: Mapping[str, tuple[Callable[[Path], Path], str]] = {
    "absolute path": (with_member("/tmp/evil"), "/tmp/evil"),
    "path that leads out": (with_member("../../../evil"), "../../../evil"),
    "path that leads out of data": (
        with_member("evil-1.0.data/data/../../../evil"),
        "evil-1.0.data/data/../../../evil",
    ),
    "script that leads out": (with_member("evil-1.0.data/scripts/../../evil"), "evil-1.0.data/scripts/../../evil"),
    "backslashes": (with_member("..\\..\\evil"), "evil"),
    "empty name": (with_member("a//evil"), "a//evil"),
    "bad data directory": (with_member("evil-1.0.data/stdlib/os.py"), "evil-1.0.data/stdlib/os.py"),
    "our own state": (with_member("evil-1.0.data/data/var/lib/shipway/state.sqlite"), "var/lib/shipway"),
    "wrong hash": (wrong_hash, "evil.py"),
    "no RECORD": (no_record, "RECORD"),
    "member not in RECORD": (member_not_in_record, "stowaway.py"),
    "twice the same name": (twice, "evil.py"),
    "bomb": (bomb, "zeros"),
    "bomb that lies about it": (lying_bomb, "evil"),
    "symlink": (symlink, "evil_link"),
    "not a zip": (not_a_zip, "evil"),
}
"""Each with a word that the refusal has to name."""

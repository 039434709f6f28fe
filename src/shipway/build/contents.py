"""What an archive says of itself: name and version, build system, and what Python's metadata tells."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from email.message import Message
from email.parser import Parser
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from shipway.fs.archive import DAMAGE, FILE, members
from shipway.fs.unpack import LIMITS

_NAME = re.compile(
    r"(?P<name>.*?)[-_]?[vV]?(?P<version>\d[\w.+~!]*?)(?:\.orig)?(?P<end>\.tar(\.\w+)?|\.t[gbx]z2?|\.tzst|\.zip)\Z"
)
_TAGS = ("archive", "releases", "tarball", "-")
_SYSTEMS = (
    ("python", ("pyproject.toml", "setup.py")),
    ("autotools", ("configure",)),
    ("meson", ("meson.build",)),
    ("cmake", ("CMakeLists.txt",)),
    ("make", ("Makefile", "makefile", "GNUmakefile")),
)
_READ = ("PKG-INFO", "METADATA", "pyproject.toml")
_LARGEST = 1 << 20


class Contents(NamedTuple):
    """What was found out.  Empty where nothing was; `build` and `run` are names of Python projects that it needs."""

    system: str
    name: str = ""
    version: str = ""
    description: str = ""
    homepage: str = ""
    license: str = ""
    build: tuple[str, ...] = ()
    run: tuple[str, ...] = ()


def name_and_version(address: str) -> tuple[str, str]:
    """From the end of an address, or where a forge puts them; "" for what cannot be found."""
    parts = [unquote(part) for part in urlsplit(address).path.split("/") if part]
    found = _NAME.match(parts[-1]) if parts else None
    if found is None:
        return "", ""
    if found["name"]:
        return found["name"], found["version"]
    before = next((number for number, part in enumerate(parts) if part in _TAGS and number), 0)
    return (parts[before - 1] if before else ""), found["version"]


def contents(path: str) -> Contents:
    """Look into an archive.  Raises OSError; what is damaged tells nothing."""
    is_wheel = path.endswith(".whl")
    try:
        names, texts = _look(path)
    except DAMAGE:
        return Contents("script")
    system = "wheel" if is_wheel else _system(names)
    metadata = texts.get("METADATA" if is_wheel else "PKG-INFO", "")
    if system not in ("python", "wheel") or not metadata:
        return Contents(system, build=_build_requires(texts) if system == "python" else ())
    return _of_metadata(system, Parser().parsestr(metadata, headersonly=True), texts)


def _look(path: str) -> tuple[set[str], dict[str, str]]:
    """The names at the top of a source tree, and the texts that tell of it."""
    names: set[str] = set()
    texts: dict[str, str] = {}
    with members(path, LIMITS.bytes) as found:
        for member in found:
            parts = [part for part in member.name.split("/") if part not in ("", ".")]
            if len(parts) != 2:
                continue
            names.add(parts[1])
            if parts[1] in _READ and member.kind == FILE and member.open is not None:
                with member.open() as file:
                    texts[parts[1]] = file.read(_LARGEST).decode(errors="replace")
    return names, texts


def _system(names: set[str]) -> str:
    return next((system for system, signs in _SYSTEMS if names & set(signs)), "script")


def _of_metadata(system: str, told: Message, texts: Mapping[str, str]) -> Contents:
    def one(key: str) -> str:
        value = str(told.get(key, "")).strip().splitlines()
        return value[0] if value and value[0] != "UNKNOWN" else ""

    return Contents(
        system,
        one("Name"),
        one("Version"),
        one("Summary"),
        one("Home-page") or _homepage(told.get_all("Project-URL", [])),
        one("License-Expression") or one("License"),
        _build_requires(texts) if system == "python" else (),
        tuple(_names(told.get_all("Requires-Dist", []))),
    )


def _homepage(urls: Sequence[str]) -> str:
    pairs = [[part.strip() for part in url.split(",", 1)] for url in urls]
    known = {pair[0].lower(): pair[1] for pair in pairs if len(pair) == 2}
    return next((known[key] for key in ("homepage", "home", "source", "repository") if key in known), "")


def _build_requires(texts: Mapping[str, str]) -> tuple[str, ...]:
    import tomllib

    try:
        document: Any = tomllib.loads(texts.get("pyproject.toml", ""))
        wanted = document.get("build-system", {}).get("requires", ["setuptools", "wheel"])
    except (ValueError, AttributeError):
        wanted = ["setuptools", "wheel"]
    return tuple(_names(wanted))


def _names(requirements: Sequence[str]) -> Iterator[str]:
    """The projects that are always needed, as recipes name them."""
    for requirement in requirements:
        found = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", str(requirement))
        if found and ";" not in str(requirement):
            yield re.sub(r"[-_.]+", "-", found[1]).lower()

"""The answer of uv, a pylock.toml, and of each project the archive that suits the interpreter best.

Sources: PEP 751 (pylock.toml), PEP 610 (direct_url.json), "Binary distribution format".
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from pathlib import PurePath
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from shipway.errors import ShipwayError
from shipway.python.chosen import Chosen
from shipway.python.distributions import normal

Table = Mapping[str, Any]


class Terms(NamedTuple):
    """`tags` gives those of the interpreter, best first; `hashes` are the digests ("sha256:…") that will do, by project, if any are asked for.

    `requested` are the projects that are asked for by name.  Relative paths begin in `base`.
    """

    base: str
    environment: Mapping[str, str]
    tags: Callable[[], Sequence[str]]
    hashes: Mapping[str, Collection[str]]
    requested: Collection[str]


class Locked(NamedTuple):
    """What is to be installed, and directories (with whether they are editable), whose metadata only their build tells."""

    chosen: tuple[Chosen, ...]
    directories: tuple[tuple[str, bool], ...]


def locked(text: str, terms: Terms) -> Locked:
    """The projects of a pylock.toml that count in an environment of markers.  Raises ShipwayError with all that is wrong."""
    packages = [each for each in tomllib.loads(text).get("packages", ()) if _counts(each, terms)]
    missing = [each["name"] for each in packages if terms.hashes and not terms.hashes.get(normal(each["name"]))]
    if missing:
        raise ShipwayError(
            f"no digest is given for {', '.join(sorted(missing))}", hint="with --hash for one, all must have one"
        )
    directories = tuple(
        (_path(each["directory"], terms), bool(each["directory"].get("editable")))
        for each in packages if "directory" in each
    )  # fmt: skip
    found = [(each, _chosen(each, terms)) for each in packages if "directory" not in each]
    unsuited = [each["name"] for each, chosen in found if chosen is None]
    if unsuited:
        raise ShipwayError(
            f"there is no archive of {', '.join(unsuited)} that suits, or that has a digest that is asked for"
        )
    return Locked(tuple(chosen for _, chosen in found if chosen), directories)


def _chosen(package: Table, terms: Terms) -> Chosen | None:
    if "vcs" in package:
        return _from_repository(package, terms)
    if "archive" in package:
        return _from_address(package, terms)
    wheels = [each for each in package.get("wheels", ()) if _is_allowed(package, each, terms)]
    archive = wheels[0] if wheels and len(package["wheels"]) == 1 else _best(wheels, terms)
    if archive is None and "sdist" in package and _is_allowed(package, package["sdist"], terms):
        archive = package["sdist"]
    if archive is None:
        return None
    name = package["name"]
    return Chosen(
        name, package["version"], _address(archive, terms), archive["hashes"], normal(name) in terms.requested, ""
    )


def _is_allowed(package: Table, archive: Table, terms: Terms) -> bool:
    allowed = {each.lower() for each in terms.hashes.get(normal(package["name"]), ())}
    return not terms.hashes or any(f"{name}:{digest}" in allowed for name, digest in archive["hashes"].items())


def _best(wheels: Iterable[Table], terms: Terms) -> Table | None:
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    fitness = _fitness(terms.tags)
    fit = []
    for wheel in wheels:
        try:
            *_, build, tags = parse_wheel_filename(os.path.basename(urlsplit(_address(wheel, terms)).path))
        except InvalidWheelFilename:
            continue
        known = [fitness[str(tag)] for tag in tags if str(tag) in fitness]
        if known:
            fit.append((max(known), build, wheel))
    return max(fit, key=lambda each: each[:2])[2] if fit else None


@cache
def _fitness(tags: Callable[[], Sequence[str]]) -> Mapping[str, int]:
    return {tag: -number for number, tag in enumerate(tags())}


def _counts(package: Table, terms: Terms) -> bool:
    from packaging.markers import Marker

    return "marker" not in package or Marker(package["marker"]).evaluate({**terms.environment, "extra": ""})


def _address(archive: Table, terms: Terms) -> str:
    return str(archive["url"]) if "url" in archive else PurePath(_path(archive, terms)).as_uri()


def _path(source: Table, terms: Terms) -> str:
    return os.path.normpath(os.path.join(terms.base, source["path"]))


def _from_address(package: Table, terms: Terms) -> Chosen | None:
    archive = package["archive"]
    if not _is_allowed(package, archive, terms):
        return None
    url, hashes = _address(archive, terms), dict(archive["hashes"])
    name, digest = next(iter(hashes.items()))
    about = {"url": url, "archive_info": {"hash": f"{name}={digest}", "hashes": hashes}, **_part(archive)}
    return Chosen(package["name"], package["version"], url + _fragment(archive), hashes, True, json.dumps(about))


def _from_repository(package: Table, terms: Terms) -> Chosen:
    vcs = package["vcs"]
    url = _address(vcs, terms)
    info = {"vcs": vcs["type"], "commit_id": vcs["commit-id"]}
    if "requested-revision" in vcs:
        info["requested_revision"] = vcs["requested-revision"]
    about = {"url": url, "vcs_info": info, **_part(vcs)}
    address = f"{vcs['type']}+{url}@{vcs['commit-id']}{_fragment(vcs)}"
    return Chosen(package["name"], package["version"], address, {}, True, json.dumps(about))


def _part(source: Table) -> dict[str, str]:
    return {"subdirectory": source["subdirectory"]} if source.get("subdirectory") else {}


def _fragment(source: Table) -> str:
    return f"#subdirectory={source['subdirectory']}" if source.get("subdirectory") else ""


def path_of(url: str) -> str:
    """The path of a `file:` address, or ""."""
    parts = urlsplit(url)
    return unquote(parts.path) if parts.scheme == "file" else ""

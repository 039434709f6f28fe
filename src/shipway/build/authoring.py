"""Writing recipes: a first one from an archive, the same for another version, and digests as they are now.

A file that is there is changed where it has to be and nowhere else: comments, order and layout stay (tomlkit).  Nothing is
written before all was fetched and the result was read as a recipe.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from shipway.build.contents import Contents, contents, name_and_version
from shipway.build.fetching import Fetcher
from shipway.build.places import PlaceError, Wanted, described, wanted
from shipway.build.recipe import Place, Recipe
from shipway.build.recipe_file import FILE, Found, parse
from shipway.errors import ShipwayError, UsageError
from shipway.fs.system import FileSystem
from shipway.fs.tree import make_directories

_ARCHIVES = ("url", "pypi", "debian")
_NOT_KNOWN = "0" * 64
_INSTALL = 'echo "say here how {name} is installed below $DESTDIR$PREFIX" >&2; exit 1\n'


class Change(NamedTuple):
    """A digest that is another one now; `place` in words."""

    place: str
    old: str
    new: str


class Edited(NamedTuple):
    """A recipe's file as it is to be: its text, what has changed, and what somebody should look at."""

    text: str
    changes: tuple[Change, ...]
    notes: tuple[str, ...]


# -- a first one ---------------------------------------------------------------------------------------------------------


def draft(fetcher: Fetcher, what: str, name: str = "") -> tuple[str, str]:
    """A recipe for an address, a file, or a project of the package index (`six`, `six==1.17.0`): its name, and its text.

    Raises ShipwayError if it is not to be had, UsageError if it has no name or no version.
    """
    if "://" in what or os.path.isfile(what):
        address = what if "://" in what else f"file://{os.path.abspath(what)}"
        return _of_address(fetcher, address, name)
    return _of_project(fetcher, what, name)


def _of_address(fetcher: Fetcher, address: str, name: str) -> tuple[str, str]:
    guessed, version = name_and_version(address)
    place = Place(url=(address,))
    path, digest = fetcher.anew(Wanted(place, os.path.basename(address), (address,)))
    inside = contents(path)
    name, version = name or inside.name or guessed, inside.version or version
    if not name or not version:
        lacks = "version" if name else "name"
        raise UsageError(
            f"{address} does not tell the {lacks}", hint="rename it to NAME-VERSION.tar.gz, or give --name NAME"
        )
    source = {"url": _replaced(address, version, "{version}"), "sha256": digest}
    return name, _text(name, version, source, inside)


def _of_project(fetcher: Fetcher, what: str, name: str) -> tuple[str, str]:
    project, _, version = what.partition("==")
    version, file = _newest(fetcher, project, version)
    path, digest = fetcher.anew(Wanted(Place(pypi=project, file=file), file, ()))
    inside = contents(path)
    name = name or _normal(project)
    source = {"pypi": project, "file": _replaced(file, version, "{version}"), "sha256": digest}
    return name, _text(name, version, source, inside)


def _newest(fetcher: Fetcher, project: str, version: str) -> tuple[str, str]:
    """A version, the newest unless it is given, and its file: the source, else a wheel for every machine.  Raises UsageError."""
    found = dict(_releases(fetcher, project))
    wanted = {key: file for key, file in found.items() if version in ("", str(key))}
    if not wanted:
        raise UsageError(
            f"the package index has no {' '.join(filter(None, (project, version)))} that can be built anywhere"
        )
    newest = max(wanted, key=lambda each: (not each.is_prerelease, each))
    return str(newest), wanted[newest]


def _releases(fetcher: Fetcher, project: str) -> Iterator[tuple[Any, str]]:
    """Versions and their files; sources come last, and win."""
    from packaging.utils import (
        InvalidSdistFilename,
        InvalidWheelFilename,
        canonicalize_name,
        parse_sdist_filename,
        parse_wheel_filename,
    )

    files = sorted((each.name for each in fetcher.on_offer(project)), key=lambda name: not name.endswith(".whl"))
    for file in files:
        try:
            if file.endswith("-none-any.whl"):
                name, version, _, _ = parse_wheel_filename(file)
            else:
                name, version = parse_sdist_filename(file)
        except (InvalidSdistFilename, InvalidWheelFilename):
            continue
        if name == canonicalize_name(project):
            yield version, file


def _text(name: str, version: str, source: Mapping[str, str], inside: Contents) -> str:
    import tomlkit

    document = tomlkit.document()
    facts = {"description": inside.description, "license": inside.license, "homepage": inside.homepage}
    if inside.system in ("python", "wheel") and inside.name and _normal(inside.name) != _normal(name):
        facts = {"identity": f"pkg:pypi/{_normal(inside.name)}", **facts}
    for key, value in {"name": name, "version": version, **{k: v for k, v in facts.items() if v}}.items():
        document.add(key, tomlkit.string(value))
    sources, table = tomlkit.aot(), tomlkit.table()
    for key, value in source.items():
        table.add(key, value)
    sources.append(table)
    document.add("source", sources)
    build = ("python3", "pip", *inside.build) if inside.system in ("python", "wheel") else inside.build
    needs = {"build": list(dict.fromkeys(build)), "run": list(dict.fromkeys(inside.run))}
    if any(needs.values()):
        document.add("dependencies", {kind: names for kind, names in needs.items() if names})
    document.add("build", {"system": inside.system})
    if inside.system in ("script", "make"):
        document.add("phases", {"install": tomlkit.string(_INSTALL.format(name=name), multiline=True)})
    return tomlkit.dumps(document)


def _normal(project: str) -> str:
    return re.sub(r"[-_.]+", "-", project).lower()


# -- another version -----------------------------------------------------------------------------------------------------


def update(fetcher: Fetcher, found: Found, version: str = "") -> tuple[str, Edited]:
    """The recipe for another version, the newest of the package index unless it is given; and which.

    An alternative that does not have that version is left out.  Raises ShipwayError if a source is not to be had, UsageError if the version
    has to be given.
    """
    version = version or _newest_of(fetcher, found.recipe)
    if version == found.recipe.version:
        return version, Edited(_read(found), (), ())
    document = _document(found)
    document["version"] = version
    changes: list[Change] = []
    notes: list[str] = []
    for number, source in enumerate(document.get("source", [])):
        for table in (source, *source.get("alternatives", [])):
            _rename(table, found.recipe.version, version)
        changes += _renewed(fetcher, found, document, number, notes)
    return version, Edited(_checked(document, found), tuple(changes), tuple(notes))


def _newest_of(fetcher: Fetcher, recipe: Recipe) -> str:
    project = next((place.pypi for source in recipe.source for place in source.places if place.pypi), None)
    if project is None:
        raise UsageError(f"which version of {recipe.name}?", hint=f"shipway recipe update {recipe.name} VERSION")
    return _newest(fetcher, project, "")[0]


def _rename(table: Any, old: str, new: str) -> None:
    """The old version in addresses and names, where it is written out."""
    if "version" in table:
        return
    for key in ("url", "file"):
        value = table.get(key)
        if isinstance(value, str):
            table[key] = _replaced(value, old, new)
        elif value is not None:
            for number, each in enumerate(value):
                value[number] = _replaced(each, old, new)


def _replaced(text: str, old: str, new: str) -> str:
    """With another version; not in the host of an address, nor within a longer number."""
    head, mark, rest = text.partition("://")
    host, slash, path = rest.partition("/") if mark else ("", "", text)
    inner = re.sub(rf"(?<![\d.]){re.escape(old)}(?!\d|\.\d)", lambda _: new, path)
    return f"{head}{mark}{host}{slash}{inner}" if mark else inner


def _renewed(fetcher: Fetcher, found: Found, document: Any, number: int, notes: list[str]) -> Iterator[Change]:
    """Fetch all places of one source; alternatives that fail are taken away."""
    source = document["source"][number]
    yield from _digest(fetcher, found, document, source, notes)
    gone = []
    for position, table in enumerate(source.get("alternatives", [])):
        try:
            yield from _digest(fetcher, found, document, table, notes)
        except PlaceError as error:
            gone.append(position)
            notes.append(f"left out: {error.message}")
    for position in reversed(gone):
        del source["alternatives"][position]
    if "alternatives" in source and not source["alternatives"]:
        del source["alternatives"]


def _digest(fetcher: Fetcher, found: Found, document: Any, table: Any, notes: list[str]) -> Iterator[Change]:
    """Fetch one place anew and write down its digest.  Raises PlaceError if it is not to be had."""
    place = _place(table)
    if place.kind not in _ARCHIVES:
        return
    recipe = found.recipe.model_copy(update={"version": str(document["version"])})
    each = wanted(recipe, place)
    _, digest = fetcher.anew(each)
    old = str(table.get("sha256", ""))
    if digest == old:
        if recipe.version != found.recipe.version:
            notes.append(f"{described(each)}: is the same file as before; does its address name the version?")
        return
    table["sha256"] = digest
    yield Change(described(each), old, digest)


def _place(table: Any) -> Place:
    plain = {key: value for key, value in table.unwrap().items() if key in Place.model_fields}
    return Place.model_validate(plain)


# -- digests as they are now -----------------------------------------------------------------------------------------------


def fix_checksums(fetcher: Fetcher, found: Found) -> Edited:
    """The recipe with the digests of what its places give now.  What does not answer keeps its own, and is noted."""
    document = _document(found)
    changes: list[Change] = []
    notes: list[str] = []
    for source in document.get("source", []):
        for table in (source, *source.get("alternatives", [])):
            try:
                changes += _digest(fetcher, found, document, table, notes)
            except PlaceError as error:
                notes.append(f"left as it was: {error.message}")
    return Edited(_checked(document, found), tuple(changes), tuple(notes))


# -- the file ----------------------------------------------------------------------------------------------------------


def write_new(fs: FileSystem, directory: str, name: str, text: str) -> str:
    """Write a first recipe below a directory of recipes.  Returns its file.  Raises UsageError if there is one already."""
    file = os.path.join(directory, name, FILE)
    parse(text, file)
    make_directories(os.path.abspath(os.path.dirname(file)), 0o755, fs.mkdir)
    try:
        fs.write_file(file, text.encode(), 0o644)
    except FileExistsError as error:
        raise UsageError(f"there is a recipe {file} already", hint="give --name NAME or --into DIR") from error
    return file


def write(fs: FileSystem, found: Found, text: str) -> None:
    """Put a recipe in the place of the one that is there, in one step."""
    file = os.path.realpath(os.path.join(found.directory, FILE))
    with fs.scratch(os.path.dirname(file)) as area:
        fs.write_file(f"{area}/{FILE}", text.encode(), os.stat(file).st_mode & 0o777)
        fs.replace(f"{area}/{FILE}", file)


def _read(found: Found) -> str:
    with open(os.path.join(found.directory, FILE), encoding="utf-8") as file:
        return file.read()


def _document(found: Found) -> Any:
    import tomlkit

    return tomlkit.parse(_read(found))


def _checked(document: Any, found: Found) -> str:
    """The text, read once as a recipe.  Raises ShipwayError if it is none."""
    import tomlkit

    text = tomlkit.dumps(document)
    file = os.path.join(found.directory, FILE)
    try:
        parse(text, file)
    except UsageError as error:
        raise ShipwayError(f"{file} cannot be changed so", details=error.details) from error
    return text

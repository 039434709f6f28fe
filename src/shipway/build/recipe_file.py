"""Reading `recipe.toml`: every mistake of a file is told, each with its line, all at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from shipway.build.recipe import PLACES, SYSTEMS, WHEN_BUILT, Place, Recipe, fill, holes_of
from shipway.errors import UsageError
from shipway.model.identity import identity_of
from shipway.model.toml import Path, dotted, line_of, lines_of, located, syntax_error

FILE = "recipe.toml"
_ARCHIVES = ("url", "pypi", "debian")


class Found(NamedTuple):
    """A recipe and the directory that it lies in."""

    recipe: Recipe
    directory: str


class Problem(NamedTuple):
    """What is wrong, and with which key."""

    path: Path
    text: str


def load(directory: str) -> Found:
    """The recipe of a directory.  Raises UsageError with all that is wrong."""
    file = os.path.join(directory, FILE)
    try:
        with open(file, encoding="utf-8") as opened:
            text = opened.read()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {_why(error)}") from error
    found = Found(parse(text, file), directory)
    problems = list(_beside(found))
    if problems:
        raise _refusal(file, text, problems)
    return found


def parse(text: str, file: str) -> Recipe:
    """The value of a file's text; `file` is what messages call it.  Raises UsageError with all that is wrong."""
    import tomllib

    from pydantic import ValidationError

    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file} is no TOML", details=[syntax_error(file, str(error))]) from error
    recipe, problems = None, list(_contradictions(document))
    try:
        recipe = Recipe.model_validate(document)
    except ValidationError as error:
        problems += [_problem(each) for each in error.errors(include_url=False)]
    if recipe is None or problems:
        raise _refusal(file, text, problems)
    return recipe


def _refusal(file: str, text: str, problems: Sequence[Problem]) -> UsageError:
    lines = lines_of(text)
    told = sorted({(line_of(lines, path), f"{dotted(path)}: {what}" if path else what) for path, what in problems})
    count = "a problem" if len(told) == 1 else f"{len(told)} problems"
    return UsageError(f"{file} has {count}", details=[located(file, line, what) for line, what in told])


def _why(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "it is not UTF-8"


# -- what a type says ------------------------------------------------------------------------------------------------


def _problem(error: Mapping[str, Any]) -> Problem:
    """One of pydantic's errors in our words (https://docs.pydantic.dev/latest/errors/validation_errors/)."""
    path, kind = tuple(error["loc"]), error["type"]
    if kind == "missing":
        return Problem(path, "is missing")
    if kind == "extra_forbidden":
        return Problem(path, f"there is no such key{_meant(path)}")
    if kind == "value_error":
        return Problem(path, str(error["ctx"]["error"]))
    plain = {
        "string_type": "must be a text",
        "string_too_short": "must not be empty",
        "bool_type": "must be true or false",
        "tuple_type": "must be a list",
        "int_type": "must be a whole number",
        "greater_than_equal": "must be 0 or more",
        "literal_error": f"must be one of {', '.join(SYSTEMS)}",
    }
    tables = ("model_type", "model_attributes_type", "mapping_type", "dict_type")
    return Problem(path, plain.get(kind) or ("must be a table" if kind in tables else error["msg"]))


def _meant(path: Path) -> str:
    from difflib import get_close_matches

    known = sorted(_keys_beside(path))
    close = get_close_matches(str(path[-1]), known, n=1)
    return f"; {close[0]} is meant?" if close else f"; there are {', '.join(known)}"


def _keys_beside(path: Path) -> set[str]:
    """The keys of the table that an unknown key was found in."""
    model: Any = Recipe
    for part in path[:-1]:
        if isinstance(part, str):
            model = _table_of(model.model_fields[part].annotation)
    return set(model.model_fields)


def _table_of(annotation: Any) -> Any:
    """The class behind a field's type, through tuples, options and annotations."""
    while not hasattr(annotation, "model_fields"):
        annotation = next(each for each in annotation.__args__ if each is not Ellipsis)
    return annotation


# -- what no type says -------------------------------------------------------------------------------------------------


def _contradictions(document: Mapping[str, Any]) -> Iterator[Problem]:
    """What does not fit together; what has not the right type is passed over, since that is told already."""
    sources = _tables(document.get("source"))
    for number, source in enumerate(sources):
        yield from _place(("source", number), source)
        for other, alternative in enumerate(_tables(source.get("alternatives"))):
            yield from _place(("source", number, "alternatives", other), alternative)
    yield from _unfilled(document)
    yield from _scripts(document)
    if isinstance(document.get("identity"), str):
        try:
            identity_of(document["identity"])
        except UsageError as error:
            yield Problem(("identity",), error.message)
    system = _table(document.get("system"))
    if "at_least" in system and "program" not in system:
        yield Problem(("system", "at_least"), "is the version of a program; say which with program")


def _place(path: Path, place: Mapping[str, Any]) -> Iterator[Problem]:
    kinds = [kind for kind in PLACES if kind in place]
    if len(kinds) != 1:
        given = f"has {' and '.join(kinds)}" if kinds else "says nowhere to get it from"
        yield Problem(path, f"{given}; give one of {', '.join(PLACES)}")
        return
    kind = kinds[0]
    if kind in _ARCHIVES and "sha256" not in place:
        yield Problem(path, "sha256 is missing: an archive is used only with its digest")
    if kind not in _ARCHIVES and "sha256" in place:
        yield Problem((*path, "sha256"), f"belongs to archives, not to {kind}")
    if kind == "git" and "ref" not in place:
        yield Problem(path, "ref is missing: the commit of a git source, in full")
    if kind != "git" and "ref" in place:
        yield Problem((*path, "ref"), f"belongs to git, not to {kind}")
    if kind in ("pypi", "debian") and "file" not in place:
        yield Problem(path, f"file is missing: the archive's name in {kind}")


def _scripts(document: Mapping[str, Any]) -> Iterator[Problem]:
    phases = _table(document.get("phases"))
    for name, phase in phases.items():
        if isinstance(phase, dict) and ("run" in phase) == ("script" in phase):
            yield Problem(("phases", name), "give either run, a shell text, or script, a file beside the recipe")
    if _table(document.get("build")).get("system", "script") == "script" and "install" not in phases:
        yield Problem(("phases",), "phases.install is missing: a build of system script installs by a phase of its own")


def _unfilled(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Texts with holes for which there is nothing."""
    known = holes_of(str(document.get("name", "")), str(document.get("version", "")))
    holes = {**known, **dict.fromkeys(WHEN_BUILT, "")}
    for path, text in _texts((), {k: v for k, v in document.items() if k not in ("phases", "description")}):
        try:
            fill(text, holes)
        except ValueError as error:
            yield Problem(path, str(error))


def _texts(path: Path, value: object) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts((*path, key), inner)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _texts((*path, number), inner)


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _tables(value: object) -> list[Mapping[str, Any]]:
    return [_table(each) for each in value] if isinstance(value, list) else []


# -- what must lie beside it ---------------------------------------------------------------------------------------------


def _beside(found: Found) -> Iterator[Problem]:
    """The name of the directory, and the files that the recipe names."""
    recipe, directory = found
    called = os.path.basename(os.path.abspath(directory))
    if called != recipe.name:
        yield Problem(("name",), f"is {recipe.name}, and the directory is called {called}")
    for path, file in _named_files(recipe):
        if not os.path.isfile(os.path.join(directory, file)):
            yield Problem(path, f"there is no file {file} beside the recipe")


def _named_files(recipe: Recipe) -> Iterator[tuple[Path, str]]:
    for number, patch in enumerate(recipe.patches):
        yield ("patches", number), patch.file
    for number, source in enumerate(recipe.source):
        for place, path in _places(("source", number), source.places):
            yield from (((*path, "patches", n), patch.file) for n, patch in enumerate(place.patches))
    for phase, script in recipe.phases:
        if script is not None and script.script:
            yield ("phases", phase), script.script


def _places(path: Path, places: Sequence[Place]) -> Iterator[tuple[Place, Path]]:
    yield places[0], path
    for number, place in enumerate(places[1:]):
        yield place, (*path, "alternatives", number)

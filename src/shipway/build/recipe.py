"""A recipe as a value: how to get, patch, build, test and stage one package.

The classes are the format: what they hold is what `recipe.toml` may say, and the JSON schema for editors is made from them.
`recipe_file` reads the file; the reader of another format makes the same values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    WithJsonSchema,
)

from shipway.model.identity import identity_of

_END = r"\Z"


def _checked(pattern: str, meant: str) -> Any:
    """A text that has to match; Python's own patterns, as pydantic's know no look-ahead."""

    def check(text: str) -> str:
        if not re.match(pattern, text):
            raise ValueError(f"must be {meant}")
        return text

    return [AfterValidator(check), WithJsonSchema({"type": "string", "pattern": f"^{pattern.replace(_END, '$')}"})]


_NAME = "a name: letters, digits and ._+~- (first a letter or digit)"
_VERSION = "a version: letters, digits and ._+:~!- (first a letter or digit)"
Text = Annotated[str, StringConstraints(min_length=1)]
Name = Annotated[str, *_checked(r"[A-Za-z0-9][A-Za-z0-9._+~-]*\Z", _NAME)]
Version = Annotated[str, *_checked(r"[A-Za-z0-9][A-Za-z0-9._+:~!-]*\Z", _VERSION)]
Sha256 = Annotated[str, *_checked(r"[0-9a-f]{64}\Z", "64 digits, 0 to 9 and a to f")]
Commit = Annotated[str, *_checked(r"([0-9a-f]{40}|[0-9a-f]{64})\Z", "a commit: 40 digits, 0 to 9 and a to f")]
Relative = Annotated[
    str, *_checked(r"(?!/)(?!(.*/)?\.\.(/|\Z)).", "a path that stays where it begins: relative, without ..")
]

SYSTEMS = ("autotools", "cmake", "meson", "make", "python", "wheel", "script", "host")
PHASES = ("prepare", "configure", "build", "check", "install", "post_install")
PLACES = ("url", "pypi", "git", "path", "debian")
"""The kinds of places that a source may come from; each source and each alternative has exactly one."""

WHEN_BUILT = ("prefix", "jobs")
"""Holes that are filled only when the package is built: where it will lie, and how many processes it may use."""

_HOLE = re.compile(r"\{([^{}]*)\}")


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _as_patch(value: object) -> object:
    return {"file": value} if isinstance(value, str) else value


def _as_script(value: object) -> object:
    return {"run": value} if isinstance(value, str) else value


Texts = Annotated[tuple[Text, ...], BeforeValidator(_as_list, json_schema_input_type=str | list[str])]
Names = tuple[Name, ...]


class Table(BaseModel):
    """A table of the file: every key is known, nothing changes later."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Patch(Table):
    """A file of changes, in the recipe's directory; `strip` is patch(1)'s -p, `directory` where in the source it applies."""

    file: Relative
    strip: Annotated[int, Field(ge=0)] = 1
    directory: Relative = "."


OnePatch = Annotated[Patch, BeforeValidator(_as_patch, json_schema_input_type=str | Patch)]


class Place(Table):
    """Where an archive, or a tree, is to be had.

    `url` has mirrors after the first.  `version` is that of the archive where it is not the recipe's.  `patches` apply only to
    what comes from here, before those of the recipe.
    """

    url: Texts = ()
    pypi: Name | None = None
    git: Text | None = None
    ref: Commit | None = None
    path: Text | None = None
    debian: Name | None = None
    version: Version | None = None
    file: Text | None = None
    sha256: Sha256 | None = None
    patches: tuple[OnePatch, ...] = ()

    @property
    def kind(self) -> str:
        """The one of PLACES that is given, "" if none is."""
        return next((kind for kind in PLACES if getattr(self, kind)), "")


class Source(Place):
    """Something that a build needs; the places in `alternatives` are tried where the first does not answer.

    `directory` is where it is unpacked, below the directory of the first source; "." for the first itself.
    """

    directory: Relative = "."
    alternatives: tuple[Place, ...] = ()

    @property
    def places(self) -> tuple[Place, ...]:
        """All places, in the order in which they are tried."""
        return (self, *self.alternatives)


class Dependencies(Table):
    """Names or identities of packages, by what they are needed for.

    `order_only` ones must be there before, but a change of them rebuilds nothing; `optional` ones are used if they are installed.
    """

    build: tuple[Text, ...] = ()
    run: tuple[Text, ...] = ()
    order_only: tuple[Text, ...] = ()
    check: tuple[Text, ...] = ()
    optional: tuple[Text, ...] = ()


class System(Table):
    """How to see whether the host provides the package, and what its distributions call it.

    `pkg_config` is a module with an optional least version ("zlib >= 1.2"), `program` a command, whose version (the first
    number that `PROGRAM --version` prints) must be at least `at_least`.
    """

    pkg_config: Text | None = None
    program: Name | None = None
    at_least: Version | None = None
    packages: Mapping[Name, Texts] = Field(default_factory=dict)


class Build(Table):
    """The build system, its options, and how the source wants to be treated.

    What the system `host` builds nobody builds: only the host can provide it.
    `directory` is that of the build's own entry point below the source.  `destdir` says whether the install phase honours DESTDIR.
    `make` are words for every call of make.
    """

    system: Literal["autotools", "cmake", "meson", "make", "python", "wheel", "script", "host"] = "script"
    options: Texts = ()
    make: Texts = ()
    directory: Relative = "."
    out_of_tree: StrictBool = False
    parallel: StrictBool = True
    destdir: StrictBool = True


class Script(Table):
    """A phase of the recipe's own: shell text, or a file beside the recipe."""

    run: str | None = None
    script: Relative | None = None


_Script = Annotated[Script, BeforeValidator(_as_script, json_schema_input_type=str | Script)]


class Phases(Table):
    """What stands in the place of the build system's own phases; an empty text leaves a phase out."""

    prepare: _Script | None = None
    configure: _Script | None = None
    build: _Script | None = None
    check: _Script | None = None
    install: _Script | None = None
    post_install: _Script | None = None


class Check(Table):
    """Whether tests can run before the commit, on the stage, and whether they are known to fail here and there."""

    before_commit: StrictBool = False
    flaky: StrictBool = False


class Recipe(Table):
    """One package.  `identity` is a PURL; that of Python projects is `pkg:pypi/…` unless said otherwise.

    `exclusive` packages are committed only when no build runs.  `network` says that a build needs it.  `environment` is added to
    every phase; `{version}` and the like are filled in everywhere but in scripts, which find them as variables.
    """

    name: Name
    version: Version
    identity: Text = ""
    description: str = ""
    homepage: str = ""
    license: str = ""
    contact: str = ""
    exclusive: StrictBool = False
    experimental: StrictBool = False
    network: StrictBool = False
    source: tuple[Source, ...] = ()
    patches: tuple[OnePatch, ...] = ()
    dependencies: Dependencies = Dependencies()
    system: System = System()
    build: Build = Build()
    environment: Mapping[Text, str] = Field(default_factory=dict)
    phases: Phases = Phases()
    check: Check = Check()

    @property
    def purl(self) -> str:
        """The identity, whether it is written down or follows from the build system."""
        if self.identity:
            return identity_of(self.identity)
        return identity_of(f"pkg:pypi/{self.name}" if self.build.system in ("python", "wheel") else self.name)

    @property
    def holes(self) -> Mapping[str, str]:
        """What may stand in braces, and what it stands for."""
        return holes_of(self.name, self.version)


def holes_of(name: str, version: str) -> dict[str, str]:
    """`name`, `version`, and the version's parts: `major`, `minor`, `micro` ("" where there are fewer), `short` (major.minor)."""
    major, minor, micro = [*re.split(r"[._-]", version, maxsplit=2), "", ""][:3]
    short = f"{major}.{minor}" if minor else major
    return {"name": name, "version": version, "major": major, "minor": minor, "micro": micro, "short": short}


def fill(text: str, holes: Mapping[str, str]) -> str:
    """A text with its holes filled.  Raises ValueError that names a hole which is none."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in holes:
            raise ValueError(f"{{{found[1]}}} stands for nothing; there are {', '.join(sorted(holes))}")
        return holes[found[1]]

    return _HOLE.sub(value, text)


def schema() -> dict[str, Any]:
    """The JSON schema of `recipe.toml`, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Shipway recipe",
        **Recipe.model_json_schema(),
    }

"""recipe.toml: what it says, and what is told of one that is wrong."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shipway.build.recipe import SYSTEMS, Patch, Recipe, Script, fill, holes_of, schema
from shipway.build.recipe_file import load, parse
from shipway.errors import UsageError

SHA = "0123456789abcdef" * 4
GOOD = f"""
name = "gmp"
version = "6.2.1"
patches = ["one.patch", {{ file = "two.patch", strip = 0 }}]

[[source]]
url = "https://example.org/gmp-{{version}}.tar.xz"
sha256 = "{SHA}"

[[source.alternatives]]
debian = "gmp"
file = "gmp.orig.tar.xz"
sha256 = "{SHA}"

[dependencies]
build = ["m4"]

[build]
system = "autotools"

[phases]
prepare = "mkdir doc"
check = {{ script = "check.sh" }}
"""


def wrong(text: str) -> list[str]:
    with pytest.raises(UsageError) as caught:
        parse(text, "r.toml")
    return list(caught.value.details)


def test_a_recipe_is_what_its_file_says() -> None:
    recipe = parse(GOOD, "r.toml")
    assert (recipe.name, recipe.version, recipe.purl) == ("gmp", "6.2.1", "pkg:generic/gmp")
    assert [place.kind for place in recipe.source[0].places] == ["url", "debian"]
    assert fill(recipe.source[0].url[0], recipe.holes) == "https://example.org/gmp-6.2.1.tar.xz"
    assert recipe.patches == (Patch(file="one.patch"), Patch(file="two.patch", strip=0))
    assert recipe.phases.prepare == Script(run="mkdir doc")
    assert recipe.phases.check == Script(script="check.sh")


@pytest.mark.parametrize(("system", "purl"), [("python", "pkg:pypi/foo-bar"), ("make", "pkg:generic/Foo_Bar")])
def test_python_projects_have_the_identity_of_their_index_name(system: str, purl: str) -> None:
    assert parse(f'name = "Foo_Bar"\nversion = "1"\nbuild.system = "{system}"', "r").purl == purl


def test_all_that_is_wrong_is_told_with_its_line() -> None:
    text = f"""name = "zl ib"
versio = "1.3"
exclusive = "yes"
patches = ["a.patch", {{ file = "../x", strip = -1 }}]
[[source]]
url = "https://example.org/{{version}}-{{foo}}.tar.gz"
[[source]]
git = "https://example.org/zlib"
sha256 = "{SHA}"
[[source.alternatives]]
debian = "zlib"
sha256 = "12"
[build]
system = "autotool"
option = ["--x"]
[phases]
check = {{}}
[dependencies]
build = "m4"
[system]
at_least = "3"
"""
    assert wrong(text) == [
        "r.toml: version: is missing",
        "r.toml:1: name: must be a name: letters, digits and ._+~- (first a letter or digit)",
        "r.toml:2: versio: there is no such key; version is meant?",
        "r.toml:3: exclusive: must be true or false",
        "r.toml:4: patches[1].file: must be a path that stays where it begins: relative, without ..",
        "r.toml:4: patches[1].strip: must be 0 or more",
        "r.toml:5: source[0]: sha256 is missing: an archive is used only with its digest",
        "r.toml:6: source[0].url: {foo} stands for nothing; there are jobs, major, micro, minor, name, prefix, short, version",
        "r.toml:7: source[1]: ref is missing: the commit of a git source, in full",
        "r.toml:9: source[1].sha256: belongs to archives, not to git",
        "r.toml:10: source[1].alternatives[0]: file is missing: the archive's name in debian",
        "r.toml:12: source[1].alternatives[0].sha256: must be 64 digits, 0 to 9 and a to f",
        f"r.toml:14: build.system: must be one of {', '.join(SYSTEMS)}",
        "r.toml:15: build.option: there is no such key; options is meant?",
        "r.toml:17: phases.check: give either run, a shell text, or script, a file beside the recipe",
        "r.toml:19: dependencies.build: must be a list",
        "r.toml:21: system.at_least: is the version of a program; say which with program",
    ]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("directory = 'x'", "says nowhere to get it from"),
        (f"url = 'a'\npypi = 'b'\nsha256 = '{SHA}'", "has url and pypi"),
        (f"pypi = 'six'\nsha256 = '{SHA}'", "file is missing"),
        (f"url = 'a'\nsha256 = '{SHA}'\nref = '{SHA}'", "belongs to git, not to url"),
        ("git = 'a'\nref = 'main'", "must be a commit"),
        ("path = 'src'\nsha256 = 'x'", "belongs to archives, not to path"),
    ],
)
def test_a_source_comes_from_one_place_and_is_pinned(source: str, told: str) -> None:
    assert told in " ".join(wrong(f"name = 'a'\nversion = '1'\nbuild.system = 'make'\n[[source]]\n{source}"))


def test_a_script_build_must_say_how_it_installs() -> None:
    assert "phases.install is missing" in wrong("name = 'a'\nversion = '1'")[0]
    assert parse("name = 'a'\nversion = '1'\nphases.install = 'true'", "r").build.system == "script"


def test_what_is_no_toml_is_told_with_its_line() -> None:
    assert wrong("name = 'a'\nversion = = 2")[0].startswith("r.toml:2: ")


def test_texts_of_several_lines_do_not_shift_the_lines_of_keys() -> None:
    text = 'name = "a"\nversion = "1"\n[phases]\ninstall = """\nname = 1\n[build]\n"""\n[build]\nsistem = "make"\n'
    assert wrong(text) == ["r.toml:9: build.sistem: there is no such key; system is meant?"]


def test_a_recipe_lies_in_a_directory_of_its_name_with_the_files_it_names(tmp_path: Path) -> None:
    place = tmp_path / "other"
    place.mkdir()
    (place / "recipe.toml").write_text(GOOD)
    (place / "one.patch").touch()
    with pytest.raises(UsageError) as caught:
        load(str(place))
    assert [detail.partition("recipe.toml:")[2] for detail in caught.value.details] == [
        "2: name: is gmp, and the directory is called other",
        "4: patches[1]: there is no file two.patch beside the recipe",
        "23: phases.check: there is no file check.sh beside the recipe",
    ]


@pytest.mark.parametrize("content", [None, b"\xff"])
def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "recipe.toml").write_bytes(content)
    with pytest.raises(UsageError, match="cannot be read"):
        load(str(tmp_path))


@pytest.mark.parametrize(
    ("version", "parts"),
    [("6.2.1", ("6", "2", "1", "6.2")), ("12", ("12", "", "", "12")), ("1.2.3-4", ("1", "2", "3-4", "1.2"))],
)
def test_a_version_has_parts(version: str, parts: tuple[str, ...]) -> None:
    holes = holes_of("x", version)
    assert tuple(holes[name] for name in ("major", "minor", "micro", "short")) == parts


def test_the_schema_knows_every_key_and_the_short_forms() -> None:
    described = json.loads(json.dumps(schema()))
    assert set(described["properties"]) == set(Recipe.model_fields)
    assert {"type": "string"} in described["$defs"]["Phases"]["properties"]["build"]["anyOf"]
    assert {"type": "string"} in described["properties"]["patches"]["items"]["anyOf"]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["a", "1", "make", SHA, "../x"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(Recipe.model_fields)), inner, max_size=3)
    ),
    max_leaves=8,
)
keys = st.sampled_from([*sorted(Recipe.model_fields), "url", "sha256", "run", "system", "nonsense"])


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return '""' if value is None else json.dumps(value, ensure_ascii=True)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(keys, values, max_size=5))
def test_whatever_is_given_is_a_recipe_or_a_list_of_mistakes(document: dict[str, object]) -> None:
    text = "".join(f"{key} = {toml(value)}\n" for key, value in document.items())
    try:
        tomllib.loads(text)
    except ValueError:
        return
    told = refused(text)
    assert all(line.startswith("r.toml") and "\n" not in line for line in told)


def refused(text: str) -> list[str]:
    """What is told of a text, nothing if it is a recipe."""
    try:
        parse(text, "r.toml")
    except UsageError as error:
        return list(error.details) or [error.message]
    return []


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=80))
def test_no_text_is_too_strange(text: str) -> None:
    assert refused(text)

"""Writing recipes: from archives and projects, for other versions, with digests as they are now."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from shipway.build.contents import contents, name_and_version
from shipway.build.recipe_file import load
from tests.build.mirrors import Handler, Mirror, serving
from tests.cli.shop import Ran, plain

PKG_INFO = """\
Metadata-Version: 2.4
Name: Some_Thing
Version: {}
Summary: Does "things" \\ and more
License-Expression: MIT
Project-URL: Homepage, https://thing.example
Requires-Dist: six>=1
Requires-Dist: pytest; extra == "test"

Description: not this
"""
PYPROJECT = '[build-system]\nrequires = ["setuptools>=61", "Cython<4", "tomli; python_version < \'3.11\'"]\n'


def tar(files: Mapping[str, str], kind: str = "gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{kind}") as archive:  # type: ignore[call-overload]
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


def sdist(version: str) -> bytes:
    top = f"some_thing-{version}"
    return tar(
        {f"{top}/PKG-INFO": PKG_INFO.format(version), f"{top}/pyproject.toml": PYPROJECT, f"{top}/t/configure": ""}
    )


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Desk:
    """A server with files by name, and an index of some of them."""

    def __init__(self, mirror: Mirror, files: dict[str, bytes]) -> None:
        self.mirror = mirror
        self.files = files

    def url(self, name: str) -> str:
        return f"{self.mirror.base}/files/{name}"


@pytest.fixture
def desk(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    files: dict[str, bytes] = {}

    def give(handler: Handler) -> None:
        data = files.get(handler.path.removeprefix("/files/"))
        if data is None:
            handler.head(404, Content_Length=0)
            return
        handler.head(200, Content_Length=len(data))
        handler.give(data)

    def index(handler: Handler) -> None:
        told = [
            {"filename": name, "url": f"/files/{name}", "hashes": {"sha256": sha(data)}} for name, data in files.items()
        ]
        page = json.dumps({"files": told}).encode()
        handler.head(200, Content_Type="application/vnd.pypi.simple.v1+json", Content_Length=len(page))
        handler.give(page)

    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:
        mirror = stack.enter_context(serving({"files": give, "simple": index}))
        monkeypatch.setenv("PIP_INDEX_URL", f"{mirror.base}/simple")
        yield Desk(mirror, files)


def recipe(*words: str) -> Ran:
    return plain("recipe", *words)


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("https://ftp.gnu.org/gnu/mpc/mpc-1.3.1.tar.gz", ("mpc", "1.3.1")),
        ("https://x/sqlite-autoconf-3400100.tar.gz", ("sqlite-autoconf", "3400100")),
        ("https://github.com/pnggroup/libpng/archive/refs/tags/v1.6.39.tar.gz", ("libpng", "1.6.39")),
        ("https://gitlab.com/a/b/-/archive/v2.0/b-v2.0.tar.bz2", ("b", "2.0")),
        ("http://deb/x/gmp_6.2.1+dfsg1.orig.tar.xz", ("gmp", "6.2.1+dfsg1")),
        ("https://x/node-v20.1.zip", ("node", "20.1")),
        ("https://x/7zip-22.01.tar.xz", ("7zip", "22.01")),
        ("file:///tmp/a%20b-1.0.tgz", ("a b", "1.0")),
        ("https://x/latest.tar.gz", ("", "")),
        ("https://x/", ("", "")),
    ],
)
def test_an_address_tells_name_and_version(address: str, found: tuple[str, str]) -> None:
    assert name_and_version(address) == found


@pytest.mark.parametrize(
    ("files", "system"),
    [
        (("configure", "Makefile", "CMakeLists.txt"), "autotools"),
        (("CMakeLists.txt", "Makefile"), "cmake"),
        (("meson.build",), "meson"),
        (("GNUmakefile",), "make"),
        (("setup.py", "configure"), "python"),
        (("README",), "script"),
    ],
)
def test_an_archive_tells_how_it_is_built(files: tuple[str, ...], system: str, tmp_path: Path) -> None:
    (tmp_path / "p.tar").write_bytes(tar({f"p-1/{name}": "" for name in files}))
    assert contents(str(tmp_path / "p.tar")).system == system


def test_a_first_recipe_from_an_address_can_be_read_at_once(desk: Desk, tmp_path: Path) -> None:
    desk.files["thing-1.2.tar.gz"] = tar({"thing-1.2/configure": ""})
    ran = recipe("new", desk.url("thing-1.2.tar.gz"))
    assert (ran.code, ran.out) == (0, "wrote recipes/thing/recipe.toml; read it, then: shipway recipe lint thing\n")
    found = load("recipes/thing").recipe
    assert (found.name, found.version, found.build.system) == ("thing", "1.2", "autotools")
    (source,) = found.source
    assert source.url == (f"{desk.mirror.base}/files/thing-{{version}}.tar.gz",)
    assert source.sha256 == sha(desk.files["thing-1.2.tar.gz"])
    desk.files.clear()
    assert plain("fetch", "--recipes", "recipes", "thing", "--offline").code == 0


def test_a_first_recipe_from_a_file_too(desk: Desk, tmp_path: Path) -> None:
    Path("tool-3.tar.gz").write_bytes(tar({"tool-3/Makefile": ""}))
    assert recipe("new", "tool-3.tar.gz", "--name", "tool2", "--into", "mine").code == 0
    found = load("mine/tool2").recipe
    assert found.source[0].url == (f"file://{tmp_path}/tool-{{version}}.tar.gz",)
    assert found.phases.install is not None


def test_a_first_recipe_from_the_index_knows_what_the_metadata_says(desk: Desk) -> None:
    for version in ("1.9", "1.10", "2.0rc1"):
        desk.files[f"some_thing-{version}.tar.gz"] = sdist(version)
    desk.files["some_thing-1.10-py3-none-any.whl"] = b"no matter"
    desk.files["other-9.tar.gz"] = b"no matter"
    assert recipe("new", "some-thing").code == 0
    found = load("recipes/some-thing").recipe
    assert (found.version, found.license, found.homepage) == ("1.10", "MIT", "https://thing.example")
    assert found.description == 'Does "things" \\ and more'
    assert (found.source[0].pypi, found.source[0].file) == ("some-thing", "some_thing-{version}.tar.gz")
    assert found.dependencies.build == ("python3", "pip", "setuptools", "cython")
    assert found.dependencies.run == ("six",)
    assert recipe("new", "some-thing==1.9", "--name", "older").code == 0
    older = load("recipes/older").recipe
    assert (older.version, older.purl, found.purl) == ("1.9", "pkg:pypi/some-thing", "pkg:pypi/some-thing")


def test_a_project_without_sources_is_taken_as_a_wheel(desk: Desk) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("some_thing-1.0.dist-info/METADATA", PKG_INFO.format("1.0"))
    desk.files["some_thing-1.0-py3-none-any.whl"] = buffer.getvalue()
    desk.files["some_thing-1.0-cp311-cp311-linux_x86_64.whl"] = b"no matter"
    assert recipe("new", "some-thing").code == 0
    found = load("recipes/some-thing").recipe
    assert (found.build.system, found.dependencies.build) == ("wheel", ("python3", "pip"))
    assert (found.description, found.source[0].file) == (
        'Does "things" \\ and more',
        "some_thing-{version}-py3-none-any.whl",
    )


def test_what_cannot_become_a_recipe_is_one_error_and_no_file(desk: Desk) -> None:
    desk.files["latest.tar.gz"] = tar({"x/configure": ""})
    desk.files["broken-1.tar.gz"] = b"\x1f\x8bbroken"
    assert recipe("new", desk.url("latest.tar.gz")).code == 2
    assert recipe("new", desk.url("none-1.tar.gz")).code == 1
    assert recipe("new", "some-thing").code == 2
    assert not Path("recipes").exists()
    assert recipe("new", desk.url("broken-1.tar.gz")).code == 0
    again = recipe("new", desk.url("broken-1.tar.gz"))
    assert again.code == 2
    assert again.err.endswith(
        "error: there is a recipe recipes/broken/recipe.toml already\nhint: give --name NAME or --into DIR\n"
    )


# -- another version -------------------------------------------------------------------------------------------------------

RECIPE = """\
# What it is for.
name = "thing"
version = "1.2"  # kept back

[[source]]
url = ["{base}/gone/thing-{{version}}.tar.gz", "{base}/files/thing-1.2.tar.gz"]
sha256 = "{sha}"

[[source.alternatives]]
# The same under another name.
url = "{base}/files/other_1.2.orig.tar.gz"
sha256 = "{sha}"

[phases]
install = '''true'''  # for now
"""


@pytest.fixture
def thing(desk: Desk) -> Path:
    """A recipe of thing 1.2, with comments."""
    desk.files["thing-1.2.tar.gz"] = desk.files["other_1.2.orig.tar.gz"] = b"one two"
    file = Path("recipes/thing/recipe.toml")
    file.parent.mkdir(parents=True)
    file.write_text(RECIPE.format(base=desk.mirror.base, sha=sha(b"one two")))
    file.chmod(0o640)
    return file


def test_another_version_changes_what_it_has_to_and_keeps_comments(desk: Desk, thing: Path) -> None:
    desk.files["thing-1.3.tar.gz"] = desk.files["other_1.3.orig.tar.gz"] = b"one three"
    before = thing.read_text()
    ran = recipe("update", "thing", "1.3", "--recipes", "recipes")
    assert ran.code == 0
    assert ran.out.startswith("thing 1.2 → 1.3\n")
    expected = before.replace('"1.2"', '"1.3"').replace("-1.2.", "-1.3.").replace("_1.2.", "_1.3.")
    assert thing.read_text() == expected.replace(sha(b"one two"), sha(b"one three"))
    assert thing.stat().st_mode & 0o777 == 0o640
    assert os.listdir(thing.parent) == ["recipe.toml"]


def test_an_alternative_without_that_version_is_left_out_and_told(desk: Desk, thing: Path) -> None:
    desk.files["thing-1.3.tar.gz"] = b"one three"
    ran = recipe("update", "thing", "1.3", "--recipes", "recipes")
    assert ran.code == 0
    assert f"note: left out: {desk.url('other_1.3.orig.tar.gz')}: 404 Not Found" in ran.err
    assert "alternatives" not in thing.read_text()
    assert load("recipes/thing").recipe.source[0].alternatives == ()


def test_a_version_that_is_not_to_be_had_changes_nothing(desk: Desk, thing: Path) -> None:
    before = thing.read_text()
    ran = recipe("update", "thing", "9.9", "--recipes", "recipes")
    assert (ran.code, thing.read_text()) == (1, before)
    assert "404 Not Found" in ran.err
    assert recipe("update", "thing", "--recipes", "recipes").code == 2
    assert recipe("update", "thing", "no version!", "--recipes", "recipes").code != 0
    assert thing.read_text() == before


def test_the_same_version_is_no_change(desk: Desk, thing: Path) -> None:
    before = thing.read_text()
    assert recipe("update", "thing", "1.2", "--recipes", "recipes").out == "thing is 1.2 already\n"
    assert thing.read_text() == before


def test_an_address_that_does_not_name_the_version_is_told(desk: Desk, thing: Path) -> None:
    thing.write_text(
        thing.read_text().replace("thing-1.2.tar.gz", "snapshot.tar.gz").replace("other_1.2.orig", "thing-1.2")
    )
    desk.files["snapshot.tar.gz"] = b"one two"
    desk.files["thing-1.3.tar.gz"] = b"one three"
    ran = recipe("update", "thing", "1.3", "--recipes", "recipes")
    assert "is the same file as before; does its address name the version?" in ran.err


def test_the_newest_version_of_a_project_needs_not_be_named(desk: Desk) -> None:
    for version in ("1.9", "1.10"):
        desk.files[f"some_thing-{version}.tar.gz"] = sdist(version)
    recipe("new", "some-thing==1.9")
    ran = recipe("update", "some-thing", "--recipes", "recipes")
    assert ran.out.splitlines()[0] == "some-thing 1.9 → 1.10"
    assert load("recipes/some-thing").recipe.source[0].sha256 == sha(desk.files["some_thing-1.10.tar.gz"])


# -- digests -----------------------------------------------------------------------------------------------------------------


def test_digests_are_set_to_what_is_there_now(desk: Desk, thing: Path) -> None:
    desk.files["thing-1.2.tar.gz"] = b"repacked"
    before = thing.read_text()
    ran = recipe("fix-checksum", "thing", "--recipes", "recipes")
    assert ran.out.startswith("thing: 1 digest changed\n")
    assert thing.read_text() == before.replace(sha(b"one two"), sha(b"repacked"), 1)


def test_what_does_not_answer_keeps_its_digest_and_is_told(desk: Desk, thing: Path) -> None:
    del desk.files["other_1.2.orig.tar.gz"]
    before = thing.read_text()
    ran = plain("--json", "recipe", "fix-checksum", "thing", "--recipes", "recipes")
    (told,) = ran.json
    assert (told["name"], told["changes"]) == ("thing", [])
    assert told["notes"] == [f"left as it was: {desk.url('other_1.2.orig.tar.gz')}: 404 Not Found"]
    assert thing.read_text() == before

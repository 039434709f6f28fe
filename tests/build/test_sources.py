"""From archives, directories and patches to a tree that can be built."""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from shipway.build.fetching import Options, fetch
from shipway.build.patching import PatchError
from shipway.build.recipe_file import Found
from shipway.build.sources import prepare
from shipway.errors import ShipwayError
from shipway.fs.system import FileSystem
from shipway.fs.unpack import ArchiveError
from tests.build.mirrors import recipe

PATCH = """\
--- a/hello.c
+++ b/hello.c
@@ -1,3 +1,3 @@
 int main() {
-    return 0;
+    return {};
 }
"""
HELLO = "int main() {\n    return 0;\n}\n"


def tar(path: Path, files: Mapping[str, str]) -> str:
    """A tar of texts; returns its digest."""
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Bench:
    """Archives that a recipe names, and the tree that comes of them."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.texts: list[str] = []
        (place / "p").mkdir()

    def archive(self, name: str, files: Mapping[str, str], more: str = "") -> None:
        sha = tar(self.place / name, files)
        self.texts.append(f'[[source]]\nurl = "file://{self.place}/{name}"\nsha256 = "{sha}"\n{more}\n')

    def beside(self, name: str, text: str) -> None:
        (self.place / "p" / name).parent.mkdir(parents=True, exist_ok=True)
        (self.place / "p" / name).write_text(text)

    def recipe(self, top: str = "") -> Found:
        return recipe(self.place, top + "\n" + "\n".join(self.texts))

    def prepare(self, top: str = "") -> Path:
        found = self.recipe(top)
        harvest = fetch(FileSystem(), [found], Options(str(self.place / "cache")))
        assert harvest.failures == ()
        return Path(prepare(found, harvest.files[0][1], str(self.place / "build")))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_the_single_directory_of_an_archive_is_the_source(bench: Bench) -> None:
    bench.archive("p.tgz", {"p-1/a": "1", "p-1/b/c": "2"})
    source = bench.prepare()
    assert source == bench.place / "build/p-1"
    assert (source / "b/c").read_text() == "2"
    assert os.listdir(source.parent) == ["p-1"]


def test_several_things_at_the_top_get_a_directory(bench: Bench) -> None:
    bench.archive("p.tgz", {"a": "1", "b/c": "2"})
    source = bench.prepare()
    assert source == bench.place / "build/p-1"
    assert sorted(os.listdir(source)) == ["a", "b"]


def test_further_sources_lie_below_the_first_where_they_belong(bench: Bench) -> None:
    bench.archive("p.tgz", {"p-1/a": "1", "p-1/test/here": "2"})
    bench.archive("q.tgz", {"q-2/b": "3"}, 'directory = "third/q"')
    bench.archive("t.tgz", {"t/data": "4"}, 'directory = "test"')
    source = bench.prepare()
    assert (source / "third/q/b").read_text() == "3"
    assert sorted(os.listdir(source / "test")) == ["data", "here"]


def test_two_sources_that_bring_the_same_name_are_told(bench: Bench) -> None:
    bench.archive("p.tgz", {"p-1/a": "1"})
    bench.archive("q.tgz", {"q-2/a": "3"})
    with pytest.raises(ShipwayError, match=r"p: q.tgz brings a, which another source brings too"):
        bench.prepare()


def test_what_is_no_archive_is_there_as_a_file(bench: Bench) -> None:
    (bench.place / "script.sh").write_text("#!/bin/sh\n")
    sha = hashlib.sha256(b"#!/bin/sh\n").hexdigest()
    bench.texts.append(f'[[source]]\nurl = "file://{bench.place}/script.sh"\nsha256 = "{sha}"\n')
    assert (bench.prepare() / "script.sh").read_text() == "#!/bin/sh\n"


def test_what_is_called_an_archive_has_to_be_one(bench: Bench) -> None:
    (bench.place / "p.tar.gz").write_text("<html>")
    sha = hashlib.sha256(b"<html>").hexdigest()
    bench.texts.append(f'[[source]]\nurl = "file://{bench.place}/p.tar.gz"\nsha256 = "{sha}"\n')
    with pytest.raises(ArchiveError, match=r"p.tar.gz: the archive is damaged"):
        bench.prepare()


@pytest.mark.parametrize(("system", "names"), [("wheel", ["p-1-py3-none-any.whl"]), ("python", ["p", "p-1.dist-info"])])
def test_a_wheel_stays_whole_for_whoever_installs_it(system: str, names: list[str], bench: Bench) -> None:
    wheel = bench.place / "p-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("p/__init__.py", "")
        archive.writestr("p-1.dist-info/RECORD", "")
    sha = hashlib.sha256(wheel.read_bytes()).hexdigest()
    bench.texts.append(f'[[source]]\nurl = "file://{wheel}"\nsha256 = "{sha}"\n[build]\nsystem = "{system}"\n')
    assert sorted(os.listdir(bench.prepare())) == names


def test_a_directory_is_copied_with_its_modes_and_links(bench: Bench) -> None:
    bench.beside("tree/sub/run", "#!/bin/sh\n")
    (bench.place / "p/tree/sub/run").chmod(0o755)
    (bench.place / "p/tree/link").symlink_to("sub/run")
    bench.texts.append('[[source]]\npath = "tree"\n')
    source = bench.prepare()
    assert (source / "link").readlink() == Path("sub/run")
    assert os.access(source / "sub/run", os.X_OK)
    (source / "sub/run").write_text("changed")
    assert (bench.place / "p/tree/sub/run").read_text() == "#!/bin/sh\n"


def test_a_directory_is_not_copied_into_itself(bench: Bench) -> None:
    bench.texts.append(f'[[source]]\npath = "{bench.place}"\n')
    with pytest.raises(ShipwayError, match="cannot be copied into itself"):
        bench.prepare()


# -- patches ---------------------------------------------------------------------------------------------------------------


def test_the_place_s_patches_come_before_the_recipe_s(bench: Bench) -> None:
    bench.archive("p.tgz", {"p-1/hello.c": HELLO}, 'patches = ["one.patch"]')
    bench.beside("two.patch", PATCH.replace("return 0", "return 1").replace("{}", "2"))
    bench.beside("one.patch", PATCH.replace("{}", "1"))
    assert "return 2;" in (bench.prepare('patches = ["two.patch"]') / "hello.c").read_text()
    assert sorted(os.listdir(bench.place / "build/p-1")) == ["hello.c"]


def test_a_patch_has_its_strip_and_its_directory(bench: Bench) -> None:
    bench.archive("p.tgz", {"p-1/sub/hello.c": HELLO})
    bench.beside("sub.patch", PATCH.replace("a/", "x/y/").replace("b/", "x/y/").replace("{}", "7"))
    source = bench.prepare('patches = [{ file = "sub.patch", strip = 2, directory = "sub" }]')
    assert "return 7;" in (source / "sub/hello.c").read_text()


FAILING = {
    "another text": (PATCH.replace("return 0", "return 9"), "Hunk #1 FAILED"),
    "no such file": (PATCH.replace("hello.c", "none.c"), "can't find file to patch"),
    "applied already": (
        PATCH.replace("-    return 0;\n+    return {};", "-    return {};\n+    return 0;"),
        "previously applied",
    ),
    "no patch at all": ("hello\n", "Only garbage was found"),
    "the half of one": (PATCH[:60], "malformed|unexpected end|Only garbage"),
}


@pytest.mark.parametrize("case", FAILING)
def test_a_patch_that_does_not_apply_is_one_error_that_shows_what_did_not(case: str, bench: Bench) -> None:
    text, words = FAILING[case]
    bench.archive("p.tgz", {"p-1/hello.c": HELLO})
    bench.beside("bad.patch", text)
    with pytest.raises(PatchError, match=r"^bad.patch does not apply$") as caught:
        bench.prepare('patches = ["bad.patch"]')
    assert re.search(words, "\n".join(caught.value.details))


def test_the_rejected_lines_are_shown(bench: Bench) -> None:
    bench.archive("p.tgz", {"p-1/hello.c": HELLO})
    bench.beside("bad.patch", PATCH.replace("return 0", "return 9"))
    with pytest.raises(PatchError) as caught:
        bench.prepare('patches = ["bad.patch"]')
    assert "-    return 9;" in caught.value.details


ESCAPES = {
    "above": ("--- a/../../victim\n+++ b/../../victim\n@@ -1 +1 @@\n-old\n+new\n", "lies outside of the source"),
    "absolute": ("--- /victim\n+++ /tmp/victim\n@@ -1 +1 @@\n-old\n+new\n", "does not apply"),
    "a new file above": ("--- /dev/null\n+++ b/../../victim2\n@@ -0,0 +1 @@\n+new\n", "lies outside of the source"),
    "through a link": ("--- a/link/victim\n+++ b/link/victim\n@@ -1 +1 @@\n-old\n+new\n", "does not apply"),
    "by a link": (
        "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc\n",
        "would make a symlink",
    ),
}


@pytest.mark.parametrize("case", ESCAPES)
def test_a_patch_stays_in_its_source(case: str, bench: Bench) -> None:
    text, words = ESCAPES[case]
    victim = bench.place / "victim"
    victim.write_text("old\n")
    bench.beside("tree/f", "x\n")
    (bench.place / "p/tree/link").symlink_to(bench.place)
    bench.texts.append('[[source]]\npath = "tree"\n')
    bench.beside("bad.patch", text)
    with pytest.raises(PatchError, match=words):
        bench.prepare('patches = ["bad.patch"]')
    assert victim.read_text() == "old\n"
    assert not (bench.place / "victim2").exists()


def test_without_patch_it_says_what_is_missing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.archive("p.tgz", {"p-1/hello.c": HELLO})
    bench.beside("one.patch", PATCH)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(PatchError, match=r"one.patch needs the program patch"):
        bench.prepare('patches = ["one.patch"]')


# -- git -------------------------------------------------------------------------------------------------------------------


def git(place: Path, *words: str) -> str:
    identity = {
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@x",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@x",
    }
    settings = ("-c", "protocol.file.allow=always")
    done = subprocess.run(
        ["git", *settings, *words],
        cwd=place,
        env={**os.environ, **identity},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    place = tmp_path / "repository"
    place.mkdir()
    git(place, "init", "-q")
    for number in (1, 2):
        (place / "f").write_text(str(number))
        git(place, "add", "-A")
        git(place, "commit", "-q", "-m", str(number))
    return place


def test_a_commit_is_exported_without_its_history(bench: Bench, repository: Path) -> None:
    first = git(repository, "rev-parse", "HEAD~1")
    bench.texts.append(f'[[source]]\ngit = "file://{repository}"\nref = "{first}"\n')
    source = bench.prepare()
    assert source.name == f"p-{first[:12]}"
    assert os.listdir(source) == ["f"]
    assert (source / "f").read_text() == "1"


def test_a_commit_that_was_fetched_serves_without_the_repository(bench: Bench, repository: Path) -> None:
    ref = git(repository, "rev-parse", "HEAD")
    bench.texts.append(f'[[source]]\ngit = "{repository}"\nref = "{ref}"\n')
    bench.prepare()
    repository.rename(bench.place / "away")
    harvest = fetch(FileSystem(), [bench.recipe()], Options(str(bench.place / "cache"), offline=True))
    assert harvest.files[0][1][0].origin == "cache"


def test_a_commit_that_is_not_there_is_told(bench: Bench, repository: Path) -> None:
    for address, ref in ((repository, "1" * 40), (bench.place / "none", "1" * 40)):
        found = recipe(bench.place, f'[[source]]\ngit = "{address}"\nref = "{ref}"\n')
        (failure,) = fetch(FileSystem(), [found], Options(str(bench.place / "cache"))).failures
        assert failure.startswith(f"p: git {address}: ")


def test_submodules_are_told(bench: Bench, repository: Path) -> None:
    other = bench.place / "other"
    other.mkdir()
    git(other, "init", "-q")
    git(other, "commit", "-q", "--allow-empty", "-m", "1")
    git(repository, "submodule", "add", "-q", str(other), "sub")
    git(repository, "commit", "-q", "-m", "3")
    ref = git(repository, "rev-parse", "HEAD")
    found = recipe(bench.place, f'[[source]]\ngit = "{repository}"\nref = "{ref}"\n')
    (failure,) = fetch(FileSystem(), [found], Options(str(bench.place / "cache"))).failures
    assert "has submodules (sub), which are not fetched" in failure

"""Archives of the distribution's source packages, from a distribution of one's own."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote

import pytest

from shipway.build.debian import source_lines
from shipway.build.fetching import Fetched, Options, fetch
from shipway.build.recipe_file import Found
from shipway.fs.system import FileSystem
from shipway.model.event import Event
from tests.build.mirrors import DATA, SHA, Handler, Mirror, recipe, serving
from tests.fs.apart import fork

ORIG = "thing_1.0.orig.tar.gz"
needs_apt = pytest.mark.skipif(shutil.which("apt-get") is None, reason="there is no apt-get here")


def stanza(version: str, files: Mapping[str, bytes]) -> str:
    def sums(name: str) -> str:
        return "".join(f" {hashlib.new(name, data).hexdigest()} {len(data)} {file}\n" for file, data in files.items())

    head = f"Package: thing\nBinary: thing\nVersion: {version}\nMaintainer: me <me@x>\nArchitecture: any\nFormat: 3.0 (quilt)\nDirectory: .\n"
    return f"{head}Files:\n{sums('md5')}Checksums-Sha256:\n{sums('sha256')}\n"


class Distribution:
    """A flat repository on the loopback, and what the host's apt is told of it."""

    def __init__(self, place: Path, mirror: Mirror) -> None:
        self.pool = place / "pool"
        self.etc = place / "etc"
        self.mirror = mirror
        for directory in (self.pool, self.etc / "parts"):
            directory.mkdir(parents=True)
        (self.etc / "apt.conf").write_text(
            f'Dir::Etc::sourcelist "{self.etc}/sources.list";\nDir::Etc::sourceparts "{self.etc}/parts";\n'
            f'APT::Update::Post-Invoke {{ "touch {self.etc}/hook-ran"; }};\n'
        )
        self.tells(f"deb [trusted=yes arch=amd64] {mirror.base}/debian ./\n")

    def tells(self, text: str, name: str = "sources.list") -> None:
        (self.etc / name).write_text(text)

    def holds(self, *versions: tuple[str, Mapping[str, bytes]]) -> None:
        (self.pool / "Sources").write_text("".join(stanza(*version) for version in versions))
        for _, files in versions:
            for name, data in files.items():
                (self.pool / name).write_bytes(data)


@pytest.fixture
def distribution(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Distribution]:
    def give(handler: Handler) -> None:
        path = tmp_path / "pool" / unquote(handler.path.rpartition("/")[2])
        if not path.is_file():
            handler.head(404, Content_Length=0)
            return
        handler.head(200, Content_Length=path.stat().st_size)
        handler.give(path.read_bytes())

    with serving({"debian": give}) as mirror:
        found = Distribution(tmp_path, mirror)
        found.holds(("1.0-1", {ORIG: DATA, "thing_1.0-1.dsc": b"dsc", "thing_1.0-1.debian.tar.xz": b"x"}))
        monkeypatch.setenv("APT_CONFIG", str(found.etc / "apt.conf"))
        yield found


def thing(place: Path, sha: str = SHA, name: str = ORIG) -> Found:
    return recipe(place, f'[[source]]\ndebian = "thing"\nfile = "{name}"\nsha256 = "{sha}"\n')


def one(cache: Path, found: Found, heard: list[Event] | None = None) -> Fetched:
    hear = (heard if heard is not None else []).append
    harvest = fetch(FileSystem(), [found], Options(str(cache), timeout=5), hear)
    assert harvest.failures == ()
    return harvest.files[0][1][0]


def why(cache: Path, found: Found) -> str:
    return "\n".join(fetch(FileSystem(), [found], Options(str(cache), timeout=5)).failures)


@needs_apt
def test_an_archive_comes_without_its_dsc_and_without_the_host_s_hooks(
    distribution: Distribution, cache: Path, tmp_path: Path
) -> None:
    (distribution.pool / "thing_1.0-1.dsc").unlink()
    found = one(cache, thing(tmp_path))
    assert (found.origin, Path(found.path).read_bytes()) == ("debian", DATA)
    assert os.listdir(Path(found.path).parent) == [ORIG]
    assert not (distribution.etc / "hook-ran").exists()


@needs_apt
def test_an_archive_comes_though_what_is_beside_it_is_gone(
    distribution: Distribution, cache: Path, tmp_path: Path
) -> None:
    (distribution.pool / "thing_1.0-1.debian.tar.xz").unlink()
    assert one(cache, thing(tmp_path)).origin == "debian"


@needs_apt
def test_the_version_that_has_the_file_is_asked_for(distribution: Distribution, cache: Path, tmp_path: Path) -> None:
    distribution.holds(("1.0-1", {ORIG: DATA}), ("2.0-1", {"thing_2.0.orig.tar.gz": b"two"}))
    assert one(cache, thing(tmp_path)).origin == "debian"


@needs_apt
def test_what_the_lists_do_not_have_is_told(distribution: Distribution, cache: Path, tmp_path: Path) -> None:
    assert "this distribution does not have it" in why(cache, thing(tmp_path, "1" * 64, "thing_9.orig.tar.gz"))
    assert "it has another digest there" in why(cache, thing(tmp_path, "1" * 64))


@needs_apt
def test_lists_are_fetched_once_a_day_and_when_they_do_not_know(
    distribution: Distribution, cache: Path, tmp_path: Path
) -> None:
    def updates() -> int:
        return sum(path.endswith("/Sources") for path, _ in distribution.mirror.asked)

    one(cache, thing(tmp_path))
    assert why(cache, thing(tmp_path, "1" * 64))
    before = updates()
    newer = hashlib.sha256(b"new").hexdigest()
    distribution.holds(("1.1-1", {"thing_1.1.orig.tar.gz": b"new"}))
    assert why(cache, thing(tmp_path, newer, "thing_1.1.orig.tar.gz"))  # believed for ten minutes
    hour = (cache / "apt/updated").stat().st_mtime - 3600
    os.utime(cache / "apt/updated", (hour, hour))
    assert one(cache, thing(tmp_path, newer, "thing_1.1.orig.tar.gz")).origin == "debian"
    assert updates() > before
    assert (cache / "apt/updated").stat().st_mtime > hour + 1000


@needs_apt
def test_two_that_need_the_lists_fetch_them_once(distribution: Distribution, cache: Path, tmp_path: Path) -> None:
    distribution.holds(("1.0-1", {ORIG: DATA, "thing_1.0.orig-more.tar.gz": b"more"}))
    both = recipe(
        tmp_path,
        f'[[source]]\ndebian = "thing"\nfile = "{ORIG}"\nsha256 = "{SHA}"\n[[source]]\ndirectory = "more"\ndebian = "thing"\n'
        f'file = "thing_1.0.orig-more.tar.gz"\nsha256 = "{hashlib.sha256(b"more").hexdigest()}"\n',
    )
    heard: list[Event] = []
    one(cache, both, heard)
    assert [event.kind for event in heard].count("phase") == 1


@needs_apt
def test_a_distribution_that_does_not_answer_is_told(distribution: Distribution, cache: Path, tmp_path: Path) -> None:
    distribution.tells("deb [trusted=yes] http://nobody.invalid/debian ./\n")
    assert "apt-get update: W: Failed to fetch" in why(cache, thing(tmp_path))
    distribution.tells(f"deb [trusted=yes] {distribution.mirror.base}/debian ./\n", "parts/good.list")
    assert one(cache, thing(tmp_path)).origin == "debian"


@needs_apt
def test_a_host_without_sources_is_told(distribution: Distribution, cache: Path, tmp_path: Path) -> None:
    distribution.tells("# nothing\n")
    assert "apt knows no sources here" in why(cache, thing(tmp_path))


def test_without_apt_it_says_so(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert "there is no program apt-" in why(cache, thing(tmp_path))


@needs_apt
def test_the_real_distribution_gives_a_small_file(cache: Path) -> None:
    from shipway.build.recipe_file import load

    found = load(str(Path(__file__).parents[2] / "recipes/mpc"))
    (source,) = found.recipe.source
    only = found.recipe.model_copy(
        update={
            "source": (
                source.model_copy(update={"url": (), **source.alternatives[0].model_dump(), "alternatives": ()}),
            )
        }
    )
    failures = fetch(FileSystem(), [Found(only, found.directory)], Options(str(cache), timeout=20)).failures
    if failures:
        pytest.skip(f"the distribution does not give it here: {failures[0]}")


# -- the host's sources ------------------------------------------------------------------------------------------------------


def of(tmp_path: Path, name: str, text: str) -> str:
    (tmp_path / name).write_text(text)
    return source_lines(str(tmp_path / name))


def test_lines_of_binary_packages_become_lines_of_sources(tmp_path: Path) -> None:
    text = (
        "# a comment\n\ndeb http://x/debian bookworm main contrib # more\n"
        "deb-src http://x/debian bookworm main contrib\n"
        "deb [arch=amd64 signed-by=/k.gpg] http://y/d sid main\n  deb\t[ trusted=yes ] file:/z ./\ndeb cdrom:[D 12]/ x main\nrubbish\n"
    )
    assert of(tmp_path, "a.list", text).splitlines() == [
        "deb-src http://x/debian bookworm main contrib",
        "deb-src [signed-by=/k.gpg] http://y/d sid main",
        "deb-src [ trusted=yes ] file:/z ./",
    ]


def test_stanzas_of_binary_packages_become_stanzas_of_sources(tmp_path: Path) -> None:
    text = (
        "# top\nTypes: deb\n# between\nURIs: http://x/debian\nSuites: a b\nComponents: main\nArchitectures: amd64\nSigned-By:\n -----BEGIN\n .\n"
        " x\n\n\nTypes: deb deb-src\nURIs: http://y\nSuites: ./\nEnabled: yes\n\nEnabled: no\nTypes: deb\nURIs: http://z\nSuites: ./\n"
    )
    told = of(tmp_path, "a.sources", text)
    assert [line for line in told.splitlines() if line.startswith("Types")] == ["Types: deb-src"] * 2
    assert "http://z" not in told and "Architectures" not in told
    assert "Signed-By:\n -----BEGIN\n .\n x\n" in told


@needs_apt
def test_two_processes_share_the_lists(distribution: Distribution, cache: Path, tmp_path: Path) -> None:
    two = hashlib.sha256(b"more").hexdigest()
    distribution.holds(("1.0-1", {ORIG: DATA, "thing_1.0.orig-more.tar.gz": b"more"}))
    recipes = [thing(tmp_path / "a"), thing(tmp_path / "b", two, "thing_1.0.orig-more.tar.gz")]
    running = []
    for found in recipes:
        pid = fork()
        if pid == 0:
            failures = fetch(FileSystem(), [found], Options(str(cache), timeout=5)).failures
            os._exit(len(failures))
        running.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in running] == [0, 0]
    lists = [path for path, _ in distribution.mirror.asked if path.rpartition("/")[2].startswith("Sources")]
    assert len(lists) == len(set(lists))

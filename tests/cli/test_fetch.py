"""`shipway fetch`: what it says, and to whom."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.build.mirrors import DATA, SHA, Mirror, of_urls, recipe, serving
from tests.cli.shop import Ran, command, environment, plain


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with serving() as found:
        yield found


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHIPWAY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fetch(place: Path, *words: str) -> Ran:
    return plain("fetch", "--recipes", str(place / "recipes"), *words)


def test_it_says_what_came_from_where(cache: Path, mirror: Mirror, tmp_path: Path) -> None:
    of_urls(tmp_path / "recipes", mirror.url("good"))
    ran = fetch(tmp_path, "p")
    assert ran.code == 0
    assert ran.err == f"fetching p-1.tar.gz (500.0 KiB) from {mirror.base.removeprefix('http://')}\n"
    assert ran.out == "p  1  p-1.tar.gz  500.0 KiB  url\n1 source, 500.0 KiB; 1 fetched now\n"
    again = fetch(tmp_path, "p")
    assert (again.out, again.err) == ("p  1  p-1.tar.gz  500.0 KiB  cache\n1 source, 500.0 KiB; 0 fetched now\n", "")


def test_its_document_says_where_each_is(cache: Path, mirror: Mirror, tmp_path: Path) -> None:
    of_urls(tmp_path / "recipes", mirror.url("good"))
    ran = plain("--json", "fetch", "--recipes", str(tmp_path / "recipes"), "p")
    path = f"{cache}/distfiles/{SHA}/p-1.tar.gz"
    assert ran.json == [{"name": "p", "version": "1", "path": path, "bytes": len(DATA), "sha256": SHA, "from": "url"}]
    assert ran.err == ""


def test_what_is_not_to_be_had_is_told_with_each_place(cache: Path, mirror: Mirror, tmp_path: Path) -> None:
    of_urls(tmp_path / "recipes", mirror.url("gone"), mirror.url("lie"), sha="0" * 64)
    of_urls(tmp_path / "recipes", mirror.url("good"), name="q")
    ran = fetch(tmp_path, "p", "q")
    assert (ran.code, ran.out) == (1, "")
    lines = [line for line in ran.err.splitlines() if not line.startswith("fetching")]
    assert lines[0] == "error: 1 source could not be fetched"
    assert lines[1] == f"  p: {mirror.url('gone')}: 404 Not Found"
    assert lines[2].startswith(f"  p: {mirror.url('lie')}: gives another file: its SHA-256 is ")
    assert lines[3].startswith("hint: --distfiles DIR")
    assert (cache / "distfiles" / SHA / "p-1.tar.gz").exists()


def test_offline_it_asks_nobody_and_says_so(cache: Path, mirror: Mirror, tmp_path: Path) -> None:
    of_urls(tmp_path / "recipes", mirror.url("good"))
    ran = fetch(tmp_path, "p", "--offline")
    assert f"  p: {mirror.url('good')}: not fetched before, and --offline" in ran.err.splitlines()
    (tmp_path / "files").mkdir()
    (tmp_path / "files/p-1.tar.gz").write_bytes(DATA)
    assert fetch(tmp_path, "p", "--offline", "--distfiles", str(tmp_path / "files")).out.startswith("p  1  p-1.tar.gz")
    Path("shipway.toml").write_text(f'distfiles = ["{tmp_path}/files"]\n')
    assert "distfiles" in fetch(tmp_path, "p", "--offline").out
    assert mirror.asked == []


def test_what_a_package_needs_comes_with_it_if_asked_for(cache: Path, mirror: Mirror, tmp_path: Path) -> None:
    source = f'[[source]]\nurl = "{mirror.url("good")}"\nsha256 = "{SHA}"\n'
    recipe(tmp_path / "recipes", f'{source}[dependencies]\nbuild = ["q"]\n', "p")
    recipe(tmp_path / "recipes", f'{source}[dependencies]\nrun = ["r"]\n', "q")
    recipe(tmp_path / "recipes", source, "r")
    assert [line.split()[0] for line in fetch(tmp_path, "p").out.splitlines()] == ["p", "1"]
    assert [line.split()[0] for line in fetch(tmp_path, "p", "--deps").out.splitlines()] == ["p", "q", "r", "3"]


@pytest.mark.parametrize("words", [(), ("p", "--all")])
def test_it_wants_names_or_all(words: tuple[str, ...], cache: Path, tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    ran = fetch(tmp_path, *words)
    assert (ran.code, ran.err) == (2, "error: name packages, or say --all\n")


def test_without_a_cache_it_says_what_to_set(tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    of_urls(tmp_path / "recipes", mirror.url("good"))
    ran = fetch(tmp_path, "p")
    assert ran.code == 2
    assert ran.err == "error: there is no directory for a cache\nhint: say where with the variable SHIPWAY_CACHE\n"


def test_a_cache_that_cannot_be_written_is_one_line(
    tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHIPWAY_CACHE", "/proc/self/cache")
    of_urls(tmp_path / "recipes", mirror.url("good"))
    ran = fetch(tmp_path, "p")
    assert ran.code == 1
    assert ran.err.startswith("error: /proc/self/cache")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_at_once_and_goes_on_later(
    number: int, cache: Path, mirror: Mirror, tmp_path: Path
) -> None:
    of_urls(tmp_path / "recipes", mirror.url("middle"))
    words = command("fetch", "--recipes", str(tmp_path / "recipes"), "--timeout", "60", "p")
    process = subprocess.Popen(words, env=environment(SHIPWAY_CACHE=str(cache)), stderr=subprocess.PIPE, text=True)
    part = cache / "distfiles" / SHA / "p-1.tar.gz.part"
    deadline = time.monotonic() + 20
    while not (part.exists() and part.stat().st_size == 100_000):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    sent = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert time.monotonic() - sent < 8
    assert process.returncode == 130
    assert err.splitlines()[-1] == "error: interrupted; what was fetched is kept, and gone on with next time"
    of_urls(tmp_path / "recipes", mirror.url("good"))
    assert fetch(tmp_path, "p").code == 0
    assert mirror.asked[-1][1] == "bytes=100000-"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 KiB."""
    at = tmp_path / "small"
    at.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(at)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("mounts a small disk")
    yield at
    subprocess.run(["umount", str(at)], check=True)


def test_a_full_disk_is_nobody_else_s_fault(
    small_disk: Path, mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHIPWAY_CACHE", str(small_disk / "cache"))
    of_urls(tmp_path / "recipes", mirror.url("good"), mirror.url("whole"))
    ran = fetch(tmp_path, "p")
    assert ran.code == 1
    assert "error: No space left on device\nhint: the disk is full" in ran.err
    assert len(mirror.asked) == 1
    monkeypatch.setenv("SHIPWAY_CACHE", str(tmp_path / "roomy"))
    assert fetch(tmp_path, "p").code == 0

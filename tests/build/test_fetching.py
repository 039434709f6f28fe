"""Fetching from mirrors that are good, and from those that are not."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shipway.build.fetching import Fetched, Harvest, Options, fetch
from shipway.build.recipe_file import Found
from shipway.fs.system import FileSystem
from shipway.model.event import Event
from tests.build.mirrors import DATA, SHA, Mirror, of_urls, recipe
from tests.cli.shop import environment
from tests.fs.apart import fork

QUICK = 0.6


@contextmanager
def closed_port() -> Iterator[str]:
    """The address of a port that nobody listens at."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


class Fetch:
    """Fetch with little patience, and remember what was heard."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self.heard: list[Event] = []

    def __call__(self, *founds: Found, offline: bool = False, distfiles: tuple[str, ...] = ()) -> Harvest:
        options = Options(str(self.cache), distfiles, offline, timeout=QUICK)
        return fetch(FileSystem(), founds, options, self.heard.append)

    def one(self, found: Found) -> Fetched:
        harvest = self(found)
        assert harvest.failures == ()
        return harvest.files[0][1][0]

    def told(self, kind: str) -> list[str]:
        return [event.text for event in self.heard if event.kind == kind]

    def part(self, name: str = "p-1.tar.gz") -> Path:
        return self.cache / "distfiles" / SHA / f"{name}.part"

    def begin(self, data: bytes) -> None:
        """What an earlier process left."""
        self.part().parent.mkdir(parents=True)
        self.part().write_bytes(data)


@pytest.fixture
def fetching(cache: Path) -> Fetch:
    return Fetch(cache)


@pytest.mark.parametrize("way", ["good", "whole", "unknown", "chunks", "moved", "breaks", "more"])
def test_what_comes_in_some_way_is_there_under_its_digest(
    way: str, fetching: Fetch, mirror: Mirror, tmp_path: Path
) -> None:
    found = fetching.one(of_urls(tmp_path, mirror.url(way)))
    assert found.origin == "url"
    assert Path(found.path) == fetching.cache / "distfiles" / SHA / "p-1.tar.gz"
    assert Path(found.path).read_bytes() == DATA
    assert [path.name for path in Path(found.path).parent.iterdir()] == ["p-1.tar.gz"]


BAD = {
    "stall": "it does not answer",
    "middle": "it does not answer",
    "drip": r"it sent \d+ bytes in \d+ s",
    "driphead": "it does not answer",
    "truncate": "the connection ended after 100000 of 512000 bytes",
    "cutchunks": "the connection ended before all had come",
    "less": "gives another file: its SHA-256 is",
    "lie": f"gives another file: its SHA-256 is [0-9a-f]+, not {SHA}",
    "welcome": r"gives another file \(a web page, it seems\)",
    "loop": "redirects for ever",
    "itself": "redirects for ever",
    "tofile": "redirects to where nobody can follow",
    "busy": "503 Service Unavailable",
    "gone": "404 Not Found",
    "ssh": "SSH-2.0",
}


@pytest.mark.parametrize("way", BAD)
def test_a_mirror_that_misbehaves_costs_little_and_the_next_one_serves(
    way: str, fetching: Fetch, mirror: Mirror, tmp_path: Path
) -> None:
    began = time.monotonic()
    found = fetching.one(of_urls(tmp_path, mirror.url(way), mirror.url("whole")))
    assert Path(found.path).read_bytes() == DATA
    assert time.monotonic() - began < 8


@pytest.mark.parametrize("way", BAD)
def test_a_mirror_that_misbehaves_alone_is_one_line(way: str, fetching: Fetch, mirror: Mirror, tmp_path: Path) -> None:
    (failure,) = fetching(of_urls(tmp_path, mirror.url(way))).failures
    assert failure.startswith(f"p: {mirror.url(way)}: ")
    assert re.search(BAD[way], failure)
    assert not (fetching.cache / "distfiles" / SHA / "p-1.tar.gz").exists()


@pytest.mark.parametrize("way", ["good", "whole", "elsewhere", "lieresumed", "breaks"])
@pytest.mark.parametrize("size", [1, 1000, len(DATA) - 1, len(DATA), len(DATA) + 10])
def test_what_was_begun_is_finished(way: str, size: int, fetching: Fetch, mirror: Mirror, tmp_path: Path) -> None:
    fetching.begin((DATA + b"x" * 10)[:size])
    assert Path(fetching.one(of_urls(tmp_path, mirror.url(way))).path).read_bytes() == DATA


def test_only_what_is_missing_is_asked_for(fetching: Fetch, mirror: Mirror, tmp_path: Path) -> None:
    fetching.begin(DATA[:1000])
    fetching.one(of_urls(tmp_path, mirror.url("good")))
    assert mirror.asked == [("/good/p-1.tar.gz", "bytes=1000-")]


def test_what_was_begun_wrongly_is_fetched_whole(fetching: Fetch, mirror: Mirror, tmp_path: Path) -> None:
    fetching.begin(b"?" * 1000)
    fetching.one(of_urls(tmp_path, mirror.url("good")))
    assert [part for _, part in mirror.asked] == ["bytes=1000-", ""]


def test_one_mirror_goes_on_where_another_stopped(fetching: Fetch, mirror: Mirror, tmp_path: Path) -> None:
    fetching.one(of_urls(tmp_path, mirror.url("middle"), mirror.url("good")))
    assert mirror.asked[-1] == ("/good/p-1.tar.gz", "bytes=100000-")


def test_the_second_time_nobody_is_asked(fetching: Fetch, mirror: Mirror, tmp_path: Path) -> None:
    found = of_urls(tmp_path, mirror.url("good"))
    fetching.one(found)
    assert fetching.one(found).origin == "cache"
    assert len(mirror.asked) == 1


def test_a_file_of_the_cache_that_was_damaged_is_fetched_anew(fetching: Fetch, mirror: Mirror, tmp_path: Path) -> None:
    found = of_urls(tmp_path, mirror.url("good"))
    Path(fetching.one(found).path).write_bytes(b"?")
    assert Path(fetching.one(found).path).read_bytes() == DATA


def test_a_host_that_does_not_answer_is_asked_once(fetching: Fetch, mirror: Mirror, tmp_path: Path) -> None:
    with closed_port() as silent:
        founds = [of_urls(tmp_path, f"{silent}/{n}.tgz", mirror.url("good"), name=n) for n in ("a", "b", "c")]
        assert fetching(*(found for found in founds)).failures == ()
        harvest = fetching(of_urls(tmp_path, f"{silent}/1", f"{silent}/2", sha="0" * 64))
    assert [line.rpartition(": ")[2] for line in harvest.failures] == ["Connection refused"] * 2


def test_a_host_that_says_nothing_is_given_two_chances(fetching: Fetch, mirror: Mirror, tmp_path: Path) -> None:
    sources = "".join(
        f'[[source]]\ndirectory = "{n}"\nurl = "{mirror.url("stall", str(n))}"\nsha256 = "{str(n) * 64}"\n'
        for n in range(10)
    )
    harvest = fetching(recipe(tmp_path, sources))
    assert len(harvest.failures) == 10
    assert 2 <= len(mirror.asked) <= 5  # four are asked at once


@pytest.mark.parametrize("name", ["../../../up-1.tar.gz", "/etc/up-1.tar.gz", ".hidden", "x" * 300, "ä b"])
def test_a_name_stays_in_the_cache(name: str, fetching: Fetch, mirror: Mirror, tmp_path: Path) -> None:
    text = f'[[source]]\nurl = "{mirror.url("good")}"\nfile = "{name}"\nsha256 = "{SHA}"\n'
    assert Path(fetching.one(recipe(tmp_path, text)).path).parent == fetching.cache / "distfiles" / SHA


def test_a_name_that_is_nobody_s_is_no_wait(fetching: Fetch, mirror: Mirror, tmp_path: Path) -> None:
    began = time.monotonic()
    fetching.one(of_urls(tmp_path, "http://nobody.invalid/p-1.tar.gz", mirror.url("good")))
    assert time.monotonic() - began < 5


def test_alternatives_come_after_all_mirrors(fetching: Fetch, mirror: Mirror, tmp_path: Path) -> None:
    text = f"""
[[source]]
url = "{mirror.url("gone")}"
sha256 = "{"0" * 64}"
[[source.alternatives]]
url = "{mirror.url("good", "other.tgz")}"
sha256 = "{SHA}"
"""
    found = fetching.one(recipe(tmp_path, text))
    assert found.place is found.source.alternatives[0]
    assert [path for path, _ in mirror.asked] == ["/gone/p-1.tar.gz", "/good/other.tgz"]


def test_one_that_fails_keeps_no_other_from_coming(fetching: Fetch, mirror: Mirror, tmp_path: Path) -> None:
    bad = of_urls(tmp_path, mirror.url("gone", "bad-1.tgz"), sha="1" * 64, name="bad")
    harvest = fetching(bad, of_urls(tmp_path, mirror.url("good")))
    assert [line.partition(":")[0] for line in harvest.failures] == ["bad"]
    assert [len(files) for _, files in harvest.files] == [0, 1]


def test_a_file_address_is_a_place_too(fetching: Fetch, tmp_path: Path) -> None:
    (tmp_path / "p-1.tar.gz").write_bytes(DATA)
    assert Path(fetching.one(of_urls(tmp_path, f"file://{tmp_path}/p-1.tar.gz")).path).read_bytes() == DATA
    (failure,) = fetching(of_urls(tmp_path, f"file://{tmp_path}/none", sha="0" * 64)).failures
    assert "No such file" in failure


@pytest.mark.parametrize("url", ["gopher://x/y", "p-1.tar.gz", "data:,x"])
def test_other_addresses_are_refused(url: str, fetching: Fetch, tmp_path: Path) -> None:
    (failure,) = fetching(of_urls(tmp_path, url)).failures
    assert "scheme are not understood" in failure


# -- without a network -----------------------------------------------------------------------------------------------------


def test_offline_nobody_is_asked(fetching: Fetch, mirror: Mirror, tmp_path: Path) -> None:
    (failure,) = fetching(of_urls(tmp_path, mirror.url("good")), offline=True).failures
    assert failure.endswith("not fetched before, and --offline")
    assert mirror.asked == []


def test_offline_what_was_fetched_serves(fetching: Fetch, mirror: Mirror, tmp_path: Path) -> None:
    found = of_urls(tmp_path, mirror.url("good"))
    fetching.one(found)
    assert fetching(found, offline=True).files[0][1][0].origin == "cache"


def test_offline_a_file_address_serves(fetching: Fetch, tmp_path: Path) -> None:
    (tmp_path / "p-1.tar.gz").write_bytes(DATA)
    found = of_urls(tmp_path, f"file://{tmp_path}/p-1.tar.gz")
    assert fetching(found, offline=True).failures == ()


def test_distfiles_serve_first_and_wrong_ones_are_told_and_stay(
    fetching: Fetch, mirror: Mirror, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    (one / "p-1.tar.gz").write_bytes(b"wrong")
    found = of_urls(tmp_path, mirror.url("good"))
    assert fetching(found, distfiles=(str(one),)).files[0][1][0].origin == "url"
    assert fetching.told("note") == [f"{one}/p-1.tar.gz is not what the recipe asks for: it has another SHA-256"]
    (two / "p-1.tar.gz").write_bytes(DATA)
    taken = fetching(found, distfiles=(str(one), str(two))).files[0][1][0]
    assert (taken.origin, taken.path) == ("distfiles", f"{two}/p-1.tar.gz")
    assert (one / "p-1.tar.gz").read_bytes() == b"wrong"


def test_a_directory_beside_the_recipe_is_a_source(fetching: Fetch, tmp_path: Path) -> None:
    (tmp_path / "p/tree").mkdir(parents=True)
    found = fetching.one(recipe(tmp_path, '[[source]]\npath = "tree"\n'))
    assert (found.origin, found.path) == ("path", f"{tmp_path}/p/tree")
    (failure,) = fetching(recipe(tmp_path, '[[source]]\npath = "none"\n')).failures
    assert "there is no such directory" in failure


# -- several processes -----------------------------------------------------------------------------------------------------

PROGRAM = """
import sys
from shipway.build.fetching import Options, fetch
from shipway.build.recipe_file import load
from shipway.fs.system import FileSystem
def hear(event):
    if event.kind == "progress":
        print("begun", flush=True)
(_, files), = fetch(FileSystem(), [load(sys.argv[2])], Options(sys.argv[1], timeout=5), hear).files
print(files[0].origin, files[0].path)
"""


def start(cache: Path, found: Found) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", PROGRAM, str(cache), found.directory]
    return subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_fetch_one_file_once(cache: Path, mirror: Mirror, tmp_path: Path) -> None:
    found = of_urls(tmp_path, mirror.url("slow"))
    running = [start(cache, found) for _ in range(3)]
    answers = [process.communicate(timeout=30) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], answers
    assert {out.splitlines()[-1].split()[1] for out, _ in answers} == {f"{cache}/distfiles/{SHA}/p-1.tar.gz"}
    assert len(mirror.asked) == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_who_is_killed_in_the_middle_leaves_what_the_next_one_resumes(
    number: int, cache: Path, mirror: Mirror, tmp_path: Path
) -> None:
    found = of_urls(tmp_path, mirror.url("slow"))
    process = start(cache, found)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(number)
    process.communicate(timeout=10)
    left = sorted(path.name for path in (cache / "distfiles" / SHA).iterdir())
    assert left == ["p-1.tar.gz.part"]
    size = (cache / "distfiles" / SHA / "p-1.tar.gz.part").stat().st_size
    assert 0 < size < len(DATA)
    harvest = fetch(FileSystem(), [found], Options(str(cache)))
    assert Path(harvest.files[0][1][0].path).read_bytes() == DATA
    assert mirror.asked[-1][1] == f"bytes={size}-"


def test_who_waits_goes_on_when_the_first_is_killed(cache: Path, mirror: Mirror, tmp_path: Path) -> None:
    found = of_urls(tmp_path, mirror.url("slow"))
    first = start(cache, found)
    assert first.stdout is not None
    first.stdout.readline()
    second = start(cache, found)
    time.sleep(0.3)
    first.kill()
    first.communicate()
    out, err = second.communicate(timeout=20)
    assert second.returncode == 0, err
    assert mirror.asked[-1][1].startswith("bytes=")
    assert out.splitlines()[-1].startswith("url ")


class _Dying(FileSystem):
    """Ends the process before its k-th change of the disk."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self.left = left

    def step(self, operation: str, path: str) -> None:
        self.left -= 1
        if self.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("way", ["good", "lie", "breaks"])
def test_killed_before_any_change_of_the_disk_the_next_one_finishes(
    way: str, cache: Path, mirror: Mirror, tmp_path: Path
) -> None:
    found = of_urls(tmp_path, mirror.url(way), mirror.url("good"))
    for number in range(100):
        place = str(cache / str(number))
        pid = fork()
        if pid == 0:
            fetch(_Dying(number), [found], Options(place, timeout=QUICK))
            os._exit(0)
        killed = os.WIFSIGNALED(os.waitpid(pid, 0)[1])
        (_, (file,)) = fetch(FileSystem(), [found], Options(place, timeout=QUICK)).files[0]
        assert Path(file.path).read_bytes() == DATA
        assert os.listdir(os.path.dirname(file.path)) == ["p-1.tar.gz"]
        if not killed:
            assert number > 5
            break
    else:
        pytest.fail("it never came to an end")

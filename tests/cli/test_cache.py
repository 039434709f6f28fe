"""`shipway cache`: where it is, what it holds, and making it smaller."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from shipway.fs.lock import FileLock
from shipway.fs.system import FileSystem
from shipway.model.entry import DIRECTORY, FILE, Entry, manifest_of
from shipway.store.depot import Depot, Kept
from tests.cli.shop import plain

MIB = 1 << 20


@pytest.fixture
def depot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Depot:
    """Three images of 1 MiB; the first was used longest ago, the last is linked somewhere."""
    monkeypatch.setenv("SHIPWAY_CACHE", str(tmp_path / "cache"))
    depot = Depot(FileSystem(), str(tmp_path / "cache"))
    for number in range(3):
        add(depot, f"image{number}", number)
    os.link(tmp_path / "cache/images/image2/tree/pkg/file", tmp_path / "linked")
    return depot


def add(depot: Depot, key: str, used: int) -> None:
    data = key.encode() * (MIB // len(key)) + bytes(MIB % len(key))
    with depot.workshop() as place:
        tree = Path(place, key, "tree")
        (tree / "pkg").mkdir(parents=True)
        (tree / "pkg/file").write_bytes(data)
        status = (tree / "pkg/file").stat()
        entry = Entry("file", FILE, status.st_mode & 0o777, MIB, status.st_mtime_ns, hashlib.sha256(data).hexdigest())
        mode = (tree / "pkg").stat().st_mode & 0o777
        manifest = manifest_of({"": [Entry("pkg", DIRECTORY, mode)], "pkg": [entry]})
        kept = Kept(str(tree), manifest, {})
        depot.describe(f"{place}/{key}", kept)
        depot.keep(key, f"{place}/{key}", kept)
    os.utime(f"{depot.place(key)}/manifest", (used, used))


def keys(depot: Depot) -> list[str]:
    return sorted(os.listdir(depot.images))


def test_it_says_where_it_is(depot: Depot) -> None:
    assert plain("cache", "dir").out == f"{depot.directory}\n"


def test_it_says_what_it_holds(depot: Depot) -> None:
    assert plain("cache").out == f"3 images, 3.0 MiB, 2.0 MiB of it shared by no prefix, in {depot.directory}\n"
    sizes = {"images": 3, "bytes": 3 * MIB, "unshared": 2 * MIB, "removed": 0}
    nothing = {"count": 0, "bytes": 0, "removed": 0}
    assert plain("--json", "cache").json == {"directory": depot.directory, **sizes, "sources": nothing}


def test_what_was_used_longest_ago_goes_first(depot: Depot) -> None:
    assert plain("cache", "prune", "--keep", "1").out.startswith("1 image removed, 1.0 MiB freed\n2 images, 2.0 MiB")
    assert keys(depot) == ["image1", "image2"]


def test_what_a_prefix_shares_stays_for_it_takes_no_room(depot: Depot) -> None:
    plain("cache", "prune", "--keep", "0")
    assert keys(depot) == ["image2"]


def test_what_was_not_used_for_days_goes_all_the_same(depot: Depot) -> None:
    os.utime(f"{depot.place('image1')}/manifest")
    plain("cache", "prune", "--days", "1")
    assert keys(depot) == ["image1"]


def test_what_is_damaged_goes_and_is_named(depot: Depot) -> None:
    Path(depot.place("image1"), "tree/pkg/file").write_bytes(b"edited")
    ran = plain("cache", "prune")
    assert "image1 was damaged" in ran.err
    assert keys(depot) == ["image0", "image2"]


def test_damage_that_size_and_time_do_not_show_is_found_by_content(depot: Depot) -> None:
    path = Path(depot.place("image1"), "tree/pkg/file")
    time = path.stat().st_mtime_ns
    with path.open("r+") as file:
        file.write("IMAGE1")
    os.utime(path, ns=(time, time))
    plain("cache", "prune")
    assert keys(depot) == ["image0", "image1", "image2"]
    plain("cache", "prune", "--thorough")
    assert keys(depot) == ["image0", "image2"]


def test_there_need_be_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHIPWAY_CACHE", str(tmp_path / "none"))
    assert plain("cache", "prune").out == (
        f"0 images removed, 0 bytes freed\n0 images, 0 bytes, 0 bytes of it shared by no prefix, in {tmp_path}/none\n"
    )


# -- sources of builds -------------------------------------------------------------------------------------------------------


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three archives of 1 MiB, the first used longest ago, a begun one, and the lists of a distribution."""
    monkeypatch.setenv("SHIPWAY_CACHE", str(tmp_path / "cache"))
    place = tmp_path / "cache/distfiles"
    (place / "locks").mkdir(parents=True)
    for number in range(3):
        data = bytes([number]) * MIB
        file = place / hashlib.sha256(data).hexdigest() / f"p-{number}.tar.gz"
        file.parent.mkdir()
        file.write_bytes(data)
        os.utime(file, (number, number))
    (place / ("1" * 64)).mkdir()
    (place / ("1" * 64) / "q-1.tar.gz.part").write_bytes(b"begun")
    (tmp_path / "cache/apt/lists").mkdir(parents=True)
    (tmp_path / "cache/apt/lists/x_Sources").write_bytes(b"y" * 4096)
    return place


def archives(place: Path) -> list[str]:
    return sorted(path.name for path in place.glob("*/*.gz"))


def test_sources_of_builds_are_told_beside(sources: Path) -> None:
    assert plain("cache").out.splitlines()[1] == "5 sources of builds, 3.0 MiB"
    assert plain("--json", "cache").json["sources"] == {"count": 5, "bytes": 3 * MIB + 8192, "removed": 0}


def test_sources_that_were_used_longest_ago_go_first(sources: Path) -> None:
    assert plain("cache", "prune", "--keep", "2").out.splitlines()[2:] == [
        "2 sources of builds removed, 2.0 MiB freed",
        "3 sources of builds, 1.0 MiB",
    ]
    assert archives(sources) == ["p-2.tar.gz"]
    assert plain("cache", "prune", "--keep", "0").code == 0
    assert not list(sources.glob("*/*"))


def test_sources_that_were_not_used_for_days_go(sources: Path) -> None:
    plain("cache", "prune", "--days", "30")
    assert archives(sources) == []
    assert (sources / ("1" * 64) / "q-1.tar.gz.part").exists()


def test_damaged_sources_go_if_they_are_read(sources: Path) -> None:
    (file,) = sources.glob("*/p-1.tar.gz")
    file.write_bytes(b"other")
    plain("cache", "prune")
    assert file.exists()
    assert "p-1.tar.gz was damaged" in plain("cache", "prune", "--thorough").err
    assert archives(sources) == ["p-0.tar.gz", "p-2.tar.gz"]


def test_what_is_being_fetched_stays(sources: Path) -> None:
    with FileLock(str(sources / "locks" / ("1" * 64))):
        plain("cache", "prune", "--keep", "0")
        assert (sources / ("1" * 64) / "q-1.tar.gz.part").exists()
    plain("cache", "prune", "--keep", "0")
    assert not (sources / ("1" * 64)).exists()


def test_what_killed_processes_left_goes_after_a_day(sources: Path) -> None:
    for name, age in (("old", 90_000), ("new", 10)):
        (sources / f".shipway-{name}").mkdir()
        os.utime(sources / f".shipway-{name}", (time.time() - age,) * 2)
    plain("cache", "prune")
    assert [path.name for path in sources.glob(".shipway*")] == [".shipway-new"]

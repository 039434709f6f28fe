"""`shipway cache`: where it is, what it holds, and making it smaller."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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
    import hashlib

    data = key.encode() * (MIB // len(key)) + bytes(MIB % len(key))
    with depot.workshop() as place:
        tree = Path(place, key, "tree")
        (tree / "pkg").mkdir(parents=True)
        (tree / "pkg/file").write_bytes(data)
        status = (tree / "pkg/file").stat()
        entry = Entry("file", FILE, status.st_mode & 0o777, MIB, status.st_mtime_ns, hashlib.sha256(data).hexdigest())
        mode = (tree / "pkg").stat().st_mode & 0o777
        manifest = manifest_of({"": [Entry("pkg", DIRECTORY, mode)], "pkg": [entry]})
        depot.keep(key, f"{place}/{key}", Kept(str(tree), manifest, {}))
    os.utime(f"{depot.place(key)}/manifest", (used, used))


def keys(depot: Depot) -> list[str]:
    return sorted(os.listdir(depot.images))


def test_it_says_where_it_is(depot: Depot) -> None:
    assert plain("cache", "dir").out == f"{depot.directory}\n"


def test_it_says_what_it_holds(depot: Depot) -> None:
    assert plain("cache").out == f"3 images, 3.0 MiB, 2.0 MiB of it shared by no prefix, in {depot.directory}\n"
    sizes = {"images": 3, "bytes": 3 * MIB, "unshared": 2 * MIB, "removed": 0}
    assert plain("--json", "cache").json == {"directory": depot.directory, **sizes}


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

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path

import pytest

from shipway.errors import ShipwayError
from shipway.model.entry import Manifest, manifest_of
from shipway.store.request import Dropped
from shipway.store.seal import SealRequest, scan
from tests.store.trees import SECOND, TIME, Sealer, lay, seen


def paths(manifest: Manifest) -> list[str]:
    return [path for path, _ in manifest.walk()]


def problems(sealer: Sealer, **wishes: object) -> list[str]:
    with pytest.raises(ShipwayError) as caught:
        sealer.scan(**wishes)
    return list(caught.value.details)


def test_a_manifest_says_what_is_there(sealer: Sealer) -> None:
    lay(sealer.stage, {"bin/run": "#!x", "bin/also": "-> run", "share/empty": None, "lib/a": b"\0" * 100_000})
    os.chmod(f"{sealer.stage}/bin/run", 0o4751)
    os.chmod(f"{sealer.stage}/share/empty", 0o2770)
    os.utime(f"{sealer.stage}/bin/also", ns=(TIME, TIME + 1), follow_symlinks=False)
    scanned = sealer.scan()
    manifest = scanned.manifest
    assert paths(manifest) == ["bin", "bin/also", "bin/run", "lib", "lib/a", "share", "share/empty"]
    run, also, empty = (manifest.entry(path) for path in ("bin/run", "bin/also", "share/empty"))
    assert run is not None and also is not None and empty is not None
    assert (run.kind, run.mode, run.size, run.mtime) == ("f", 0o4751, 3, TIME)
    assert run.digest == hashlib.sha256(b"#!x").hexdigest()
    assert (also.kind, also.target, also.mtime) == ("l", "run", TIME + 1)
    assert (empty.kind, empty.mode) == ("d", 0o2770)
    assert manifest.entry("lib/a").digest == hashlib.sha256(b"\0" * 100_000).hexdigest()  # type: ignore[union-attr]
    assert scanned.bytes == 100_003


def test_scanning_changes_nothing(sealer: Sealer) -> None:
    lay(sealer.stage, {"lib/x.py": "1", "lib/x.pyc": "2", "lib/libx.la": "3", "share/info/dir": "4"})
    before = seen(sealer.stage)
    sealer.scan()
    assert seen(sealer.stage) == before


def test_the_manifest_is_that_of_its_own_listings(sealer: Sealer) -> None:
    lay(sealer.stage, {"a/b/c": "1", "a/d": "-> b", "e": None})
    manifest = sealer.scan().manifest
    assert manifest == manifest_of({path: each.entries.values() for path, each in manifest.directories.items()})


def test_names_may_hold_anything(sealer: Sealer) -> None:
    odd = ["a b", "new\nline", os.fsdecode(b"\xff\xfe"), "-> x", "ünï", "'\"", "\x01"]
    lay(sealer.stage, {"d/keep": "1"})
    for name in odd:
        Path(sealer.stage, name).write_text(name, errors="surrogateescape")
        Path(sealer.stage, "d", name).symlink_to(name)
    manifest = sealer.scan().manifest
    assert set(manifest.directories[""].entries) == {*odd, "d"}
    assert {entry.target for entry in manifest.directories["d"].entries.values()} == {*odd, ""}


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_the_number_of_processes_makes_no_difference(sealer: Sealer, jobs: int) -> None:
    lay(sealer.stage, {f"d{n % 7}/{n}.py": f"{n}" * n for n in range(700)})
    os.link(f"{sealer.stage}/d0/0.py", f"{sealer.stage}/d1/other")
    assert pickle.dumps(sealer.scan(jobs=jobs).manifest) == pickle.dumps(sealer.scan().manifest)


# -- hard links ------------------------------------------------------------------------------------------------------


def test_hard_links_are_groups_numbered_by_their_first_path(sealer: Sealer) -> None:
    lay(sealer.stage, {"z/1": "one", "b/2": "two", "c": "three"})
    os.link(f"{sealer.stage}/z/1", f"{sealer.stage}/z/0")
    os.link(f"{sealer.stage}/b/2", f"{sealer.stage}/a")
    scanned = sealer.scan()
    groups = {path: entry.group for path, entry in scanned.manifest.files()}
    assert groups == {"a": 1, "b/2": 1, "c": 0, "z/0": 2, "z/1": 2}
    assert scanned.bytes == 11


def test_a_link_from_outside_the_tree_is_no_group(sealer: Sealer) -> None:
    lay(sealer.stage, {"a": "one"})
    os.link(f"{sealer.stage}/a", f"{sealer.area}/outside")
    assert sealer.scan().manifest.entry("a").group == 0  # type: ignore[union-attr]


# -- what is left out ------------------------------------------------------------------------------------------------


def test_bytecode_whose_source_is_in_the_tree_is_dropped_in_both_layouts(sealer: Sealer) -> None:
    kept = {"p/a.py": "1", "p/only.pyc": "2", "p/__pycache__/alone.cpython-311.pyc": "3", "p/data.nbi": "4"}
    dropped = [
        "p/a.pyc",
        "p/a.pyo",
        "p/__pycache__/a.cpython-311.pyc",
        "p/__pycache__/a.cpython-311.opt-1.pyc",
        "p/__pycache__/a.cpython-311-pytest-8.0.0.pyc",
        "p/__pycache__/a.cpython-311.pyc.140234",
        "p/__pycache__/a.f-1.py311.nbi",
    ]
    lay(sealer.stage, {**kept, **dict.fromkeys(dropped, "x")})
    scanned = sealer.scan()
    assert {path for path, _ in scanned.manifest.files()} == set(kept)
    assert set(scanned.dropped) == {Dropped(path, "bytecode") for path in dropped}


def test_a_cache_directory_that_becomes_empty_is_dropped_too(sealer: Sealer) -> None:
    lay(sealer.stage, {"p/a.py": "1", "p/__pycache__/a.cpython-311.pyc": "2", "q/__pycache__": None, "r": None})
    assert paths(sealer.scan().manifest) == ["p", "p/a.py", "q", "r"]


def test_libtool_archives_directly_in_the_library_directory_are_dropped_unless_wanted(sealer: Sealer) -> None:
    lay(sealer.stage, {"lib/libx.la": "1", "lib/sub/liby.la": "2", "lib64/libz.la": "3", "share/q.la": "4"})
    scanned = sealer.scan()
    assert scanned.dropped == (Dropped("lib/libx.la", "libtool archive"), Dropped("lib64/libz.la", "libtool archive"))
    assert sealer.scan(keep_libtool=True).dropped == ()


def test_generated_files_are_left_out(sealer: Sealer) -> None:
    lay(sealer.stage, {"share/info/dir": "1", "share/info/x.info": "2", "share/other/dir": "3"})
    scanned = sealer.scan()
    assert scanned.dropped == (Dropped("share/info/dir", "generated"),)
    assert [path for path, _ in scanned.manifest.files()] == ["share/info/x.info", "share/other/dir"]


# -- the stage's paths -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 60_000, 300_000, (1 << 18) - 20])
def test_text_that_names_the_stage_is_told_wherever_it_does(sealer: Sealer, size: int) -> None:
    stage = "/build/stage/inst"
    text = "x" * size + f"prefix={stage}\n" + "y" * 100
    lay(sealer.stage, {"a": text, "b": text.replace("inst", "Inst"), "c": b"\0" + text.encode()})
    scanned = sealer.scan(stage_paths=("/other", stage))
    assert [(each.path, each.text) for each in scanned.warnings] == [("a", "names the stage in its text")]


def test_symlinks_into_the_stage_are_a_problem_others_are_not(sealer: Sealer) -> None:
    links = {"a": "-> /stage", "b": "-> /stage/lib/x", "c": "-> /stages", "d": "-> lib", "e": "-> /usr/lib"}
    lay(sealer.stage, links)
    found = problems(sealer, stage_paths=("/stage/",))
    assert found == ["a: points into the stage: /stage", "b: points into the stage: /stage/lib/x"]


# -- problems --------------------------------------------------------------------------------------------------------


def test_the_state_directory_belongs_to_shipway(sealer: Sealer) -> None:
    lay(sealer.stage, {"var/lib/shipway/state.sqlite": "1", "var/lib/shipway2": "2"})
    assert problems(sealer) == ["var/lib/shipway: belongs to Shipway itself"]


def test_nor_may_it_be_a_file_or_a_symlink(sealer: Sealer) -> None:
    lay(sealer.stage, {"var/lib/shipway": "-> /elsewhere"})
    assert problems(sealer) == ["var/lib/shipway: belongs to Shipway itself"]


def test_a_source_that_is_no_directory_is_a_problem(sealer: Sealer) -> None:
    lay(sealer.area, {"real/a": "1", "stage": "-> real"})
    assert problems(sealer) == [".: cannot be read: Not a directory"]


# -- redirects -------------------------------------------------------------------------------------------------------


def test_a_redirected_directory_lies_elsewhere_in_the_manifest(sealer: Sealer) -> None:
    lay(sealer.stage, {"lib/a": "1", "lib64/b": "2", "lib64/sub/c": "3", "lib64/l": "-> b"})
    manifest = sealer.scan(redirects={"lib64": "lib"}).manifest
    assert paths(manifest) == ["lib", "lib/a", "lib/b", "lib/l", "lib/sub", "lib/sub/c"]


def test_directories_that_only_a_redirection_needs_are_there(sealer: Sealer) -> None:
    lay(sealer.stage, {"lib64/b": "2"})
    manifest = sealer.scan(redirects={"lib64": "usr/lib"}).manifest
    assert paths(manifest) == ["usr", "usr/lib", "usr/lib/b"]
    assert manifest.entry("usr").mode == 0o755  # type: ignore[union-attr]


def test_redirections_within_redirected_directories_are_followed(sealer: Sealer) -> None:
    lay(sealer.stage, {"lib64/python/x": "1"})
    expected = ["lib", "lib/py3", "lib/py3/x"]
    assert paths(sealer.scan(redirects={"lib64": "lib", "lib/python": "lib/py3"}).manifest) == expected
    assert paths(sealer.scan(redirects={"lib64": "lib", "lib64/python": "lib/py3"}).manifest) == expected


def test_a_directory_may_be_redirected_to_the_root(sealer: Sealer) -> None:
    lay(sealer.stage, {"usr/bin/x": "1", "bin/y": "2"})
    assert paths(sealer.scan(redirects={"usr": ""}).manifest) == ["bin", "bin/x", "bin/y"]


def test_the_same_file_twice_is_one_and_a_differing_one_a_problem(sealer: Sealer) -> None:
    lay(sealer.stage, {"lib/a": "1", "lib64/a": "1", "lib64/b": "2"})
    scanned = sealer.scan(redirects={"lib64": "lib"})
    assert scanned.dropped == (Dropped("lib64/a", "duplicate"),)
    lay(sealer.stage, {"lib/b": "other", "lib/c": None, "lib64/c": "file"})
    assert problems(sealer, redirects={"lib64": "lib"}) == [
        "lib64/b: goes to lib/b, where the file lib/b differs",
        "lib64/c: goes to lib/c, where the directory lib/c differs",
    ]


def test_nothing_may_lie_where_a_redirection_starts(sealer: Sealer) -> None:
    lay(sealer.stage, {"lib64/lib64": "1"})
    assert problems(sealer, redirects={"lib64": ""}) == ["lib64: goes to ., yet something else goes to it"]


def test_bytecode_is_dropped_though_its_source_comes_by_redirection(sealer: Sealer) -> None:
    lay(sealer.stage, {"lib/p/__pycache__/a.cpython-311.pyc": "1", "lib64/p/a.py": "2"})
    assert paths(sealer.scan(redirects={"lib64": "lib"}).manifest) == ["lib", "lib/p", "lib/p/a.py"]


# -- times (the rules themselves are in test_times) ------------------------------------------------------------------


def test_times_follow_the_installed_version(sealer: Sealer) -> None:
    lay(sealer.stage, {"same.py": "1", "other.py": "2", "same.so": "3", "link": "-> same.so"})
    old = sealer.scan().manifest
    lay(sealer.stage, {"other.py": "changed"})
    for name in ("same.py", "same.so", "link"):
        os.utime(f"{sealer.stage}/{name}", ns=(0, TIME + 7 * SECOND), follow_symlinks=False)
    new = sealer.scan(reference=old).manifest
    for name in ("same.py", "same.so", "link"):
        assert new.entry(name) == old.entry(name)
    assert new.entry("other.py").mtime // SECOND != TIME // SECOND  # type: ignore[union-attr]


def test_constant_times_of_sources_are_replaced(sealer: Sealer) -> None:
    lay(sealer.stage, {"a.py": "1", "b.py": "2", "c.so": "3"})
    os.utime(f"{sealer.stage}/b.py", (315_532_800, 315_532_800))
    manifest = sealer.scan(constant_times=frozenset({TIME // SECOND})).manifest
    times = {path: entry.mtime for path, entry in manifest.files()}
    assert times["c.so"] == TIME
    assert TIME not in (times["a.py"], times["b.py"])
    assert times["a.py"] != times["b.py"]


def test_all_names_of_one_file_get_one_time(sealer: Sealer) -> None:
    lay(sealer.stage, {"a.py": "1"})
    old = sealer.scan().manifest
    os.link(f"{sealer.stage}/a.py", f"{sealer.stage}/b")
    os.utime(f"{sealer.stage}/b", (5, 5))
    manifest = sealer.scan(reference=old).manifest
    assert {entry.mtime for _, entry in manifest.files()} == {TIME}


def test_scan_needs_no_destination(area: str, sealer: Sealer) -> None:
    lay(sealer.stage, {"a": "1"})
    assert scan(sealer.fs, SealRequest(sealer.stage, f"{area}/not/there")).manifest.entry("a")

"""`merge FILE`: what an ordinary user built and wrote to a file is committed by who owns the prefix."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shipway.fs.system import FileSystem
from shipway.schedule.ingredients import Ingredients
from shipway.store.image_file import About, write_tree, write_wheel
from tests.cli.shop import Shop, command, environment
from tests.harness import make_tree, snapshot
from tests.installing.shop import VERSION
from tests.installing.wheels import Wheel
from tests.prefix.strangers import as_nobody, needs_root, open_place

pytestmark = pytest.mark.skipif(shutil.which("zstd") is None, reason="needs zstd")

NOTE = Ingredients("6.3.0", "r", "s", "f", "g", "c", {"pkg:generic/m4": "0" * 64})
FILES = {"bin/x": "1", "lib/liby.so": "2", "share/doc/gmp/": ""}


def about(shop: Shop, **more: object) -> About:
    found = About("pkg:generic/gmp", "gmp", "6.3.0", str(shop.root), note=NOTE.encode())
    return found._replace(**more)  # type: ignore[arg-type]


def written(shop: Shop, **more: object) -> Path:
    path = shop.stages.parent / "gmp.tar.zst"
    write_tree(FileSystem(), about(shop, **more), str(shop.stage(FILES)), str(path))
    return path


def wheel_file(shop: Shop, **more: object) -> Path:
    path = shop.stages.parent / "thing.tar.zst"
    wheel = Wheel("thing", scripts={"thing": "thing:main"}).write(shop.stages.parent / "wheels")
    found = about(shop, identity="pkg:pypi/thing", name="thing", version="1.0", **more)
    write_wheel(FileSystem(), found, str(wheel), str(path))
    return path


def test_a_file_is_merged_by_what_it_says(shop: Shop) -> None:
    path = written(shop, exclusive=True)
    ran = shop("merge", str(path))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"gmp 6.3.0 is in {shop.root} (transaction 1: ")
    assert (shop.root / "bin/x").read_text() == "1"
    assert (shop.root / "share/doc/gmp").is_dir()
    assert shop("show", "gmp", "--json").json["exclusive"] is True
    assert shop("verify").code == 0
    assert path.is_file()


def test_what_it_was_built_from_is_kept_beside_the_image(shop: Shop) -> None:
    assert shop("merge", str(written(shop))).code == 0
    (note,) = (shop.root / "var/lib/shipway/builds").iterdir()
    assert note.stem.partition(".")[0] == shop("show", "gmp", "--json").json["image"]
    assert Ingredients.decode(note.read_text()) == NOTE


def test_nothing_is_left_of_the_unpacking(shop: Shop) -> None:
    assert shop("merge", str(written(shop))).code == 0
    assert list((shop.root / "var/lib/shipway/work").iterdir()) == []


def test_the_same_again_is_nothing_to_do_and_a_new_one_an_upgrade(shop: Shop) -> None:
    path = str(written(shop))
    assert shop("merge", path).code == 0
    assert "already; there was nothing to do" in shop("merge", path).out
    shop.merge({"bin/x": "2"}, version="6.2")
    assert "instead of 6.2" in shop("merge", path).out
    assert shop("undo").code == 0
    assert (shop.root / "bin/x").read_text() == "2"


@pytest.mark.parametrize("option", ["--dry-run", "--explain"])
def test_a_dry_run_changes_nothing(shop: Shop, option: str) -> None:
    ran = shop("merge", str(written(shop)), option)
    assert ran.code == 0
    assert {line.split()[0] for line in ran.out.splitlines()} == {"place"}
    assert snapshot(shop.root) == {}
    assert shop("list", "--json").json == []


def test_what_is_said_beside_must_agree(shop: Shop) -> None:
    path = str(written(shop))
    for words, why in (
        (["--name", "mpfr"], "is of gmp, not of mpfr"),
        (["--version", "6.2"], "is of gmp 6.3.0, not 6.2"),
        (["--move"], "--move is for a directory"),
        (["--destdir"], "--destdir is for a directory"),
    ):
        ran = shop("merge", path, *words)
        assert (ran.code, why in ran.err) == (2, True), ran.err
    assert snapshot(shop.root) == {}
    assert shop("merge", path, "--name", "pkg:generic/gmp", "--version", "6.3.0").code == 0


def test_a_directory_has_to_be_named(shop: Shop) -> None:
    tree = str(shop.stage(FILES))
    assert "--name is missing" in shop("merge", tree, "--version", "1").err
    assert (shop("merge", tree, "--name", "gmp").code, shop("list", "--json").json) == (2, [])


def test_one_for_another_prefix_is_refused(shop: Shop) -> None:
    ran = shop("merge", str(written(shop, prefix="/opt/elsewhere")))
    assert ran.code == 1
    assert f"was built for /opt/elsewhere, and this prefix is {shop.root}" in ran.err
    assert snapshot(shop.root) == {}


def test_a_prefix_by_another_name_is_the_same(shop: Shop) -> None:
    link = shop.root.parent / "link"
    link.symlink_to(shop.root)
    assert shop("merge", str(written(shop, prefix=str(link)))).code == 0


def test_a_damaged_file_is_one_clear_error_and_changes_nothing(shop: Shop) -> None:
    shop.merge({"bin/x": "old"}, version="6.2")
    before, path = snapshot(shop.root), written(shop)
    data = path.read_bytes()
    for damaged in (data[:-3], data[: len(data) // 2], data[:100] + b"x" + data[101:], b"", b"no archive"):
        path.write_bytes(damaged)
        ran = shop("merge", str(path))
        assert (ran.code, ran.out) == (1, "")
        assert "is no sound image file" in ran.err
        assert len(ran.err.splitlines()) == 2, "an error and a hint"
        assert snapshot(shop.root) == before
    assert len(shop("history", "--json").json) == 1


def test_a_note_that_is_none_is_refused_and_one_of_the_future_left_alone(shop: Shop) -> None:
    ran = shop("merge", str(written(shop, note="{")))
    assert (ran.code, snapshot(shop.root)) == (1, {})
    assert "the note of what a package was built from cannot be read" in ran.err
    assert shop("merge", str(written(shop, note='{"format": 99}'))).code == 0
    assert shop("merge", str(written(shop, note=""))).code == 0


def test_conflicts_are_those_of_any_merge(shop: Shop) -> None:
    (shop.root / "bin").mkdir()
    (shop.root / "bin/x").write_text("mine")
    assert shop("merge", str(written(shop))).code == 3
    assert (shop.root / "bin/x").read_text() == "mine"
    assert shop("merge", str(written(shop)), "--on-conflict", "backup").code == 0


# -- wheels -----------------------------------------------------------------------------------------------------------


def test_a_wheel_goes_in_as_one(shop: Shop) -> None:
    dry = shop("merge", str(wheel_file(shop)), "--dry-run")
    assert (dry.code, snapshot(shop.root)) == (0, {})
    ran = shop("merge", str(wheel_file(shop, exclusive=True)), "--python", sys.executable)
    assert ran.code == 0, ran.err
    site = shop.root / "lib" / VERSION / "site-packages"
    assert (site / "thing.py").is_file()
    assert (site / "thing-1.0.dist-info/RECORD").is_file()
    assert (site / f"__pycache__/thing.{sys.implementation.cache_tag}.pyc").is_file()
    assert os.access(shop.root / "bin/thing", os.X_OK)
    shown = shop("show", "thing", "--json").json
    assert (shown["identity"], shown["version"], shown["exclusive"]) == ("pkg:pypi/thing", "1.0", True)
    assert list((shop.root / "var/lib/shipway/builds").glob(f"{shown['image']}.*.json"))
    assert shop("undo").code == 0
    assert not (site / "thing.py").exists()


def test_a_wheel_without_bytecode(shop: Shop) -> None:
    assert shop("merge", str(wheel_file(shop)), "--python", "none").code == 0
    assert not list(shop.root.rglob("*.pyc"))


# -- other users, and death -------------------------------------------------------------------------------------------


@needs_root
def test_an_ordinary_user_writes_and_root_merges() -> None:
    with open_place() as place:
        for name in ("root", "stages", "theirs"):
            (place / name).mkdir(0o755)
        os.chown(place / "theirs", 65534, 65534)
        shop = Shop(place / "root", place / "stages")
        path = place / "theirs/gmp.tar.zst"

        def write() -> int:
            tree = make_tree(place / "theirs/stage", FILES)
            write_tree(FileSystem(), about(shop), str(tree), str(path))
            return 0

        assert as_nobody(write) == 0
        assert path.stat().st_uid == 65534
        assert shop("merge", str(path)).code == 0
        owners = {each.lstat().st_uid for each in shop.root.rglob("*")}
        assert owners == {0}
        assert (shop.root / "bin/x").read_text() == "1"


@pytest.mark.alone
def test_a_merge_that_is_killed_leaves_the_old_version_or_the_new_one(shop: Shop) -> None:
    def image(version: str) -> str:
        files = {f"lib/m{number}/{name}": version * 50 for number in range(40) for name in "abcde"}
        path = shop.stages.parent / f"{version}.tar.zst"
        write_tree(FileSystem(), about(shop, version=version), str(shop.stage(files)), str(path))
        return str(path)

    both = {version: image(version) for version in ("1", "2")}
    assert shop("merge", both["1"]).code == 0
    began = time.monotonic()
    assert shop.process("merge", both["2"]).returncode == 0
    length = time.monotonic() - began
    killed = 0
    for moment in range(12):
        now = shop("show", "gmp", "--json").json["version"]
        words = command("-p", str(shop.root), "merge", both["2" if now == "1" else "1"])
        process = subprocess.Popen(
            words, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(length * (0.3 + 0.7 * moment / 12))
        os.killpg(process.pid, signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        assert shop("recover").code == 0
        assert shop("verify").code == 0
        version = shop("show", "gmp", "--json").json["version"]
        assert {found.read_text() for found in shop.root.glob("lib/m*/*")} == {version * 50}
        assert list((shop.root / "var/lib/shipway/work").iterdir()) == []
    assert killed

"""What is kept apart where, and what is refused where nothing is."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from shipway.errors import ShipwayError, UsageError
from shipway.fs import apart
from shipway.fs.apart import NONE, TEMPORARY, ApartError, Command, Isolation, Keeper, Orders, View, probe
from shipway.fs.system import FileSystem
from tests.build.building import Workshop, built, failed, tree, workshop
from tests.build.conftest import Crew
from tests.fs.apart import Apart

DESTDIR_IS_IGNORED = "[build]\ndestdir = false\n[phases]\ninstall = 'echo x > $PREFIX/lib/x'\n"
HEEDED = 'mkdir -p "$DESTDIR$PREFIX/lib"; echo x > "$DESTDIR$PREFIX/lib/x"'


def test_what_needs_an_overlay_is_refused_by_name_without_one(place: Path) -> None:
    shop = workshop(place / "shop", apart=False)
    with pytest.raises(ShipwayError, match="thing cannot be staged") as refused:
        shop.build(DESTDIR_IS_IGNORED)
    assert refused.value.hint
    assert tree(shop.prefix) == {}


def test_the_reason_why_there_is_none_is_told(place: Path) -> None:
    shop = workshop(place / "shop", apart=False)
    shop.isolation = Isolation(lacks=("there are no namespaces: Operation not permitted",))
    with pytest.raises(ShipwayError) as refused:
        shop.build(DESTDIR_IS_IGNORED)
    assert "Operation not permitted" in "".join(refused.value.details)


def test_its_tests_can_run_all_the_same(place: Path) -> None:
    shop = workshop(place / "shop", apart=False)
    built(shop.build(DESTDIR_IS_IGNORED, phases=("check", "post_install")))


def test_what_only_the_host_has_is_not_built(shop: Workshop) -> None:
    with pytest.raises(UsageError, match="only the host"):
        shop.build("[build]\nsystem = 'host'\n")


def in_its_prefix(place: Path) -> Workshop:
    """A build directory inside the prefix; kernels before 5.13 know no overlay that is below its own lower directory."""
    shop = workshop(place / "shop")
    shop.place = shop.prefix / "var/build"
    shop.place.mkdir(parents=True)
    shop.isolation = probe(str(shop.prefix), str(shop.place), FileSystem())
    return shop


def test_a_build_directory_may_lie_in_the_prefix(place: Path) -> None:
    shop = in_its_prefix(place)
    if not shop.isolation.overlay:
        pytest.skip("no such overlays here")
    result = built(
        shop.script(f"echo 1 > x; test -e {shop.place}; echo x > $PREFIX/lib/x; {HEEDED.replace('/x', '/y')}")
    )
    assert tree(result.staged.tree) == {"lib/x": "x\n", "lib/y": "x\n"}
    assert result.staged.written.added == ("lib/x",)


def test_without_an_overlay_the_prefix_is_read_only(place: Path) -> None:
    shop = in_its_prefix(place)
    if not shop.isolation.read_only:
        pytest.skip("nothing is kept apart here")
    shop.isolation = shop.isolation._replace(overlay=False)
    assert "Read-only" in "".join(failed(shop.script("echo > $PREFIX/lib/x")).last)
    assert tree(built(shop.script(HEEDED)).staged.tree) == {"lib/x": "x\n"}
    with pytest.raises(ShipwayError, match="cannot be staged"):
        shop.build(DESTDIR_IS_IGNORED)


def test_an_overlay_is_no_place_for_another(place: Path) -> None:
    for name in ("lower", "upper", "work", "point"):
        (place / name).mkdir()
    options = f"lowerdir={place}/lower,upperdir={place}/upper,workdir={place}/work"

    def body() -> None:
        shop = workshop(place / "shop")
        shop.place = place / "point"
        shop.isolation = probe(str(shop.prefix), str(shop.place), FileSystem())
        assert (shop.isolation.overlay, shop.isolation.read_only) == (False, True)
        assert tree(built(shop.script(HEEDED)).staged.tree) == {"lib/x": "x\n"}

    Apart().under_mounts([["mount", "-t", "overlay", "-o", options, "overlay", str(place / "point")]], body)


def test_mounts_inside_the_prefix_are_seen_and_not_written_to(place: Path) -> None:
    inner = place / "shop/prefix/share"

    def body() -> None:
        shop = workshop(place / "shop")
        inner.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", inner], check=True)
        (inner / "text").write_text("seen\n")
        built(shop.script('cat "$PREFIX/share/text"; ! echo > "$PREFIX/share/x"; echo > "$PREFIX/lib/x"'))
        assert shop.said[0] == "seen"
        assert os.listdir(inner) == ["text"]

    Apart().under_mounts([], body)


@pytest.mark.parametrize("name", ["with space", "a,b", "a:b", "back\\slash", "line\nbreak", "ünï", "%s{x}", "x" * 200])
def test_any_name_will_do(place: Path, name: str) -> None:
    (place / name).mkdir()
    shop = workshop(place / name / "shop")
    if not shop.isolation.overlay:
        pytest.skip("no overlays here")
    result = built(shop.script('echo x > "$PREFIX/lib/x"'))
    assert tree(result.staged.tree) == {"lib/x": "x\n"}
    assert not tree(shop.prefix).keys() - {"var/lib/shipway/logs/thing-1.2.log"}


@pytest.mark.parametrize("where", [path for path in TEMPORARY if os.access(path, os.W_OK)])
def test_prefix_and_build_may_lie_on_different_file_systems(
    place: Path, where: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import tempfile

    with tempfile.TemporaryDirectory(dir=where) as other:
        shop = workshop(place / "shop")
        shop.place = Path(other)
        shop.isolation = probe(str(shop.prefix), other, FileSystem())
        if not shop.isolation.overlay:
            pytest.skip("no overlays there")
        assert tree(built(shop.script('echo x > "$PREFIX/lib/x"')).staged.tree) == {"lib/x": "x\n"}


def test_a_prefix_at_the_root_is_only_read(place: Path) -> None:
    found = probe("/", str(place), FileSystem())
    assert not found.overlay
    if found.read_only:
        shop = workshop(place / "shop")
        request = shop.request("[phases]\ninstall = 'echo > $TMPDIR/x; echo > /opt/x'\n")
        failure = failed(shop.run(request._replace(isolation=found, prefix="/", logs=str(place / "logs"))))
        assert "Read-only" in "".join(failure.last)


def test_whoever_builds_is_who_they_were(lonely: Crew) -> None:
    def body(shop: Workshop) -> None:
        built(shop.script("id -u; id -g; touch x; stat -c %u x"))
        assert shop.said == [str(os.geteuid()), str(os.getegid()), str(os.geteuid())]

    lonely(body)


def test_a_refused_step_is_named(place: Path) -> None:
    shop = workshop(place / "shop")
    if not shop.isolation:
        pytest.skip("nothing is kept apart here")
    view = View(str(shop.prefix), (str(shop.prefix),), f"{place}/none", f"{place}/none", ())
    with open(os.devnull, "wb") as nowhere, pytest.raises(ApartError) as refused:
        Keeper(Orders((Command("/", ("true",)),), {}, shop.isolation, view), nowhere.fileno()).end()
    assert refused.value.step == "overlay"


def test_a_broken_keeper_is_no_success(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "PYTHON", "/bin/true")
    with pytest.raises(ShipwayError, match="install could not be run"):
        workshop(place / "shop", apart=False).script("true")
    assert probe(str(place), str(place), FileSystem()) == NONE._replace(lacks=("keep: the keeper ended by 0",))


def test_what_is_probed_leaves_nothing(place: Path) -> None:
    probe(str(place), str(place), FileSystem())
    assert os.listdir(place) == []


def test_the_log_says_how_far(shop: Workshop) -> None:
    built(shop.script("true"))
    words = next(line for line in shop.log.splitlines() if line.startswith("== apart ")).split()
    assert ("overlay" in words) == shop.isolation.overlay

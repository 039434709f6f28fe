from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from shipway.build.log import Log, name_of
from shipway.fs.system import FileSystem
from tests.cli.shop import Shop, command, environment


def begin(shop: Shop, name: str = "gmp", version: str = "6.3") -> Log:
    log = Log.begin(str(shop.root / "var/lib/shipway/logs" / name_of(name, version)), FileSystem())
    log.say(f"{name} {version} for {shop.root}", "phase configure", "in /b: ./configure")
    log.tools_said(["checking", "a.c:1:2: error: no such thing", "after", "and on", "*** test OK ***"])
    log.say("ended configure: 1 s", "phase build")
    log.tools_said(["cc -c a.c", "cc -c error.c", "done"])
    return log


@pytest.fixture
def built(shop: Shop) -> Shop:
    log = begin(shop)
    log.say("failed: gmp 6.3: build failed")
    log.close()
    return shop


def texts(shop: Shop, *arguments: str) -> list[str]:
    return [line["text"] for line in shop("--json", "log", "gmp", *arguments).json]


def test_the_log_of_the_last_build(built: Shop) -> None:
    path = built.root / "var/lib/shipway/logs/gmp-6.3.log"
    assert built("log", "gmp").out == path.read_text()


def test_one_phase_of_it(built: Shop) -> None:
    assert texts(built, "--phase", "build")[:3] == ["phase build", "cc -c a.c", "cc -c error.c"]


def test_what_looks_like_an_error_with_its_surroundings(built: Shop) -> None:
    expected = ["checking", "a.c:1:2: error: no such thing", "after", "and on", "failed: gmp 6.3: build failed"]
    assert texts(built, "--errors") == expected


def test_lines_have_times_and_phases(built: Shop) -> None:
    found = built("--json", "log", "gmp").json
    assert found[0] == {"seconds": None, "phase": "", "text": f"gmp 6.3 for {built.root}"}
    assert found[3]["phase"] == "configure" and found[3]["seconds"] >= 0


def test_the_newest_version_and_no_other_package(built: Shop) -> None:
    log = begin(built, "gmp", "7.0")
    log.close()
    begin(built, "gmp-ecm", "7.0").close()
    os.utime(log.path, (2_000_000_000, 2_000_000_000))
    assert texts(built)[0].startswith("gmp 7.0")


def test_what_was_never_built_is_said(shop: Shop) -> None:
    ran = shop("log", "nix")
    assert (ran.code, ran.out) == (1, "")
    assert "no log of a build of nix" in ran.err


def test_a_log_is_followed_to_its_end(shop: Shop) -> None:
    log = begin(shop)
    words = command("-p", str(shop.root), "log", "gmp", "--follow")
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stdout is not None
        while "done" not in process.stdout.readline():
            pass
        log.tools_said(["later"])
        assert "| later" in process.stdout.readline()
        log.say("built")
        log.close()
        assert process.stdout.read() == "== built\n"
        assert process.wait(20) == 0


def test_a_bundle_is_one_file(built: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert built("log", "gmp", "--bundle").out == f"{tmp_path}/gmp-6.3.report.txt\n"
    text = Path("gmp-6.3.report.txt").read_text()
    assert os.uname().release in text
    assert "error: no such thing" in text
    assert list(Path().glob("*gmp*")) == [Path("gmp-6.3.report.txt")]


def test_a_document_cannot_be_followed(built: Shop) -> None:
    assert built("--json", "log", "gmp", "--follow").code == 2

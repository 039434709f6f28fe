"""Options of pip's: on the command line and inside requirement files, for the resolver and for the build."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from shipway.errors import UsageError
from shipway.python.pip_arguments import parse
from tests.installing.shop import Venv
from tests.installing.wheels import Wheel, sdist

LIB = Wheel("some-lib", "1.2")
EARLY = Wheel("some-lib", "2.0b1")
NOWHERE = {"PIP_FIND_LINKS": ""}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory of requirement files that is not where commands run."""
    place = tmp_path / "project" / "requirements"
    place.mkdir(parents=True)
    return place


def test_where_projects_are_found_may_stand_in_a_file_beside_them(venv: Venv, files: Path, tmp_path: Path) -> None:
    LIB.write(files / "wheels")
    (files / "all.txt").write_text("-r more.txt\n")
    (files / "more.txt").write_text("--no-index\n--find-links ./wheels\nsome-lib\n")
    ran = venv.pip("install", "-r", str(files / "all.txt"), cwd=tmp_path, **NOWHERE, PIP_NO_INDEX="")
    assert ran.code == 0, ran.err
    assert venv.projects() == ["some_lib-1.2"]


def test_previews_are_taken_where_a_file_says_so(venv: Venv, files: Path) -> None:
    venv.offer(LIB, EARLY)
    (files / "a.txt").write_text("--pre\nsome-lib\n")
    venv.done("install", "-r", str(files / "a.txt"))
    assert venv.projects() == ["some_lib-2.0b1"]


def test_a_file_decides_between_wheels_and_sources(venv: Venv, files: Path) -> None:
    venv.offer(LIB)
    sdist(LIB, venv.wheels)
    (files / "a.txt").write_text("--no-binary some-lib\nsome-lib\n")
    venv.done("install", "-r", str(files / "a.txt"))
    assert venv.says("import some_lib_built") == ""
    (files / "b.txt").write_text("--only-binary :all:\nsome-lib\n")
    venv.done("install", "--force-reinstall", "-r", str(files / "b.txt"))
    assert "No module" in venv.says("import some_lib_built")


def test_settings_of_one_requirement_reach_its_build_alone(venv: Venv, files: Path) -> None:
    sdist(LIB, venv.wheels)
    sdist(Wheel("other"), venv.wheels)
    (files / "a.txt").write_text('some-lib==1.2 --config-settings="colour=red"\nother\n')
    venv.done("install", "-r", str(files / "a.txt"))
    assert venv.says("import some_lib_built; print(some_lib_built.SETTINGS['colour'])") == "red"
    assert venv.says("import other_built; print(other_built.SETTINGS)") in ("None", "{}")


def test_hashes_in_a_file_are_insisted_on_by_themselves(venv: Venv, files: Path) -> None:
    right = hashlib.sha256(LIB.write(venv.wheels).read_bytes()).hexdigest()
    (files / "a.txt").write_text(f"some-lib==1.2 \\\n    --hash=sha256:{'0' * 64}\n")
    assert venv.pip("install", "-r", str(files / "a.txt")).code == 1
    (files / "a.txt").write_text(f"some-lib==1.2 \\\n    --hash=sha256:{'0' * 64} --hash=sha256:{right}\n")
    venv.done("install", "-r", str(files / "a.txt"))
    assert venv.projects() == ["some_lib-1.2"]


def test_all_that_cannot_be_used_is_named_at_once() -> None:
    with pytest.raises(UsageError) as raised:
        parse(["--user", "x", "--root=/y", "--no-such", "-r", "a.txt", "--report", "-"], "install")
    assert raised.value.message == "pip install: --no-such, --report, --root, --user cannot be used here"
    assert len(raised.value.details) == 4
    assert all(": " in line for line in raised.value.details)


def test_the_word_after_an_option_is_its_value_also_when_it_looks_like_another() -> None:
    found = parse(["-r", "--user", "-f--root", "x"], "install")
    assert found.requirements == ("-r", "--user", "x")
    assert found.finding == ("-f", "--root")

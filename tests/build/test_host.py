"""What the host provides."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from shipway.build import host as module
from shipway.build.host import DISTRIBUTIONS, Answer, Host, at_least, distribution_of, here, run
from shipway.build.recipe import Recipe


def recipe(**system: object) -> Recipe:
    return Recipe.model_validate({"name": "a", "version": "1", "build": {"system": "make"}, "system": system})


class Machine:
    """A machine that says what it was told to say."""

    def __init__(self, **says: str) -> None:
        self.says = says
        self.asked: list[str] = []

    def __call__(self, words: Sequence[str]) -> Answer:
        self.asked.append(" ".join(words))
        text = self.says.get(words[-1] if words[0] in ("pkg-config", "dpkg-query", "which") else words[0])
        return Answer(127 if text is None else 0, text or "")


DEBIAN = DISTRIBUTIONS["debian"]


@pytest.mark.parametrize(
    ("wanted", "seen"), [("zlib", True), ("zlib >= 1.2.11", True), ("zlib>=1.3", False), ("zl", False)]
)
def test_a_module_of_pkg_config_that_is_new_enough(wanted: str, seen: bool) -> None:
    assert bool(Host(None, Machine(zlib="1.2.13\n")).provides(recipe(pkg_config=wanted))) is seen


@pytest.mark.parametrize(("least", "seen"), [("1.4", "program m4 1.4.19"), ("1.5", "")])
def test_a_program_by_its_own_word(least: str, seen: str) -> None:
    machine = Machine(m4="m4 (GNU M4) 1.4.19\nCopyright 2021")
    assert Host(None, machine).provides(recipe(program="m4", at_least=least)) == seen


def test_a_distribution_s_package_counts_where_nothing_else_tells() -> None:
    machine = Machine(**{"libmpc-dev": "install ok installed"})
    packages = {"debian": "libmpc-dev"}
    assert Host(DEBIAN, machine).provides(recipe(packages=packages)) == "debian libmpc-dev"
    assert Host(DEBIAN, machine).provides(recipe(packages={"debian": ["libmpc-dev", "other"]})) == ""
    assert Host(DEBIAN, machine).provides(recipe(packages=packages, pkg_config="mpc")) == ""
    gone = Machine(**{"libmpc-dev": "deinstall ok not-installed"})
    assert Host(DEBIAN, gone).provides(recipe(packages=packages)) == ""


def test_each_thing_is_asked_once() -> None:
    machine = Machine(zlib="1.2")
    host = Host(None, machine)
    assert host.provides(recipe(pkg_config="zlib")) == host.provides(recipe(pkg_config="zlib"))
    assert len(machine.asked) == 1


def test_the_line_that_installs_what_is_missing() -> None:
    wanted = [recipe(packages={"debian": ["b", "a"]}), recipe(packages={"debian": "a"}), recipe()]
    assert Host(DEBIAN).to_install(wanted) == "apt install a b"
    assert Host(DISTRIBUTIONS["arch"]).to_install(wanted) == ""
    assert Host(None).to_install(wanted) == ""


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("ID=debian\n", "debian"),
        ('ID=ubuntu\nID_LIKE="debian"\n', "debian"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "fedora"),
        ('ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', "suse"),
        ("# nothing\nNAME=x\n", None),
    ],
)
def test_the_family_of_a_distribution(text: str, family: str | None) -> None:
    found = distribution_of(text)
    assert (found and found.family) == family


@pytest.mark.parametrize(
    ("version", "least", "good"),
    [
        ("1.10", "1.9", True),
        ("1.2", "1.2.0", True),
        ("1.2.0", "1.2", True),
        ("1.1z", "1.2", False),
        ("2", "1.9.9", True),
    ],
)
def test_versions_are_compared_by_their_numbers(version: str, least: str, good: bool) -> None:
    assert at_least(version, least) is good


def test_a_program_that_does_not_answer_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(["no-such-program-at-all"]).code == 127
    assert run([sys.executable, "-c", "print(1)"]) == Answer(0, "1\n")
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    assert run([sys.executable, "-c", "import time; time.sleep(60)"]).code == 127


@pytest.mark.skipif(not shutil.which("make"), reason="no make here")
def test_the_real_machine_has_make() -> None:
    assert here().provides(recipe(program="make", at_least="3")).startswith("program make ")

"""What a shell needs, as values and in the words of each."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from shipway.cli import env
from shipway.errors import UsageError
from shipway.prefix.environment import SHELLS, Variable, render, variables

ROOT = "/opt/my site's"
WATCHED = ("PATH", "MANPATH", "PKG_CONFIG_PATH", "CMAKE_PREFIX_PATH", "LD_LIBRARY_PATH")


def by_name(*there: str, libraries: bool = False) -> dict[str, tuple[str, ...]]:
    return {v.name: v.directories for v in variables("/s", there, libraries=libraries)}


def test_libraries_and_modules_of_others_are_left_alone_unless_asked_for() -> None:
    assert set(by_name()) == {"PATH", "MANPATH", "PKG_CONFIG_PATH", "CMAKE_PREFIX_PATH"}
    assert by_name(libraries=True)["LD_LIBRARY_PATH"] == ("/s/lib",)
    assert by_name("lib64", libraries=True)["LD_LIBRARY_PATH"] == ("/s/lib", "/s/lib64")


def test_standard_directories_are_named_always_and_others_if_they_are_there() -> None:
    assert by_name()["PATH"] == ("/s/bin",)
    assert by_name("sbin", "lib64/pkgconfig")["PATH"] == ("/s/bin", "/s/sbin")
    assert by_name("lib64/pkgconfig")["PKG_CONFIG_PATH"] == (
        "/s/lib/pkgconfig",
        "/s/share/pkgconfig",
        "/s/lib64/pkgconfig",
    )
    assert by_name()["CMAKE_PREFIX_PATH"] == ("/s",)


def test_a_colon_in_the_prefix_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot stand"):
        variables("/opt/a:b", ())


def run_in(shell: str, words: list[str], environment: dict[str, str], twice: bool = True) -> dict[str, str]:
    """What the watched variables are after the text was evaluated, by a shell that is here."""
    exe = shutil.which(words[0])
    if exe is None:
        pytest.skip(f"no {words[0]} here")
    text = render(shell, variables(ROOT, (), libraries=True), ROOT) * (2 if twice else 1)
    base = {"PATH": os.environ["PATH"], **environment}
    ran = subprocess.run([exe, *words[1:]], input=f"{text}\nenv\n", capture_output=True, text=True, env=base)
    assert ran.returncode == 0, ran.stderr
    lines = (line.partition("=") for line in ran.stdout.splitlines())
    return {name: value for name, _, value in lines if name in WATCHED}


@pytest.mark.parametrize("words", [["sh", "-eu"], ["bash", "-eu"], ["dash", "-eu"], ["zsh", "-eu"]])
def test_sh_puts_each_directory_in_front_once(words: list[str]) -> None:
    found = run_in("sh", words, {"CMAKE_PREFIX_PATH": "/other"})
    assert found["PATH"] == f"{ROOT}/bin:{os.environ['PATH']}"
    assert found["PKG_CONFIG_PATH"] == f"{ROOT}/lib/pkgconfig:{ROOT}/share/pkgconfig"
    assert found["CMAKE_PREFIX_PATH"] == f"{ROOT}:/other"


@pytest.mark.parametrize(
    ("shell", "words"), [("sh", ["sh"]), ("csh", ["tcsh", "-f"]), ("fish", ["fish", "--no-config"])]
)
def test_the_system_s_manual_pages_stay_and_the_working_directory_holds_no_libraries(
    shell: str, words: list[str]
) -> None:
    """An empty part means the default in one list, and the working directory in the other."""
    found = run_in(shell, words, {}, twice=False)
    assert found["MANPATH"] == f"{ROOT}/share/man:"
    assert found["LD_LIBRARY_PATH"] == f"{ROOT}/lib"
    assert found["PATH"].startswith(f"{ROOT}/bin:")


def test_a_module_file_begins_as_modules_expects() -> None:
    text = render("modulefile", [Variable("PATH", ('/a"$b[c]/bin',))], '/a"$b[c]')
    assert text.startswith("#%Module1.0\n")
    assert 'prepend-path PATH "/a\\"\\$b\\[c\\]/bin"' in text


def test_lua_texts_are_quoted() -> None:
    assert 'prepend_path("PATH", "/a\\"b/bin")' in render("lmod", [Variable("PATH", ('/a"b/bin',))], '/a"b')


def test_the_command_offers_what_is_there() -> None:
    assert set(env.SHELLS) == set(SHELLS)


def test_relative_order_survives(tmp_path: Path) -> None:
    lines = render("modulefile", variables("/s", ()), "/s").splitlines()
    config = [line for line in lines if "PKG_CONFIG_PATH" in line]
    assert config == [
        'prepend-path PKG_CONFIG_PATH "/s/share/pkgconfig"',
        'prepend-path PKG_CONFIG_PATH "/s/lib/pkgconfig"',
    ]

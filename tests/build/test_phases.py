from __future__ import annotations

from pathlib import Path

import pytest

from shipway.build.directory import Directory
from shipway.build.environment import Interpreter, Target
from shipway.build.phases import steps
from shipway.build.recipe import PHASES
from shipway.build.recipe_file import parse

PIP = "--isolated --disable-pip-version-check --no-input --no-color --no-cache-dir --no-index --no-deps"
WHEELS = 'sh -c wheels=$1; shift; exec "$@" "$wheels"/*.whl sh'
INSTALL = f"py -m pip install {PIP} --ignore-installed --no-compile --no-warn-script-location --root /b/stage --prefix /p --root-user-action ignore"

CMAKE = (
    "-DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX=/p -DCMAKE_INSTALL_LIBDIR=lib"
    " -DCMAKE_INSTALL_RPATH=/p/lib -DCMAKE_INSTALL_RPATH_USE_LINK_PATH=ON"
)

EXPECTED = {
    "system = 'autotools'\noptions = ['--enable-cxx']": {
        "configure": ("/s", "./configure --prefix=/p --libdir=/p/lib --enable-cxx"),
        "build": ("/s", "make"),
        "check": ("/s", "make check"),
        "install": ("/s", "make -j1 install DESTDIR=/b/stage"),
    },
    "system = 'autotools'\nout_of_tree = true\ndirectory = 'unix'\nmake = ['V={short}']\ndestdir = false": {
        "configure": ("/b/build", "/s/unix/configure --prefix=/p --libdir=/p/lib"),
        "build": ("/b/build", "make V=6.2"),
        "check": ("/b/build", "make check V=6.2"),
        "install": ("/b/build", "make -j1 install V=6.2"),
    },
    "system = 'make'\ndirectory = 'src'": {
        "build": ("/s/src", "make PREFIX=/p prefix=/p"),
        "check": ("/s/src", "make check PREFIX=/p prefix=/p"),
        "install": ("/s/src", "make -j1 install PREFIX=/p prefix=/p DESTDIR=/b/stage"),
    },
    "system = 'cmake'\noptions = ['-DX={jobs}']\nmake = ['V=1']": {
        "configure": (
            "/b/build",
            f"cmake -S /s -B . {CMAKE} -DX=3",
        ),
        "build": ("/b/build", "cmake --build . --parallel 3 -- V=1"),
        "check": ("/b/build", "ctest --output-on-failure --parallel 3"),
        "install": ("/b/build", "cmake --build . --target install"),
    },
    "system = 'meson'\nparallel = false": {
        "configure": (
            "/b/build",
            "meson setup . /s --prefix=/p --libdir=lib --buildtype=release --wrap-mode=nodownload",
        ),
        "build": ("/b/build", "meson compile -j 1"),
        "check": ("/b/build", "meson test --print-errorlogs --num-processes 1"),
        "install": ("/b/build", "meson install --no-rebuild"),
    },
    "system = 'python'\noptions = ['-Csetup-args=-Da=b']\ndirectory = 'py'": {
        "build": (
            "/s/py",
            f"py -m pip wheel {PIP} --no-build-isolation --wheel-dir /b/wheels -Csetup-args=-Da=b /s/py",
        ),
        "install": ("/s/py", f"{WHEELS} /b/wheels {INSTALL}"),
    },
    "system = 'wheel'": {"install": ("/s", f"{WHEELS} /s {INSTALL}")},
    "system = 'host'": {},
}


def target(text: str, beside: Path | None = None) -> Target:
    recipe = parse(f'name = "gmp"\nversion = "6.2.1"\n{text}', "recipe.toml")
    return Target(recipe, "/p", Directory("/b"), "/s", str(beside or "/r"), 3)


@pytest.mark.parametrize("build", EXPECTED)
def test_the_commands_of_every_phase(build: str) -> None:
    found: dict[str, tuple[str, str]] = {}
    for phase in PHASES:
        todo = steps(target(f"[build]\n{build}\n"), Interpreter("py"), phase)
        assert not todo.text
        for command in todo.commands:
            found[phase] = (command.directory, " ".join(command.words))
    assert found == EXPECTED[build]


def test_another_pip_can_be_given() -> None:
    todo = steps(target("[build]\nsystem = 'wheel'\n"), Interpreter("py", ("ours", "--python", "py")), "install")
    assert todo.commands[0].words[5:9] == ("ours", "--python", "py", "install")


def test_shell_text_takes_the_place_of_a_phase() -> None:
    todo = steps(target("[build]\nsystem = 'cmake'\n[phases]\nbuild = 'echo {version}'\n"), Interpreter(), "build")
    assert (todo.commands, todo.text) == ((("/b/build", ("sh", "-e", "/b/phases/build.sh")),), "echo {version}")


def test_an_empty_text_leaves_a_phase_out() -> None:
    assert steps(target("[build]\nsystem = 'make'\n[phases]\ncheck = ''\n"), Interpreter(), "check") == ((), "")


def test_what_prepares_runs_in_the_source() -> None:
    todo = steps(target("[build]\nsystem = 'meson'\n[phases]\nprepare = 'true'\n"), Interpreter(), "prepare")
    assert todo.commands[0].directory == "/s"


@pytest.mark.parametrize("mode", [0o644, 0o755])
def test_a_file_that_can_be_executed_is(tmp_path: Path, mode: int) -> None:
    (tmp_path / "go").touch(mode)
    (tmp_path / "go").chmod(mode)
    todo = steps(target("[phases]\ninstall = { script = 'go' }\n", tmp_path), Interpreter(), "install")
    assert todo.commands[0].words == ((f"{tmp_path}/go",) if mode & 0o100 else ("sh", "-e", f"{tmp_path}/go"))

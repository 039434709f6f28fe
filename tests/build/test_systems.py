"""A small package of every build system, built and used."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.build.building import PYTHON, Workshop, built, failed, tree
from tests.build.conftest import Crew, crew_of

CODE = """
#include <stdio.h>
#include "say.h"
int say(void) { puts("said"); return 0; }
"""
MAIN = '#include "say.h"\nint main(void) { return say(); }\n'
CONFIGURE = """#!/bin/sh -e
srcdir=$(dirname "$0")
libdir=lib
for word; do
    case $word in
        --prefix=*) prefix=${word#*=} ;;
        --libdir=*) libdir=${word#*=} ;;
        --with-*) echo "wanted ${word#--with-}" ;;
        *) echo "unknown $word"; exit 1 ;;
    esac
done
sed -e "s|@prefix@|$prefix|; s|@libdir@|$libdir|; s|@srcdir@|$srcdir|" "$srcdir/Makefile.in" > Makefile
"""
MAKEFILE_IN = """prefix = @prefix@
libdir = @libdir@
VPATH = @srcdir@
all: libsay.so talk
libsay.so: say.c
\t$(CC) $(CFLAGS) $(CPPFLAGS) -I@srcdir@ -shared -fPIC -o $@ $<
talk: main.c libsay.so
\t$(CC) $(CFLAGS) -I@srcdir@ -o $@ $< -L. -lsay $(LDFLAGS)
check: all
\tLD_LIBRARY_PATH=. ./talk
install: all
\tmkdir -p $(DESTDIR)$(libdir) $(DESTDIR)$(prefix)/bin
\tcp libsay.so $(DESTDIR)$(libdir)
\tcp talk $(DESTDIR)$(prefix)/bin
"""
CMAKE = """cmake_minimum_required(VERSION 3.13)
project(say C)
include(GNUInstallDirs)
enable_testing()
add_library(say SHARED say.c)
add_executable(talk main.c)
target_link_libraries(talk say)
add_test(talk talk)
install(TARGETS say talk LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
"""
MESON = """project('say', 'c')
say = shared_library('say', 'say.c', install: true)
talk = executable('talk', 'main.c', link_with: say, install: true)
test('talk', talk)
"""
C_SOURCE = {"say.c": CODE, "main.c": MAIN, "say.h": "int say(void);\n"}
SETUP = {
    "pyproject.toml": '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
    '[project]\nname = "thing"\nversion = "1.2"\n[project.scripts]\nthing = "thing:main"\n',
    "thing/__init__.py": "def main():\n    print('said')\n",
}

BACKEND = """
import zipfile
INFO = "thing-1.2.dist-info"
def build_wheel(directory, config_settings=None, metadata_directory=None):
    name = "thing-1.2-py3-none-any.whl"
    with zipfile.ZipFile(f"{directory}/{name}", "w") as wheel:
        wheel.writestr("thing/__init__.py", f"settings = {config_settings}\\n")
        wheel.writestr(f"{INFO}/METADATA", "Metadata-Version: 2.1\\nName: thing\\nVersion: 1.2\\n")
        wheel.writestr(f"{INFO}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{INFO}/RECORD", f"thing/__init__.py,,\\n{INFO}/RECORD,,\\n")
    return name
"""
BY_ITSELF = {
    "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
    "backend.py": BACKEND,
}


def has(*modules: str) -> bool:
    return subprocess.run([PYTHON, "-c", f"import {', '.join(modules)}"], capture_output=True).returncode == 0


needs_pip = pytest.mark.skipif(not has("pip"), reason=f"{PYTHON} has no pip")
needs_setuptools = pytest.mark.skipif(not has("setuptools", "wheel", "pip"), reason=f"{PYTHON} has no setuptools")


def installed(shop: Workshop, stage: str) -> str:
    """What the program says once its stage is in the prefix."""
    shutil.copytree(stage, shop.prefix, symlinks=True, dirs_exist_ok=True)
    return subprocess.run([shop.prefix / "bin/talk"], capture_output=True, text=True, check=True).stdout


def phases(shop: Workshop) -> list[str]:
    return [event.data["phase"] for event in shop.events if event.kind == "step"]  # type: ignore[misc]


@pytest.mark.parametrize("beside", [False, True], ids=["in the source", "out of tree"])
def test_autotools(crew: Crew, beside: bool) -> None:
    recipe = f"[build]\nsystem = 'autotools'\noptions = ['--with-{{version}}']\nout_of_tree = {str(beside).lower()}\n"

    def body(shop: Workshop) -> None:
        result = built(shop.build(recipe, {**C_SOURCE, "configure": CONFIGURE, "Makefile.in": MAKEFILE_IN}))
        assert shop.said[0] == "wanted 1.2"
        assert phases(shop) == ["configure", "build", "check", "install"]
        assert set(tree(result.staged.tree)) == {"bin/talk", "lib/libsay.so"}
        assert installed(shop, result.staged.tree) == "said\n"

    crew(body)


def test_make_alone(crew: Crew) -> None:
    makefile = MAKEFILE_IN.replace("@libdir@", "$(prefix)/lib").replace("@srcdir@", ".").replace("@prefix@", "/none")

    def body(shop: Workshop) -> None:
        recipe = "[build]\nsystem = 'make'\nmake = ['SAID={jobs}']\n"
        result = built(shop.build(recipe, {**C_SOURCE, "Makefile": makefile + "\t@echo $(SAID) jobs\n"}))
        assert "2 jobs" in shop.said
        assert installed(shop, result.staged.tree) == "said\n"

    crew(body)


@pytest.mark.skipif(not shutil.which("cmake"), reason="no cmake")
def test_cmake(crew: Crew) -> None:
    def body(shop: Workshop) -> None:
        result = built(shop.build("[build]\nsystem = 'cmake'\n", {**C_SOURCE, "CMakeLists.txt": CMAKE}))
        assert set(tree(result.staged.tree)) == {"bin/talk", "lib/libsay.so"}
        assert installed(shop, result.staged.tree) == "said\n"

    crew(body)


HERE = os.path.dirname(sys.executable)
MESON_PLACES = f"{HERE}:/usr/bin"


@pytest.mark.skipif(not (shutil.which("meson", path=MESON_PLACES) and shutil.which("ninja")), reason="no meson")
def test_meson(place: Path) -> None:
    def body(shop: Workshop) -> None:
        request = shop.request("[build]\nsystem = 'meson'\n", {**C_SOURCE, "meson.build": MESON})
        tools = request.tools._replace(kept={"PATH": f"{MESON_PLACES}:/bin"})
        result = built(shop.run(request._replace(tools=tools)))
        assert set(tree(result.staged.tree)) == {"bin/talk", "lib/libsay.so"}
        assert installed(shop, result.staged.tree) == "said\n"

    crew_of(place, "apart")(body)


def python_project(crew: Crew, files: Mapping[str, str]) -> None:
    def body(shop: Workshop) -> None:
        result = built(shop.build("[build]\nsystem = 'python'\n", files))
        assert [Path(wheel).name for wheel in result.wheels] == ["thing-1.2-py3-none-any.whl"]
        staged = tree(result.staged.tree)
        assert [name for name in staged if name.endswith("thing/__init__.py")]
        assert not [name for name in staged if name.endswith(".pyc")]
        assert result.staged.outside == ()

    crew(body)


@needs_setuptools
def test_a_python_project_of_setuptools(crew: Crew) -> None:
    python_project(crew, SETUP)


@needs_pip
def test_a_python_project_with_a_backend_of_its_own(crew: Crew) -> None:
    python_project(crew, BY_ITSELF)


@needs_pip
def test_a_wheel_is_staged_as_it_is(shop: Workshop) -> None:
    request = shop.request("[build]\nsystem = 'wheel'\n")
    with zipfile.ZipFile(f"{request.source}/thing-1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr("thing.py", "x = 1\n")
        wheel.writestr("thing-1.2.dist-info/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.2\n")
        wheel.writestr("thing-1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("thing-1.2.dist-info/RECORD", "thing.py,,\nthing-1.2.dist-info/RECORD,,\n")
    result = built(shop.run(request))
    assert [name for name in tree(result.staged.tree) if name.endswith("/thing.py")]
    assert len(result.wheels) == 1


def test_a_phase_of_its_own_takes_the_place(shop: Workshop) -> None:
    recipe = (
        "[build]\nsystem = 'autotools'\n[phases]\nconfigure = 'echo no configure'\nbuild = ''\ninstall = 'echo $PWD'\n"
    )
    built(shop.build(recipe, {"Makefile": "check:\n\t@echo checked\n"}))
    assert shop.said[:1] + shop.said[-2:] == ["no configure", "checked", shop.said[-1]]
    assert shop.said[-1].endswith("/source")
    assert phases(shop) == ["configure", "check", "install"]


SCRIPTS: Mapping[str, str] = {
    "by its first line": "#!/usr/bin/python3\nimport os; print('hello', os.environ['NAME'])\n",
    "by the shell": "echo hello $NAME\nfalse | true\n",
}


@pytest.mark.parametrize("kind", SCRIPTS)
def test_a_script_beside_the_recipe_runs(shop: Workshop, kind: str) -> None:
    built(shop.build("[phases]\ninstall = { script = 'install' }\n", {"@install": SCRIPTS[kind]}))
    assert shop.said == ["hello thing"]


def test_a_shell_text_ends_at_its_first_error(shop: Workshop) -> None:
    failure = failed(shop.script("echo a\nfalse\necho b", phase="build"))
    assert (failure.phase, failure.status, failure.last) == ("build", 1, ("a",))


def test_what_comes_after_a_failure_is_not_run(shop: Workshop) -> None:
    failed(shop.build("[phases]\nbuild = 'exit 7'\ninstall = 'echo installed'\n"))
    assert phases(shop) == ["build"]


def test_a_failure_can_be_tolerated(shop: Workshop) -> None:
    recipe = "[phases]\ncheck = 'echo broken; exit 4'\ninstall = 'echo installed'\n"
    result = built(shop.build(recipe, tolerated=frozenset({"check"})))
    assert [(warning.phase, warning.status) for warning in result.warnings] == [("check", 4)]
    assert shop.said == ["broken", "installed"]


def test_phases_after_the_commit_go_on_in_the_same_log(shop: Workshop) -> None:
    recipe = (
        "[phases]\nbuild = 'echo built > made'\ninstall = 'true'\ncheck = 'cat made'\npost_install = 'echo after'\n"
    )
    request = shop.request(recipe)
    built(shop.run(request._replace(phases=("prepare", "configure", "build", "install"))))
    built(shop.run(request._replace(phases=("check", "post_install"), continued=True)))
    assert shop.said == ["built", "after"]
    assert [line.split()[-1] for line in shop.log.splitlines() if line.startswith("== phase")] == [
        "build",
        "install",
        "check",
        "post_install",
    ]


def test_lib64_folds_into_lib(crew: Crew) -> None:
    def body(shop: Workshop) -> None:
        text = """
        mkdir -p "$DESTDIR$PREFIX/lib64/pkgconfig" "$DESTDIR$PREFIX/lib/pkgconfig"
        cd "$DESTDIR$PREFIX"
        echo 1 > lib64/a.so.1; ln -s a.so.1 lib64/a.so; echo pc > lib64/pkgconfig/a.pc
        echo 2 > lib/b.so; echo same > lib/c; echo same > lib64/c; echo x > lib/pkgconfig/x.pc
        """
        assert tree(built(shop.script(text)).staged.tree) == {
            "lib64": "-> lib",
            "lib/a.so": "-> a.so.1",
            "lib/a.so.1": "1\n",
            "lib/b.so": "2\n",
            "lib/c": "same\n",
            "lib/pkgconfig/a.pc": "pc\n",
            "lib/pkgconfig/x.pc": "x\n",
        }

    crew(body)


def test_a_link_does_not_stand_in_the_way_of_a_live_lib64(shop: Workshop) -> None:
    (shop.prefix / "lib64").mkdir()
    result = built(shop.script('mkdir -p "$DESTDIR$PREFIX/lib64"; echo > "$DESTDIR$PREFIX/lib64/x"'))
    assert set(tree(result.staged.tree)) == {"lib/x"}


def test_two_files_of_one_name_are_not_folded(shop: Workshop) -> None:
    from shipway.errors import ShipwayError

    text = 'cd "$DESTDIR"; mkdir -p ".$PREFIX/lib" ".$PREFIX/lib64"; echo 1 > ".$PREFIX/lib/a"; echo 2 > ".$PREFIX/lib64/a"'
    with pytest.raises(ShipwayError, match="lib and lib64") as refused:
        shop.script(text)
    assert refused.value.details == ("a",)


def test_what_a_phase_takes_is_measured(shop: Workshop) -> None:
    busy = (
        "import time; x = bytearray(100 << 20); end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    )
    result = built(shop.build("[phases]\ninstall = 'setsid $PYTHON busy.py & wait'\n", {"busy.py": busy}))
    ended = result.phases[0].ended
    assert ended.user + ended.system >= 0.3
    assert ended.wall >= 0.3
    assert ended.peak >= 100 << 10

from __future__ import annotations

from shipway.build.directory import Directory
from shipway.build.environment import Compilers, Flags, Interpreter, Target, Tools, environment, kept
from shipway.build.recipe_file import parse

SCRIPT = "[phases]\ninstall = 'true'\n"


def target(more: str = "", jobs: int = 4) -> Target:
    recipe = parse(f'name = "gmp"\nversion = "6.2.1"\n{more}{SCRIPT}', "recipe.toml")
    return Target(recipe, "/opt/site", Directory("/b"), "/b/source/gmp", "/r/gmp", jobs, 1234567890)


def found(more: str = "", tools: Tools | None = None, phase: str = "build") -> dict[str, str]:
    return environment(target(more), tools or Tools(Compilers("gcc", "g++", "gfortran")), phase)


def test_what_a_build_finds() -> None:
    assert found() == {
        "ACLOCAL_PATH": "/opt/site/share/aclocal",
        "CC": "gcc",
        "CFLAGS": "-O2",
        "CMAKE_BUILD_PARALLEL_LEVEL": "4",
        "CMAKE_PREFIX_PATH": "/opt/site",
        "CPPFLAGS": "-I/opt/site/include",
        "CXX": "g++",
        "CXXFLAGS": "-O2",
        "F77": "gfortran",
        "FC": "gfortran",
        "FCFLAGS": "-O2",
        "FFLAGS": "-O2",
        "HOME": "/b/home",
        "JOBS": "4",
        "LC_ALL": "C.UTF-8",
        "LDFLAGS": "-L/opt/site/lib -Wl,-rpath,/opt/site/lib",
        "MAKEFLAGS": "-j4",
        "NAME": "gmp",
        "NO_COLOR": "1",
        "PAGER": "cat",
        "PATH": "/opt/site/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PKG_CONFIG_PATH": "/opt/site/lib/pkgconfig:/opt/site/share/pkgconfig",
        "PREFIX": "/opt/site",
        "PYTHON": "python3",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONUNBUFFERED": "1",
        "RECIPE": "/r/gmp",
        "SHELL": "/bin/sh",
        "SOURCE": "/b/source/gmp",
        "SOURCE_DATE_EPOCH": "1234567890",
        "TERM": "dumb",
        "TMPDIR": "/b/tmp",
        "TZ": "UTC",
        "VERSION": "6.2.1",
    }


def test_only_the_install_phase_has_destdir() -> None:
    assert found(phase="install")["DESTDIR"] == "/b/stage"
    assert not [
        phase for phase in ("prepare", "configure", "build", "check", "post_install") if "DESTDIR" in found(phase=phase)
    ]


def test_destdir_is_there_also_where_it_is_not_heeded() -> None:
    assert found("[build]\ndestdir = false\n", phase="install")["DESTDIR"] == "/b/stage"


def test_what_cannot_be_built_in_parallel_is_not() -> None:
    variables = found("[build]\nparallel = false\n")
    assert (variables["JOBS"], variables["MAKEFLAGS"]) == ("1", "-j1")


def test_what_is_not_there_has_no_variable() -> None:
    assert not {"FC", "F77", "FFLAGS", "FCFLAGS", "CXX", "CXXFLAGS"} & found(tools=Tools(Compilers("cc", ""))).keys()


def test_the_recipe_adds_and_replaces() -> None:
    variables = found("[environment]\nCFLAGS = '-O3 -I{prefix}/x'\nABI = '{major}-{jobs}'\nPREFIX = '/other'\n")
    assert (variables["CFLAGS"], variables["ABI"], variables["PREFIX"]) == ("-O3 -I/opt/site/x", "6-4", "/opt/site")


def test_flags_of_the_configuration() -> None:
    flags = Flags(c="-O3", cpp="-DX", ld="-s")
    variables = found(tools=Tools(Compilers("cc"), flags))
    assert variables["CFLAGS"] == "-O3"
    assert variables["CPPFLAGS"] == "-I/opt/site/include -DX"
    assert variables["LDFLAGS"] == "-L/opt/site/lib -Wl,-rpath,/opt/site/lib -s"


def test_what_is_kept_stands_behind_ours() -> None:
    theirs = {"PATH": "/opt/gcc/bin:/usr/bin", "CPPFLAGS": "-I/opt/gcc/include", "CC": "icc", "LD_LIBRARY_PATH": "/x"}
    variables = found(tools=Tools(Compilers("gcc"), kept=theirs))
    assert variables["PATH"] == "/opt/site/bin:/opt/gcc/bin:/usr/bin"
    assert variables["CPPFLAGS"] == "-I/opt/site/include -I/opt/gcc/include"
    assert variables["CC"] == "icc"
    assert variables["LD_LIBRARY_PATH"] == "/x"


def test_what_names_the_build_cannot_be_kept() -> None:
    theirs = dict.fromkeys(("HOME", "TMPDIR", "PREFIX", "DESTDIR", "JOBS", "MAKEFLAGS", "NAME", "VERSION"), "theirs")
    assert "theirs" not in found(tools=Tools(kept=theirs), phase="install").values()


def test_patterns_say_what_is_kept() -> None:
    caller = {"LOADEDMODULES": "gcc", "LMOD_CMD": "x", "EDITOR": "vi", "lmod_x": "y"}
    assert kept(caller, ["LMOD_*", "LOADEDMODULE?"]) == {"LOADEDMODULES": "gcc", "LMOD_CMD": "x"}
    assert kept(caller, []) == {}


def test_an_interpreter_of_another_place_is_told_where_modules_are() -> None:
    python = Interpreter("/usr/bin/python3", paths=("/opt/site/lib/python3.11/site-packages",))
    variables = found(tools=Tools(python=python))
    assert variables["PYTHON"] == "/usr/bin/python3"
    assert variables["PYTHONPATH"] == "/opt/site/lib/python3.11/site-packages"

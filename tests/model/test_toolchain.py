"""Which packages builds use without saying so."""

from __future__ import annotations

import sys

import pytest

from shipway.model.standard_names import OF_2, OF_3, OF_BOTH
from shipway.model.toolchain import toolchain_reasons

OLD = "lib/python2.7/site-packages"
NEW = "lib/python3.11/site-packages"

FUTURE_EVERYWHERE = """
    future/__init__.py future/backports/__init__.py future/backports/html/__init__.py future/backports/http/client.py
    future/backports/socketserver.py future/backports/test/__init__.py future/backports/xmlrpc/client.py
    future/builtins/__init__.py future/moves/queue.py future/moves/tkinter/__init__.py future/standard_library/__init__.py
    future/tests/base.py future/types/newint.py future/utils/__init__.py libfuturize/__init__.py libfuturize/fixes/fix_print.py
    libpasteurize/__init__.py libpasteurize/fixes/fix_imports.py past/__init__.py past/builtins/__init__.py
    past/translation/__init__.py past/types/basestring.py past/utils/__init__.py
    future-0.17.1-{py}.egg-info/PKG-INFO future-0.17.1-{py}.egg-info/SOURCES.txt future-0.17.1-{py}.egg-info/top_level.txt
""".split()
"""What future 0.17.1 installs, less modules that lie beside those."""

FUTURE_FOR_2 = """
    _dummy_thread/__init__.py _markupbase/__init__.py _thread/__init__.py builtins/__init__.py copyreg/__init__.py
    html/__init__.py html/entities.py html/parser.py http/__init__.py http/client.py http/cookiejar.py http/cookies.py
    http/server.py queue/__init__.py reprlib/__init__.py socketserver/__init__.py tkinter/__init__.py tkinter/colorchooser.py
    tkinter/commondialog.py tkinter/constants.py tkinter/dialog.py tkinter/dnd.py tkinter/filedialog.py tkinter/font.py
    tkinter/messagebox.py tkinter/scrolledtext.py tkinter/simpledialog.py tkinter/tix.py tkinter/ttk.py winreg/__init__.py
    xmlrpc/__init__.py xmlrpc/client.py xmlrpc/server.py
""".split()
"""All the modules that future 0.17.1 installs beside, where the interpreter is a Python 2."""

SIX = [
    "six.py",
    "__pycache__/six.cpython-311.pyc",
    *(f"six-1.17.0.dist-info/{name}" for name in ("LICENSE", "METADATA", "WHEEL", "top_level.txt", "RECORD")),
]


def below(site: str, paths: list[str], py: str = "") -> list[str]:
    return [f"{site}/{path.format(py=py)}" for path in paths]


def test_future_is_found_for_2_7() -> None:
    (reason,) = toolchain_reasons(below(OLD, [*FUTURE_EVERYWHERE, *FUTURE_FOR_2], "py2.7"))
    assert reason == (
        "brings _dummy_thread, _markupbase, _thread, builtins, copyreg, html, http, queue, reprlib, socketserver, tkinter, winreg "
        "and xmlrpc, named like a standard module of Python 3, in lib/python2.7/site-packages"
    )


def test_future_is_not_found_for_3() -> None:
    assert toolchain_reasons([*below(NEW, FUTURE_EVERYWHERE, "py3.11"), "bin/futurize", "bin/pasteurize"]) == []


@pytest.mark.parametrize("site", [OLD, NEW, "lib/python3/dist-packages"])
def test_six_is_never_found(site: str) -> None:
    assert toolchain_reasons(below(site, SIX)) == []


@pytest.mark.parametrize(
    "path",
    [
        f"{NEW}/dataclasses.py",
        f"{NEW}/typing.py",
        f"{NEW}/enum/__init__.py",
        f"{OLD}/enum/__init__.py",
        f"{NEW}/test/__init__.py",
        f"{NEW}/queue.pyc",
        f"{NEW}/queue/part.py",
        f"{NEW}/queue/deeper/part.py",
        f"{NEW}/Queue.py",
        f"{NEW}/_ctypes.cpython-311-x86_64-linux-gnu.so",
        f"{NEW}/_queue.abi3.so",
        f"{NEW}/audioop.so",
        "lib64/python3.11/site-packages/queue.py",
        "lib/python3/dist-packages/queue.py",
        "Lib/site-packages/queue.py",
        "site-packages/queue.py",
        "opt/app/lib/python3.9/site-packages/queue.py",
        f"{NEW}/pip/__init__.py",
        f"{NEW}/setuptools/__init__.py",
        f"{NEW}/pkg_resources/__init__.py",
        f"{NEW}/wheel/__init__.py",
        f"{NEW}/_distutils_hack/__init__.py",
        f"{NEW}/easy_install.py",
        f"{NEW}/distutils-precedence.pth",
        f"{NEW}/thing-nspkg.pth",
        f"{NEW}/sitecustomize.py",
        f"{NEW}/usercustomize/__init__.py",
        "lib/python3.11/sitecustomize.py",
        "lib/python2.7/distutils/distutils.cfg",
    ],
)
def test_is_found(path: str) -> None:
    (reason,) = toolchain_reasons([path])
    assert reason.startswith("brings ")


@pytest.mark.parametrize(
    "path",
    [
        f"{NEW}/queue",
        f"{NEW}/queue.txt",
        f"{NEW}/queue.pyi",
        f"{NEW}/queue/data.txt",
        f"{NEW}/queue-1.0.dist-info/entry.py",
        f"{NEW}/queue-1.0.egg-info/PKG-INFO",
        f"{OLD}/queue/part.py",
        f"{OLD}/queue/deeper/__init__.py",
        f"{NEW}/__pycache__/queue.cpython-311.pyc",
        f"{NEW}/thing/queue.py",
        f"{NEW}/thing/data.pth",
        f"{NEW}/thing/site-packages/queue.py",
        f"{NEW}/queue_thing.py",
        f"{NEW}/build/__init__.py",
        f"{NEW}/numpy/testing/__init__.py",
        "lib/python3.11/queue.py",
        "lib/python3.11/distutils/__init__.py",
        "lib/python3.11/thing/sitecustomize.py",
        "share/thing/queue.py",
        "bin/pip",
        "site-packages",
        "lib/queue.so",
        "",
    ],
)
def test_is_not_found(path: str) -> None:
    assert toolchain_reasons([path]) == []


def test_says_each_reason_once() -> None:
    paths = below(
        NEW, ["pip/__init__.py", "pip/__main__.py", "wheel/cli.py", "a.pth", "Queue.py", "queue.py", "abc.py"]
    )
    assert toolchain_reasons(paths) == [
        f"brings pip and wheel, which the build of every Python package imports, in {NEW}",
        f"brings a.pth, which every Python obeys when it starts, in {NEW}",
        f"brings Queue, named like a standard module of Python 2, in {NEW}",
        f"brings queue, named like a standard module of Python 3, in {NEW}",
        f"brings abc, named like a standard module of Python 2 and 3, in {NEW}",
    ]


def test_knows_the_names_of_this_python() -> None:
    if sys.version_info < (3, 15):
        assert {n for n in sys.stdlib_module_names if not n.startswith("_sysconfigdata")} <= OF_BOTH | OF_3


def test_no_name_is_in_two_lists() -> None:
    assert not (OF_BOTH & OF_2 or OF_BOTH & OF_3 or OF_2 & OF_3)
    assert {"test", "queue", "Queue", "winreg", "_markupbase"} <= OF_BOTH | OF_2 | OF_3
    assert not {"six", "future", "tests", "lib", "xx", "__main__"} & (OF_BOTH | OF_2 | OF_3)

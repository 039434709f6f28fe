"""Projects that distutils and setuptools installed before there were wheels."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.cli.shop import command
from tests.installing.shop import Venv, run, tree
from tests.installing.test_strangers import NEW

ABOUT = "Metadata-Version: 1.1\nName: Thing\nVersion: 1.0\n"


def module(venv: Venv) -> None:
    write(venv.site / "thing/__init__.py", 'VERSION = "1.0"\n')
    write(venv.root / "bin/thing-old", "#!/bin/sh\n")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def with_list(venv: Venv) -> None:
    """`pip install` of an sdist, by a pip of 2018."""
    module(venv)
    info = venv.site / "Thing-1.0-py3.6.egg-info"
    write(info / "PKG-INFO", ABOUT)
    write(info / "top_level.txt", "thing\n")
    own = [
        "../thing/__init__.py",
        "../thing/__pycache__/__init__.cpython-36.pyc",
        "../../../../bin/thing-old",
        "PKG-INFO",
    ]
    write(info / "installed-files.txt", "\n".join([*own, "top_level.txt", ""]))


def egg(venv: Venv) -> None:
    """`setup.py install`."""
    place = venv.site / "Thing-1.0-py3.11.egg"
    write(place / "thing/__init__.py", 'VERSION = "1.0"\n')
    write(place / "EGG-INFO/PKG-INFO", ABOUT)
    write(place / "EGG-INFO/scripts/thing-old", "")
    write(venv.root / "bin/thing-old", "#!/bin/sh\n")
    write(venv.site / "easy-install.pth", "./Thing-1.0-py3.11.egg\n./other-1.0-py3.11.egg\n")


def packed_egg(venv: Venv) -> None:
    with zipfile.ZipFile(venv.site / "Thing-1.0-py3.11.egg", "w") as archive:
        archive.writestr("thing.py", 'VERSION = "1.0"\n')
        archive.writestr("EGG-INFO/PKG-INFO", ABOUT)
        archive.writestr("EGG-INFO/entry_points.txt", "[console_scripts]\nthing-old = thing:main\n")
    write(venv.root / "bin/thing-old", "#!/bin/sh\n")
    write(venv.site / "easy-install.pth", "./Thing-1.0-py3.11.egg\n")


def of_distutils(venv: Venv) -> None:
    module(venv)
    write(venv.site / "Thing-1.0-py3.11.egg-info", ABOUT)


def of_a_distribution(venv: Venv) -> None:
    module(venv)
    write(venv.site / "Thing-1.0.egg-info/PKG-INFO", ABOUT)


def development(venv: Venv) -> None:
    source = venv.root.parent / "source"
    write(source / "thing/__init__.py", 'VERSION = "1.0"\n')
    write(source / "Thing.egg-info/PKG-INFO", ABOUT)
    write(venv.site / "Thing.egg-link", f"{source}\n.")
    write(venv.site / "easy-install.pth", f"{source}\n")


KNOWN = [with_list, egg, packed_egg]
UNKNOWN = [of_distutils, of_a_distribution, development]


@pytest.mark.parametrize("made", KNOWN)
def test_one_whose_files_are_known_is_replaced_and_given_back(made: object, venv: Venv) -> None:
    made(venv)  # type: ignore[operator]
    before = tree(venv.root)
    assert venv.says("import thing; print(thing.VERSION)") == "1.0"
    venv.offer(NEW)
    ran = venv.done("install", "-U", "thing")
    assert "1.0 → 2.0" in ran.out, ran.out
    assert venv.projects() == ["thing-2.0"] and not list(venv.site.glob("Thing-1.0*"))
    assert not (venv.root / "bin/thing-old").exists()
    assert venv.says("import thing; print(thing.VERSION)") == "2.0"
    venv.shipway("verify")
    venv.shipway("undo")
    assert tree(venv.root) == before


@pytest.mark.parametrize("made", KNOWN)
def test_one_whose_files_are_known_is_removed(made: object, venv: Venv) -> None:
    made(venv)  # type: ignore[operator]
    venv.done("uninstall", "-y", "thing")
    assert [path for path in tree(venv.root, bytecode=True) if "hing" in path] == []
    assert "ModuleNotFoundError" in venv.says("import thing")


@pytest.mark.parametrize("made", UNKNOWN)
def test_one_whose_files_nobody_knows_is_seen_and_refused_in_a_sentence(made: object, venv: Venv) -> None:
    made(venv)  # type: ignore[operator]
    before = tree(venv.root)
    for words in (("pip", "uninstall", "-y", "thing"), ("adopt", "thing")):
        ran = run(command("-p", str(venv.root), *words), venv.wheels)
        assert ran.code == 1 and tree(venv.root) == before
        sentence = "development install" if made is development else "cannot be removed accurately"
        assert "thing 1.0 " in ran.err and sentence in ran.err, ran.err
    ran = venv.shipway("adopt", "--all")
    assert "left alone: thing 1.0" in ran.err


def test_one_whose_files_nobody_knows_can_be_installed_over(venv: Venv) -> None:
    of_distutils(venv)
    venv.offer(NEW)
    assert venv.pip("install", "-U", "thing").code == 1
    assert venv.pip("install", "-I", "thing").code == 3
    venv.done("install", "-I", "--on-conflict", "overwrite", "thing")
    assert venv.says("import thing; print(thing.VERSION)") == "2.0"

"""When everything is there already, that is known without pip; whatever is not surely so is left to pip."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from shipway.errors import ShipwayError
from shipway.python.distributions import installed
from shipway.python.pip_arguments import parse
from shipway.python.settled import settled
from shipway.python.target import Target, of_interpreter
from shipway.python.understanding import understanding
from tests.installing.shop import Venv
from tests.installing.wheels import Wheel

THERE = (
    Wheel("app", "2.0", requires=("lib>=1", "tiny[fast]; python_version > '3'", "never; python_version < '3'")),
    Wheel("lib", "1.5", requires=("app",), extras={"more": "absent"}),
    Wheel("tiny", "0.1b2", extras={"fast": "lib<2", "slow": "absent"}),
    Wheel("needy", "1.0", requires=("absent>=1",)),
    Wheel("old", "1.0", requires=("lib>=2",)),
)
YES = (
    "app==2.0",
    "app lib tiny",
    "app>=1,<3",
    "App[]",
    "tiny[fast]==0.1b2",
    "app==2.0 --upgrade-strategy eager",
    "needy --no-deps",
    "absent;python_version<'3' app",
    "app --find-links /nowhere --pre --no-binary :all:",
    "-r FILE",
    "-r FILE -c LIMITS",
)
NO = (
    "app==2.1",
    "absent",
    "app absent",
    "needy",
    "old",
    "lib[more]",
    "lib[unknown]",
    "tiny[slow]",
    "app --upgrade",
    "app --force-reinstall",
    "app -I",
    "-e .",
    "./app",
    "app@https://example.org/app-2.0-py3-none-any.whl",
    "app-2.0-py3-none-any.whl",
    "app -c TIGHT",
    "app -c LINK",
    "app --use-deprecated legacy-resolver",
    "-r https://example.org/requirements.txt",
    "-r STRANGE",
    "--group dev app",
)
FILES: Mapping[str, str] = {
    "FILE": "# all\napp==2.0 --hash=sha256:00 \\\n  --hash=sha256:11\n--index-url https://example.org\n-r more.txt\n",
    "more.txt": "lib >= 1 # enough\n${EMPTY}\n".replace("${EMPTY}", "tiny"),
    "LIMITS": "absent<1\nlib<2\n",
    "TIGHT": "lib<1.5\n",
    "LINK": "lib @ file:///nowhere/lib-1.5-py3-none-any.whl\n",
    "STRANGE": "app\n-e .\n",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("settled")


@pytest.fixture(scope="module")
def target(place: Path) -> Target:
    """An environment with metadata alone."""
    (place / "pyvenv.cfg").write_text("")
    for wheel in THERE:
        (place / "site" / wheel.info).mkdir(parents=True)
        (place / "site" / wheel.info / "METADATA").write_text(wheel.metadata())
    for name, text in FILES.items():
        (place / name).write_text(text)
    site = str(place / "site")
    paths = {
        "purelib": site,
        "platlib": site,
        "scripts": f"{place}/bin",
        "data": str(place),
        "headers": f"{place}/include",
    }
    return Target(sys.executable, str(place), paths)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings but those of a test."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("PIP_FIND_LINKS", "PIP_CONFIG_FILE", "PYTHONPATH", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)


def is_settled(target: Target, words: str) -> bool:
    parts = [f"{target.root}/{word}" if word in FILES else word for word in words.split()]
    try:
        found = understanding(target, parse(parts, "install"))
    except (ShipwayError, ValueError):
        return False
    return found.plain and settled(target, found, {each.key: each for each in installed(target)})


@pytest.mark.parametrize("words", YES)
def test_what_is_there_with_all_it_needs_is_known(target: Target, words: str) -> None:
    assert is_settled(target, words)


@pytest.mark.parametrize("words", NO)
def test_whatever_else_is_left_to_pip(target: Target, words: str) -> None:
    assert not is_settled(target, words)


@pytest.mark.parametrize(
    ("name", "value", "known"),
    [
        ("PIP_UPGRADE", "1", False),
        ("PIP_UPGRADE", "0", True),
        ("PIP_UPGRADE", "", True),
        ("PIP_INDEX_URL", "https://example.org", True),
        ("PIP_CONSTRAINT", "TIGHT", False),
        ("PIP_CONSTRAINT", "LIMITS", True),
        ("PIP_REQUIREMENT", "STRANGE", False),
        ("PIP_USE_DEPRECATED", "legacy-resolver", False),
        ("PIP_SOMETHING_NEW", "1", False),
        ("PYTHONPATH", "site", False),
    ],
)
def test_the_variables_of_pip_count(
    target: Target, monkeypatch: pytest.MonkeyPatch, name: str, value: str, known: bool
) -> None:
    monkeypatch.setenv(name, f"{target.root}/{value}" if value in (*FILES, "site") else value)
    assert is_settled(target, "app") is known


def test_the_configuration_files_of_pip_count(target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / ".config/pip/pip.conf"
    own.parent.mkdir(parents=True)
    own.write_text("[global]\nindex-url = https://example.org\n[install]\nforce_reinstall = yes\n[list]\nodd = 1\n")
    assert not is_settled(target, "app")
    monkeypatch.setenv("PIP_FORCE_REINSTALL", "no")
    assert is_settled(target, "app")
    own.write_text("this is no configuration")
    assert not is_settled(target, "app")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    assert is_settled(target, "app")


def test_what_is_there_twice_is_left_to_pip(target: Target, place: Path) -> None:
    other = place / "site/lib-1.4.dist-info"
    other.mkdir()
    try:
        assert not is_settled(target, "app")
        assert not is_settled(target, "lib --no-deps")
        assert is_settled(target, "needy --no-deps")
    finally:
        other.rmdir()


def test_another_interpreter_is_asked_for_its_markers(venv: Venv, monkeypatch: pytest.MonkeyPatch) -> None:
    venv.offer(Wheel("some-lib", requires=("absent; sys_platform == 'plan9'",)))
    venv.done("install", "some-lib")
    target = of_interpreter(venv.python)
    monkeypatch.setattr(sys, "executable", "/bin/true")
    assert is_settled(target, "some-lib;python_version>'3'")


def test_pip_agrees(venv: Venv) -> None:
    """And is not asked."""
    for wheel in THERE:
        venv.offer(wheel)
    venv.done("install", "--no-deps", *(wheel.name for wheel in THERE), "tiny==0.1b2")
    history = venv.history()
    for words in (["app"], ["app==2.0", "lib", "tiny[fast]"], ["needy", "--no-deps"]):
        ran = venv.done("install", *words)
        assert "resolving" not in ran.err
        assert ran.out.startswith("everything is as wanted")
        assert "Would install" not in venv.own_pip("install", "--dry-run", *words).out
    assert venv.history() == history
    assert "resolving" in venv.pip("install", "needy").err

"""Which environment is meant, which options pass, and what is handed on to pip."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.shop import Ran, command
from tests.installing.shop import VERSION, Venv, run
from tests.installing.wheels import Wheel

LIB = Wheel("some-lib", "1.2", scripts={"lib": "some_lib:main"})


def bare(venv: Venv, *words: str, cwd: Path, **more: str) -> Ran:
    """`shipway pip …` with no environment named before it."""
    return run(command("pip", *words), venv.wheels, cwd, **more)


def test_virtual_env_then_the_nearest_dot_venv_then_none(venv: Venv, tmp_path: Path) -> None:
    venv.offer(LIB)
    deep = tmp_path / "project" / "a" / "b"
    deep.mkdir(parents=True)
    refused = bare(venv, "install", "some-lib", cwd=deep)
    assert refused.code == 2
    assert "python3 -m venv .venv" in refused.err
    assert bare(venv, "install", "some-lib", cwd=deep, VIRTUAL_ENV=str(venv.root)).code == 0
    assert venv.projects() == ["some_lib-1.2"]
    (tmp_path / "project" / ".venv").symlink_to(venv.root)
    assert "1.2" in bare(venv, "list", cwd=deep).out
    assert bare(venv, "uninstall", "-y", "some-lib", cwd=deep).code == 0
    assert venv.projects() == []


@pytest.mark.parametrize("which", ["bin/python", ""])
def test_an_interpreter_or_its_environment_can_be_named(venv: Venv, which: str, tmp_path: Path) -> None:
    venv.offer(LIB)
    ran = bare(venv, "install", "--python", str(venv.root / which), "some-lib", cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert venv.projects() == ["some_lib-1.2"]
    assert venv.script("lib") == "1.2"


def test_a_target_directory_holds_projects_directly(venv: Venv, tmp_path: Path) -> None:
    venv.offer(LIB)
    place = tmp_path / "vendored"
    ran = venv.pip("install", "--target", str(place), "some-lib")
    assert ran.code == 0, ran.err
    assert (place / "some_lib.py").is_file() and (place / "bin" / "lib").is_file()
    assert venv.projects() == []
    again = venv.pip("install", "--target", str(place), "some-lib")
    assert again.out.startswith("everything is as wanted")
    venv.offer(Wheel("some-lib", "1.3"))
    assert "1.2 → 1.3" in venv.done("install", "--target", str(place), "--upgrade", "some-lib").out
    assert not (place / "bin" / "lib").exists()
    assert (
        venv.says(f"import sys; sys.path.insert(0, {str(place)!r}); import some_lib; print(some_lib.VERSION)") == "1.3"
    )


def test_a_plain_prefix_of_an_interpreter(venv: Venv, tmp_path: Path) -> None:
    venv.offer(LIB)
    place = tmp_path / "plain"
    ran = bare(venv, "install", "--prefix", str(place), "--python", venv.python, "some-lib", cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert (place / "lib" / VERSION / "site-packages" / "some_lib.py").is_file()
    assert (place / "bin" / "lib").is_file()


def test_what_the_distribution_manages_is_left_alone(venv: Venv, tmp_path: Path) -> None:
    """An interpreter whose standard library says so: a script in its place answers as such a one does."""
    fake = tmp_path / "managed" / "bin" / "python3"
    fake.parent.mkdir(parents=True)
    library = tmp_path / "managed" / "lib"
    library.mkdir()
    (library / "EXTERNALLY-MANAGED").write_text("[externally-managed]\nError=use apt\n")
    fake.write_text(f"""#!/bin/sh
shift 2
script=$(printf '%s' "$1" | sed 's|sysconfig.get_path("stdlib", default())|"{library}"|; s|sys.base_prefix|sys.prefix|')
exec {venv.python} -I -c "$script" "$2"
""")
    fake.chmod(0o755)
    refused = bare(venv, "install", "--python", str(fake), "some-lib", cwd=tmp_path)
    assert refused.code == 1
    assert "EXTERNALLY-MANAGED" in refused.err and "venv" in refused.err


def test_all_options_that_cannot_be_are_named_at_once(venv: Venv) -> None:
    refused = venv.pip("install", "--user", "--root", "/x", "some-lib")
    assert refused.code == 2
    assert "--root, --user cannot be used here" in refused.err
    unknown = venv.pip("install", "--no-such", "--nor-this", "some-lib")
    assert unknown.code == 2
    assert "--no-such, --nor-this" in unknown.err
    for nothing in ("install", "uninstall", "sync"):
        assert venv.pip(nothing).code == 2


def test_other_commands_are_pip_s_with_its_exit_code(venv: Venv) -> None:
    venv.offer(Wheel("needy", requires=("some-lib>=9",)), LIB)
    venv.done("install", "needy", "--no-deps")
    assert venv.pip("check").code == 1
    assert venv.pip("show", "nobody").code == 1
    assert venv.done("freeze").out.strip() == "needy==1.0"
    assert "pip" in venv.done("--version").out
    assert "Usage" in venv.done("install", "--help").out
    told = venv.done("--python", venv.python, "install", "--dry-run", "some-lib")
    assert "would change" in told.out, "an option of pip's before the command does not lead past us"


def test_an_interpreter_that_is_none_is_told(venv: Venv, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no >&2\nexit 3\n")
    broken.chmod(0o755)
    refused = bare(venv, "install", "--python", str(broken), "some-lib", cwd=tmp_path)
    assert refused.code == 1 and "cannot be used" in refused.err
    assert bare(venv, "install", "--python", "no-such-python", "x", cwd=tmp_path).code == 2


def test_a_venv_that_was_removed_is_no_environment(venv: Venv, tmp_path: Path) -> None:
    shutil.rmtree(venv.root)
    refused = bare(venv, "install", "some-lib", cwd=tmp_path, VIRTUAL_ENV=str(venv.root))
    assert refused.code == 2
    assert "no Python of its own" in refused.err

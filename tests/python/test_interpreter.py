"""What interpreters say of themselves, and what is done with those that say nothing of use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shipway.errors import ShipwayError
from shipway.python import interpreter as module
from shipway.python.interpreter import Interpreter, from_image, inspect, of_prefix

SECOND = 1_000_000_000


def script(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_an_interpreter_tells_version_tag_and_magic_number() -> None:
    found = inspect(sys.executable)
    assert found.version == sys.version_info[:3]
    assert found.cache_tag == sys.implementation.cache_tag
    assert found.implementation == sys.implementation.name
    assert found.magic == __import__("importlib.util").util.MAGIC_NUMBER


@pytest.mark.parametrize("mtime", [1_600_000_000 * SECOND, 1_600_000_000 * SECOND + 999_999_950, 315_532_800 * SECOND])
def test_name_and_header_are_those_that_an_import_writes(interpreter: Interpreter, tmp_path: Path, mtime: int) -> None:
    source = tmp_path / "module.py"
    source.write_text("x = 1\n")
    os.utime(source, ns=(mtime, mtime))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    subprocess.run([interpreter.path, "-c", "import module"], cwd=tmp_path, env=environment, check=True)
    written = (tmp_path / interpreter.bytecode_name("module.py", 0)).read_bytes()
    header = interpreter.header(mtime, 6)
    assert written.startswith(header)
    assert len(header) == {(2, 7): 8, (3, 6): 12}.get(interpreter.version[:2], 16)


def test_a_source_with_a_dot_in_its_name_is_cached_as_the_interpreter_does(
    interpreter: Interpreter, tmp_path: Path
) -> None:
    (tmp_path / "a.b.py").write_text("x = 1\n")
    compile_it = "import py_compile, sys; py_compile.compile(sys.argv[1], doraise=True)"
    subprocess.run([interpreter.path, "-c", compile_it, str(tmp_path / "a.b.py")], check=True)
    assert (tmp_path / interpreter.bytecode_name("a.b.py", 0)).is_file()


def test_optimised_bytecode_has_the_name_of_its_time() -> None:
    def names(version: tuple[int, int, int], tag: str | None) -> list[str]:
        interpreter = Interpreter("python", version, "cpython", tag, b"")
        return [interpreter.bytecode_name("a.py", level) for level in range(3)]

    assert names((2, 7, 18), None) == ["a.pyc", "a.pyo", "a.pyo"]
    assert names((3, 4, 0), "cpython-34") == ["__pycache__/a.cpython-34." + end for end in ("pyc", "pyo", "pyo")]
    tagged = "__pycache__/a.cpython-311"
    assert names((3, 11, 0), "cpython-311") == [f"{tagged}.pyc", f"{tagged}.opt-1.pyc", f"{tagged}.opt-2.pyc"]


def test_times_before_the_epoch_and_sizes_beyond_32_bits_wrap_around() -> None:
    interpreter = Interpreter("python", (3, 11, 0), "cpython", "cpython-311", b"MAGC")
    assert interpreter.header(-SECOND, 2**32 + 5) == b"MAGC\0\0\0\0\xff\xff\xff\xff\x05\0\0\0"


def test_what_does_not_exist_is_no_interpreter(tmp_path: Path) -> None:
    with pytest.raises(ShipwayError, match="No such file") as refused:
        inspect(str(tmp_path / "python3"))
    assert "--python" in refused.value.hint


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("echo lib.so is missing >&2; exit 127", "lib.so is missing"),
        ("exit 3", "exit status 3"),
        ("kill -9 $$", "ended by signal 9"),
        ("echo hello", "answers as no Python does"),
    ],
)
def test_what_fails_or_answers_nonsense_is_refused_with_the_reason(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ShipwayError, match=why):
        inspect(script(tmp_path / "python", text))


def test_what_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_WITHIN", 0.1)
    with pytest.raises(ShipwayError, match="no answer"):
        inspect(script(tmp_path / "python", "exec sleep 100"))


def test_python_variables_of_the_user_do_not_reach_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit(9)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))
    monkeypatch.setenv("PYTHONOPTIMIZE", "2")
    assert inspect(sys.executable).version == sys.version_info[:3]


def test_a_launcher_is_replaced_by_what_it_starts(tmp_path: Path) -> None:
    launcher = script(tmp_path / "python", f'exec "{sys.executable}" "$@"')
    assert inspect(launcher).path == inspect(sys.executable).path


def test_a_prefix_prefers_python_3_and_takes_only_what_may_be_run(tmp_path: Path) -> None:
    assert of_prefix(str(tmp_path)) is None
    plain = tmp_path / "bin" / "python3"
    plain.parent.mkdir()
    plain.write_text("")
    plain.chmod(0o644)
    assert of_prefix(str(tmp_path)) is None
    two = script(tmp_path / "bin" / "python2", "")
    assert of_prefix(str(tmp_path)) == two
    plain.chmod(0o755)
    assert of_prefix(str(tmp_path)) == str(plain)


def test_the_interpreter_of_an_image_runs_with_the_images_libraries(tmp_path: Path) -> None:
    text = f'test "${{LD_LIBRARY_PATH%%:*}}" = "{tmp_path}/lib" && exec "{sys.executable}" "$@"'
    script(tmp_path / "bin" / "python3", text)
    found = from_image(str(tmp_path))
    assert found is not None
    assert found.surroundings()["LD_LIBRARY_PATH"].startswith(f"{tmp_path}/lib:{tmp_path}/lib64")


def test_a_link_out_of_an_image_is_not_its_interpreter(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(sys.executable)
    assert from_image(str(tmp_path)) is None

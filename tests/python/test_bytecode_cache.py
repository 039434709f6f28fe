"""Bytecode that other environments compiled: the same bytes without an interpreter, and the right names when it is imported."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from shipway.fs.system import FileSystem
from shipway.model.entry import FILE, Entry
from shipway.python.bytecode import Compiled, CompileRequest, compile_all
from shipway.python.bytecode_cache import directory_of, key_of
from shipway.python.interpreter import Interpreter

SOURCES = {
    "mod/__init__.py": b"from mod import inner\ndef fail():\n    return inner.fail()\n",
    "mod/inner.py": b"def fail():\n    raise ValueError('here')\n",
    "mod/broken.py": b"def (\n",
}
SECOND = 1_600_000_000_000_000_000

WHERE = """\
import inspect, sys, traceback
sys.path.insert(0, sys.argv[1])
import mod
print(mod.__cached__)
print(inspect.getsourcefile(mod.inner.fail))
print(inspect.getsource(mod.inner.fail).strip().splitlines()[0])
try:
    mod.fail()
except ValueError as error:
    print(*{frame.filename for frame in traceback.extract_tb(error.__traceback__)[1:]}, sep="\\n")
"""


def compile_into(place: Path, cache: Path, python: Interpreter, sources: Mapping[str, bytes] = SOURCES) -> Compiled:
    entries = []
    for path, data in sources.items():
        file = place / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        os.utime(file, ns=(SECOND, SECOND))
        digest = hashlib.sha256(data).hexdigest()
        entries.append((path, Entry(file.name, FILE, 0o644, len(data), SECOND, digest)))
    request = CompileRequest(python, str(place), entries, str(place), (0, 1), 1, 60.0, str(cache))
    return compile_all(FileSystem(), request)


def bytecode(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*.pyc")}


def without_python(python: Interpreter) -> Interpreter:
    """The same interpreter, but nothing can be run any longer."""
    return python._replace(path="/nowhere/python")


def test_what_was_compiled_once_needs_no_interpreter_again(tmp_path: Path, python3: Interpreter) -> None:
    first = compile_into(tmp_path / "a", tmp_path / "cache", python3)
    second = compile_into(tmp_path / "b", tmp_path / "cache", without_python(python3))
    assert second == first
    assert dict(first.failed).keys() == {"mod/broken.py"}
    assert len(first.entries) == 5
    assert bytecode(tmp_path / "a") == bytecode(tmp_path / "b")


def test_without_the_cache_it_needs_one(tmp_path: Path, python3: Interpreter) -> None:
    compile_into(tmp_path / "a", tmp_path / "cache", python3)
    assert not compile_into(tmp_path / "b", tmp_path / "other", without_python(python3)).entries


def test_tracebacks_and_inspect_name_the_file_that_was_imported(tmp_path: Path, python3: Interpreter) -> None:
    compile_into(tmp_path / "a", tmp_path / "cache", python3)
    compile_into(tmp_path / "b", tmp_path / "cache", without_python(python3))
    before = bytecode(tmp_path / "b")
    ran = subprocess.run([sys.executable, "-c", WHERE, str(tmp_path / "b")], capture_output=True, text=True, check=True)
    place = tmp_path / "b" / "mod"
    cached, source, line, *frames = ran.stdout.splitlines()
    assert Path(cached).parent == place / "__pycache__"
    assert source == str(place / "inner.py")
    assert line == "def fail():"
    assert sorted(frames) == [str(place / "__init__.py"), str(place / "inner.py")]
    assert bytecode(tmp_path / "b") == before


@pytest.mark.parametrize("at", [0, 10, 64, 65, 200, -1])
def test_a_damaged_pack_is_as_good_as_none(tmp_path: Path, python3: Interpreter, at: int) -> None:
    sound = compile_into(tmp_path / "a", tmp_path / "cache", python3)
    [pack] = (tmp_path / "cache").iterdir()
    data = bytearray(pack.read_bytes())
    data[at] ^= 1
    pack.write_bytes(data)
    mended = compile_into(tmp_path / "b", tmp_path / "cache", python3)
    assert mended.entries.keys() == sound.entries.keys()
    assert compile_into(tmp_path / "c", tmp_path / "cache", without_python(python3)) == mended


@pytest.mark.parametrize("length", [0, 1, 64, 65, 100, 400])
def test_so_is_a_pack_that_was_cut(tmp_path: Path, python3: Interpreter, length: int) -> None:
    sound = compile_into(tmp_path / "a", tmp_path / "cache", python3)
    [pack] = (tmp_path / "cache").iterdir()
    pack.write_bytes(pack.read_bytes()[:length])
    mended = compile_into(tmp_path / "b", tmp_path / "cache", python3)
    assert (mended.entries.keys(), mended.failed) == (sound.entries.keys(), sound.failed)


def test_other_content_paths_levels_or_interpreters_have_other_packs(python3: Interpreter) -> None:
    def key(python: Interpreter = python3, level: int = 0, path: str = "m.py", digest: str = "ab") -> str:
        return key_of(python, (level,), [(path, Entry("m.py", FILE, digest=digest))])

    others = [
        key(python3._replace(magic=b"1234")),
        key(python3._replace(version=(3, 11, 99))),
        key(level=1),
        key(path="n.py"),
        key(digest="cd"),
    ]
    assert len({key(), *others}) == 6
    assert key(python3._replace(implementation="pypy")) == ""
    assert key(python3._replace(version=(2, 7, 18))) == ""


def test_many_may_fill_it_at_once(tmp_path: Path, python3: Interpreter) -> None:
    children = [fill_in_child(tmp_path / str(number), tmp_path / "cache", python3) for number in range(5)]
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 5
    assert len(list((tmp_path / "cache").iterdir())) == 1
    assert compile_into(tmp_path / "last", tmp_path / "cache", without_python(python3)).entries


def fill_in_child(place: Path, cache: Path, python: Interpreter) -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(0 if compile_into(place, cache, python).entries else 1)
    return pid


def test_a_cache_that_cannot_be_written_stops_nothing(tmp_path: Path, python3: Interpreter) -> None:
    (tmp_path / "cache").write_text("a file\n")
    assert compile_into(tmp_path / "a", tmp_path / "cache", python3).entries


def test_where_it_lies() -> None:
    assert directory_of({"SHIPWAY_CACHE": "/c"}) == "/c"
    assert directory_of({"XDG_CACHE_HOME": "/x"}) == "/x/shipway"
    assert directory_of({}).endswith("/.cache/shipway")

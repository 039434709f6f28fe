"""Bytecode compiled into an image: for the final path, valid where it lies, and never a failure."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from shipway.fs.system import FileSystem
from shipway.model.entry import DIRECTORY, FILE, LINK, Entry, manifest_of
from shipway.python.bytecode import Compiled, CompileRequest, compile_all, levels_found, python_sources
from shipway.python.compiler import Setting, Task, compiled
from shipway.python.interpreter import Interpreter

MODULES: Mapping[str, bytes] = {
    "pkg/__init__.py": b"",
    "pkg/a.py": b'"""Doc."""\nclass A(object):\n    def f(self):\n        return (lambda: [x for x in (1, 2)])()\nassert 1\n',
    "pkg/sub/__init__.py": b"from pkg import a\n",
    "pkg/sub/b.py": b"# -*- coding: latin-1 -*-\nname = '\xe9'\r\n",
    "top.py": b"import pkg.a, pkg.sub.b\n",
}

# Prints every file name in the code objects of the bytecode files named, by whatever Python runs it.
NAMES_IN_CODE = """\
import json, marshal, sys
skip = 8 if sys.version_info < (3, 3) else 12 if sys.version_info < (3, 7) else 16
names = set()
def walk(code):
    names.add(code.co_filename)
    for constant in code.co_consts:
        if isinstance(constant, type(code)):
            walk(constant)
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        walk(marshal.loads(file.read()[skip:]))
print(json.dumps(sorted(names)))
"""


class Tree:
    """An image's tree with a few sources, and where it will lie."""

    def __init__(self, root: Path, interpreter: Interpreter) -> None:
        self.stage, self.final = root / "stage", root / "final"
        self.interpreter = interpreter
        self.sources: list[tuple[str, Entry]] = []
        self.stage.mkdir()

    def add(self, files: Mapping[str, bytes], mode: int = 0o644, mtime: int = 1_600_000_000_123_456_789) -> Tree:
        for path, data in files.items():
            file = self.stage / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
            file.chmod(mode)
            os.utime(file, ns=(mtime, mtime))
            self.sources.append((path, Entry(file.name, FILE, mode, len(data), mtime)))
        return self

    def compile(self, *levels: int, jobs: int = 2, fs: FileSystem | None = None, patience: float = 60.0) -> Compiled:
        request = CompileRequest(
            self.interpreter,
            str(self.stage),
            self.sources,
            lambda path: f"{self.final}/{path}",
            levels or (0,),
            jobs,
            patience,
        )
        return compile_all(fs or FileSystem(), request)

    def files(self, result: Compiled) -> list[str]:
        return [path for path, entry in result.entries.items() if entry.kind == FILE]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the interpreter, writing bytecode as any user's would."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        command = [self.interpreter.path, "-s", *arguments]
        return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=True)


@pytest.fixture
def tree(tmp_path: Path, interpreter: Interpreter) -> Tree:
    return Tree(tmp_path, interpreter)


@pytest.fixture
def tree3(tmp_path: Path, python3: Interpreter) -> Tree:
    return Tree(tmp_path, python3)


def snapshot(root: Path) -> dict[str, tuple[int, int, int]]:
    found = {}
    for path in root.rglob("*"):
        if path.is_file():
            status = path.stat()
            found[str(path)] = (status.st_ino, status.st_mtime_ns, status.st_size)
    return found


def test_code_names_the_final_path_and_never_the_stage(tree: Tree) -> None:
    result = tree.add(MODULES).compile(0, 1)
    paths = [str(tree.stage / path) for path in tree.files(result)]
    names = json.loads(tree.run("-c", NAMES_IN_CODE, *paths).stdout)
    assert names == sorted(str(tree.final / path) for path in MODULES)
    assert all(os.fsencode(tree.stage) not in Path(path).read_bytes() for path in paths)


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("mtime", [1_600_000_000_123_456_789, 1_600_000_000_999_999_999])
def test_the_interpreter_uses_the_bytecode_and_does_not_write_it_again(tree: Tree, level: int, mtime: int) -> None:
    tree.add(MODULES, mtime=mtime).compile(0, level)
    tree.stage.rename(tree.final)
    before = snapshot(tree.final)
    program = f"import sys; sys.path.insert(0, {str(tree.final)!r}); import top; print(top.pkg.a.__file__)"
    ran = tree.run(*["-O"] * level, "-v", "-c", program)
    assert snapshot(tree.final) == before
    for path in MODULES:
        source = tree.final / path
        bytecode = source.parent / tree.interpreter.bytecode_name(source.name, level)
        assert f"{bytecode} matches {source}" in ran.stderr


def test_an_edited_source_is_noticed(tree: Tree) -> None:
    tree.add({"m.py": b"print('old')\n"}).compile()
    tree.stage.rename(tree.final)
    (tree.final / "m.py").write_text("print('new')\n")
    program = f"import sys; sys.path.insert(0, {str(tree.final)!r}); import m"
    assert tree.run("-c", program).stdout == "new\n"


def test_bytecode_has_the_time_and_mode_of_its_source_whatever_the_umask(
    tmp_path: Path, either_layout: Interpreter
) -> None:
    tree = Tree(tmp_path, either_layout)
    tree.add({"a.py": b"", "d/a.py": b""}, mode=0o4775, mtime=77_000_000_001).add({"private.py": b""}, mode=0o600)
    previous = os.umask(0o077)
    try:
        result = tree.compile(0, 1, 2)
    finally:
        os.umask(previous)
    for path in tree.files(result):
        entry, status = result.entries[path], (tree.stage / path).stat()
        assert entry.mode == status.st_mode & 0o7777 == (0o600 if "private" in path else 0o664)
        assert entry.mtime == status.st_mtime_ns
        assert entry.mtime == (1_600_000_000_123_456_789 if "private" in path else 77_000_000_001)


def test_entries_are_derived_and_say_what_is_on_disk(tree3: Tree) -> None:
    tree3.add(MODULES)
    (tree3.stage / "pkg").chmod(0o2775)
    result = tree3.compile(0, 2)
    assert list(result.entries) == sorted(result.entries)
    assert len(tree3.files(result)) == 2 * len(MODULES)
    for path, entry in result.entries.items():
        assert entry.derived
        assert entry.name == path.rpartition("/")[2]
        if entry.kind == FILE:
            assert entry.digest == hashlib.sha256((tree3.stage / path).read_bytes()).hexdigest()
            assert entry.size == (tree3.stage / path).stat().st_size
    directories = {path: entry.mode for path, entry in result.entries.items() if entry.kind == DIRECTORY}
    assert set(directories) == {"__pycache__", "pkg/__pycache__", "pkg/sub/__pycache__"}
    assert directories["pkg/__pycache__"] == (tree3.stage / "pkg/__pycache__").stat().st_mode & 0o7777 == 0o2775


def test_python_2_bytecode_lies_beside_its_source_and_needs_no_directory(tmp_path: Path, python2: Interpreter) -> None:
    result = Tree(tmp_path, python2).add({"d/a.py": b"print 1\n"}).compile(0, 1, 2)
    assert set(result.entries) == {"d/a.pyc", "d/a.pyo"}


def test_a_cache_directory_that_is_there_is_used_and_not_listed_again(tree3: Tree) -> None:
    tree3.add({"a.py": b""})
    (tree3.stage / "__pycache__").mkdir()
    assert tree3.compile().entries.keys() == {f"__pycache__/a.{tree3.interpreter.cache_tag}.pyc"}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"print 'two'\n", "SyntaxError"),
        (b"x = '\xff'\n", "SyntaxError"),
        (b"# coding: no-such-thing\n", "SyntaxError"),
        (b"x = 1\0\n", "Error"),
        (b"x = " + b"(" * 3000 + b")" * 3000, "Error"),
        (b"\xff\xfe\0x", "Error"),
    ],
)
def test_a_source_that_does_not_compile_is_reported_and_the_others_are_compiled(
    tree3: Tree, content: bytes, why: str
) -> None:
    result = tree3.add({"bad.py": content, "good.py": b"x = 1\n"}).compile(0, 1)
    ((path, reason),) = result.failed
    assert path == "bad.py"
    assert why in reason
    assert "\n" not in reason
    assert result.warnings == ()
    assert len(tree3.files(result)) == 2


def test_python_2_reports_what_only_python_3_understands_once(tmp_path: Path, python2: Interpreter) -> None:
    result = Tree(tmp_path, python2).add({"three.py": b"async def f(): pass\n", "two.py": b"exec 'x'\n"}).compile(0, 1)
    assert [path for path, _ in result.failed] == ["three.py"]
    assert set(result.entries) == {"two.pyc", "two.pyo"}


def test_a_source_that_changed_or_vanished_meanwhile_is_reported(tree3: Tree) -> None:
    tree3.add({"changed.py": b"x = 1\n", "gone.py": b""})
    (tree3.stage / "changed.py").write_bytes(b"x = 1234\n")
    (tree3.stage / "gone.py").unlink()
    result = tree3.compile()
    assert [path for path, _ in result.failed] == ["changed.py", "gone.py"]
    assert "changed since" in result.failed[0][1]
    assert not tree3.files(result)


def test_any_name_is_compiled(tree: Tree) -> None:
    names = [
        "a b.py",
        "new\nline.py",
        "tab\there.py",
        "caf\u00e9.py",
        os.fsdecode(b"not\xffutf8.py"),
        "-c.py",
        "a.b.py",
    ]
    result = tree.add({f"d \n/{name}": b"x = 1\n" for name in names}).compile()
    assert result.failed == ()
    assert len(tree.files(result)) == len(names)
    for name in names:
        assert (tree.stage / "d \n" / tree.interpreter.bytecode_name(name, 0)).is_file()


def test_a_name_too_long_for_its_bytecode_is_reported(tree3: Tree) -> None:
    result = tree3.add({"x" * 250 + ".py": b"", "y.py": b""}).compile()
    assert [why for _, why in result.failed] == [os.strerror(errno.ENAMETOOLONG)]
    assert len(tree3.files(result)) == 1


def test_no_name_and_no_content_of_a_source_depends_on_who_compiles_it_when(tmp_path: Path, tree: Tree) -> None:
    files = {f"m{n}.py": b"names = {'a', 'b', 'c', %d}\nif x in {'p', 'q', 'r'}: pass\n" % n for n in range(40)}
    first = tree.add(files).compile(jobs=1)
    (tmp_path / "other").mkdir()
    other = Tree(tmp_path / "other", tree.interpreter).add(dict(reversed(files.items())))
    other.final = tree.final
    assert other.compile(jobs=3).entries == first.entries


class Locked(FileSystem):
    """A file system on which nothing can be created in one directory."""

    def __init__(self, directory: str) -> None:
        super().__init__()
        self.directory = directory

    def step(self, operation: str, path: str) -> None:
        if path.startswith(self.directory + "/"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


def test_bytecode_that_cannot_be_written_is_reported(tree3: Tree) -> None:
    tree3.add({"open/a.py": b"", "locked/a.py": b""})
    result = tree3.compile(fs=Locked(str(tree3.stage / "locked")))
    assert result.failed == (("locked/a.py", os.strerror(errno.EACCES)),)
    assert len(tree3.files(result)) == 1


def test_an_interpreter_that_does_not_exist_is_a_warning(tmp_path: Path) -> None:
    gone = Interpreter(str(tmp_path / "python"), (3, 11, 0), "cpython", "cpython-311", b"")
    result = Tree(tmp_path, gone).add(MODULES).compile()
    assert result.entries == {}
    (warning,) = result.warnings
    assert "No such file" in warning


def test_an_interpreter_that_keeps_no_bytecode_is_a_warning(tmp_path: Path) -> None:
    uncached = Interpreter(sys.executable, (3, 11, 0), "other", None, b"")
    result = Tree(tmp_path, uncached).add(MODULES).compile()
    assert result.entries == {}
    assert len(result.warnings) == 1


def fake(directory: Path, program: str) -> Interpreter:
    """An interpreter that is a program of ours; `serve(answer)` calls `answer(path)` for each source it is given."""
    path = directory / "fake"
    path.write_text(
        f"#!{sys.executable}\n"
        "import os, sys, time\n"
        "def say(kind, data=b''):\n"
        "    os.write(1, b'%s %d\\n%s' % (kind, len(data), data))\n"
        "def serve(answer):\n"
        "    say(b'H')\n"
        "    rest = b''\n"
        "    fields = []\n"
        "    while data := os.read(0, 65536):\n"
        "        rest += data\n"
        "        *more, rest = rest.split(b'\\0')\n"
        "        fields += more\n"
        "        while len(fields) >= 4:\n"
        "            answer(fields[1].decode())\n"
        "            del fields[1:4]\n" + program
    )
    path.chmod(0o755)
    return Interpreter(str(path), (3, 11, 0), "cpython", "cpython-311", b"MAGC")


@pytest.mark.parametrize("death", ["os.abort()", "os._exit(1)", "os.close(1), time.sleep(1000)", "time.sleep(1000)"])
def test_the_source_on_which_an_interpreter_dies_is_given_up_and_the_others_are_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, death: str
) -> None:
    monkeypatch.setattr("shipway.python.compiler._PARTING", 0.2)
    program = f"serve(lambda path: say(b'C', b'code') if 'boom' not in path else ({death}))\n"
    tree = Tree(tmp_path, fake(tmp_path, program)).add({f"m{n}.py": b"" for n in range(9)}).add({"boom.py": b""})
    result = tree.compile(jobs=2, patience=1.0)
    ((path, why),) = result.failed
    assert path == "boom.py"
    assert "failed on it" in why
    assert result.warnings == ()
    assert len(tree.files(result)) == 9


def test_an_interpreter_that_dies_on_everything_is_one_warning(tmp_path: Path) -> None:
    tree = Tree(tmp_path, fake(tmp_path, "serve(lambda path: os.abort())\n")).add({f"m{n}.py": b"" for n in range(20)})
    result = tree.compile()
    assert not tree.files(result)
    assert len(result.failed) == 4
    (warning,) = result.warnings
    assert "could not compile: ended by signal 6" in warning


def test_an_interpreter_that_never_starts_is_one_warning(tmp_path: Path) -> None:
    tree = Tree(tmp_path, fake(tmp_path, "os._exit(127)\n")).add(MODULES)
    result = tree.compile()
    assert (result.entries, result.failed) == ({}, ())
    assert [warning.endswith("exit status 127") for warning in result.warnings] == [True]


def test_long_paths_and_large_code_do_not_fill_the_pipes_of_both_sides(tmp_path: Path) -> None:
    interpreter = fake(tmp_path, "serve(lambda path: say(b'C', bytes(300_000)))\n")
    long = "/".join(["d" * 200] * 18)
    tasks = [Task(f"{long}/{n}.py", 0, "/final/x.py") for n in range(50)]
    setting = Setting(interpreter, str(tmp_path))
    assert len([o for o in compiled(setting, tasks, 2, []) if len(o.codes[0]) == 300_000]) == 50


def test_no_process_is_left_when_nobody_wants_the_rest(tmp_path: Path) -> None:
    interpreter = fake(
        tmp_path, f"open('{tmp_path}/pid', 'w').write(str(os.getpid()))\nserve(lambda path: say(b'C'))\n"
    )
    outcomes = compiled(Setting(interpreter, str(tmp_path)), [Task(f"{n}.py", 0, f"{n}.py") for n in range(9)], 1, [])
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_nothing_to_compile_starts_nothing(tmp_path: Path) -> None:
    gone = Interpreter(str(tmp_path / "python"), (3, 11, 0), "cpython", "cpython-311", b"")
    assert Tree(tmp_path, gone).compile() == Compiled({})


def test_levels_are_those_found_in_the_stage_and_always_0() -> None:
    tagged = "d/__pycache__/a.cpython-311"
    assert levels_found([]) == (0,)
    assert levels_found([f"{tagged}.opt-2.pyc", f"{tagged}.pyc", f"{tagged}.opt-x.pyc"]) == (0, 2)
    assert levels_found(["a.pyc", "a.pyo", f"{tagged}.opt-2.pyc"]) == (0, 1, 2)


def test_sources_are_files_whose_name_ends_in_py() -> None:
    listings = {
        "": [Entry("d", DIRECTORY), Entry("a.py", FILE), Entry("l.py", LINK, target="a.py"), Entry("a.pyc", FILE)],
        "d": [Entry("b.py", FILE), Entry("c.txt", FILE), Entry("x.py", DIRECTORY)],
        "d/x.py": [],
    }
    assert [path for path, _ in python_sources(manifest_of(listings))] == ["a.py", "d/b.py"]

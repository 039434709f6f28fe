"""The user's depot: unpacked and compiled once, linked from then on, whoever fills it, kills its filler, edits or removes it."""

from __future__ import annotations

import itertools
import json
import marshal
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shipway.api import Options, Prefix
from shipway.fs.system import FileSystem
from shipway.python.target import Target, of_interpreter
from shipway.python.wheel import Wheel as File
from shipway.stocking import Stock
from shipway.store.depot import Depot
from shipway.store.mode import LinkMode
from shipway.store.stocktaking import is_sound
from tests.harness import DIED, FINISHED, FaultyFileSystem, die, fail, in_child
from tests.installing.shop import Venv, false_records, make_venv, tree
from tests.installing.wheels import Wheel

WHEEL = Wheel(
    "some-lib",
    files={
        "some_lib/__init__.py": "from some_lib import inner\n\n\ndef fail():\n    return inner.fail()\n",
        "some_lib/inner.py": "def fail():\n    raise ValueError('here')\n\n\ndef main():\n    print('it runs')\n",
        "some_lib/deep/er/__init__.py": "",
        "some_lib/broken.py": "def (\n",
        "some_lib/__pycache__/inner.cpython-311.pyc": "not ours\n",
        "some_lib-1.0.data/data/share/some/table.csv": "1,2\n",
        "some_lib-1.0.data/headers/some.h": "#define SOME 1\n",
        "some_lib-1.0.data/scripts/old-style": "#!python\nimport some_lib.inner\nsome_lib.inner.main()\n",
        "some_lib-1.0.data/scripts/plain": "#!/bin/sh\necho plain\n",
        "some_lib-1.0.data/platlib/some_lib/native.py": "WHERE = 'platlib'\n",
    },
    scripts={"some-tool": "some_lib.inner:main"},
)

WHERE = """\
import inspect, traceback
import some_lib
print(some_lib.__cached__)
print(inspect.getsourcefile(some_lib.inner.fail))
print(inspect.getsource(some_lib.inner.fail).strip().splitlines()[0])
try:
    some_lib.fail()
except ValueError as error:
    print(*{frame.filename for frame in traceback.extract_tb(error.__traceback__)[1:]}, sep="\\n")
"""

MOST_CHANGES = 60
"""More changes of the disk than it takes to fill the depot with the wheel."""


class Desk:
    """Installs wheels into venvs without asking pip, by way of one depot."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.depot = Depot(FileSystem(), str(place / "depot"))
        self.wheel = WHEEL.write(place / "wheels")
        self._numbers = itertools.count()

    def venv(self) -> Venv:
        return make_venv(self.place / f"venv{next(self._numbers)}", self.place / "wheels")

    def install(self, venv: Venv, fs: FileSystem | None = None, *, kept: bool = True, **more: object) -> None:
        """Install the wheel; `kept` with the depot, `more` are options of the prefix."""
        compiled = bool(more.pop("compiled", True))
        direct_url = str(more.pop("direct_url", ""))
        options = Options(jobs=1, cache=self.depot.directory if kept else "")._replace(**more)  # type: ignore[arg-type]
        with Prefix(str(venv.root), options=options, fs=fs) as prefix:
            wheel = File(str(self.wheel), "some-lib", "1.0", True, direct_url)
            [image] = Stock(prefix, target_of(venv), compiled=compiled).images([wheel])
            with prefix.transaction("test") as transaction:
                transaction.install(image)

    @property
    def keys(self) -> list[str]:
        try:
            return sorted(os.listdir(self.depot.images))
        except FileNotFoundError:
            return []

    def check(self, venv: Venv) -> None:
        """The environment is whole, and the depot holds nothing that is not."""
        assert false_records(venv.site) == []
        assert venv.script("some-tool") == venv.script("old-style") == "it runs"
        assert venv.script("plain") == "plain"
        assert venv.says("import some_lib.native; print(some_lib.native.WHERE)") == "platlib"
        with Prefix(str(venv.root)) as prefix:
            assert prefix.verify().ok
            assert not os.listdir(prefix.site.layout.work)
        assert all(is_sound(self.depot, key, 1, thorough=True) for key in self.keys)

    def left(self) -> list[Path]:
        """What somebody left who was filling."""
        return list((self.place / "depot/filling").glob("*"))


def target_of(venv: Venv) -> Target:
    return of_interpreter(venv.python)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def inodes(venv: Venv) -> dict[str, int]:
    return {str(p.relative_to(venv.site)): p.stat().st_ino for p in venv.site.rglob("*") if p.is_file()}


def test_an_environment_is_the_same_with_the_depot_empty_full_or_absent(desk: Desk) -> None:
    venv = desk.venv()
    empty = tree(venv.root, bytecode=True)
    seen = []
    for kept in (False, True, True):
        desk.install(venv, kept=kept)
        desk.check(venv)
        seen.append((tree(venv.root), {path for path in tree(venv.root, bytecode=True) if path.endswith(".pyc")}))
        with Prefix(str(venv.root)) as prefix:
            prefix.remove(["some-lib"])
        assert tree(venv.root, bytecode=True) == empty
    assert seen[0] == seen[1] == seen[2]
    assert len(desk.keys) == 1


def test_environments_share_what_is_the_same_in_both(desk: Desk) -> None:
    one, two = desk.venv(), desk.venv()
    desk.install(one)
    desk.install(two)
    mine, theirs = inodes(one), inodes(two)
    shared = {path for path in mine if mine[path] == theirs[path]}
    own = {f"some_lib-1.0.dist-info/{name}" for name in ("RECORD", "INSTALLER", "REQUESTED")}
    assert mine.keys() - shared == own
    assert (one.root / "bin/some-tool").read_text() != (two.root / "bin/some-tool").read_text()
    assert (one.root / "bin/plain").stat().st_ino == (two.root / "bin/plain").stat().st_ino


def test_what_was_compiled_names_no_stage_and_is_called_by_its_file_when_it_is_imported(desk: Desk) -> None:
    for venv in (desk.venv(), desk.venv()):
        desk.install(venv)
        package = venv.site / "some_lib"
        [compiled] = (package / "__pycache__").glob("inner.*.pyc")
        before = compiled.read_bytes()
        assert marshal.loads(before[16:]).co_filename == "some_lib/inner.py"
        cached, source, line, *frames = venv.says(WHERE).splitlines()
        assert Path(cached).parent == package / "__pycache__"
        assert source == str(package / "inner.py")
        assert line == "def fail():"
        assert sorted(frames) == [str(package / "__init__.py"), str(package / "inner.py")]
        assert compiled.read_bytes() == before, "the interpreter found it out of date"


def test_what_differs_in_interpreter_or_compiling_is_kept_apart(desk: Desk) -> None:
    desk.install(desk.venv())
    desk.install(desk.venv(), compiled=False)
    assert len(desk.keys) == 2
    assert not [path for path in Path(desk.depot.images).rglob("*.pyc") if "plain" in str(path)]


def test_a_wheel_that_was_built_from_a_directory_is_not_kept(desk: Desk) -> None:
    venv = desk.venv()
    desk.install(venv, direct_url=json.dumps({"url": "file:///project", "dir_info": {}}))
    desk.check(venv)
    assert desk.keys == []


@pytest.mark.parametrize("link", LinkMode)
def test_every_way_of_linking_gives_a_whole_environment(desk: Desk, link: LinkMode) -> None:
    for _ in range(2):
        venv = desk.venv()
        desk.install(venv, link=link)
        desk.check(venv)
    assert len(desk.keys) == 1


def test_another_file_system_gets_copies(desk: Desk) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == desk.place.stat().st_dev:
        pytest.skip("there is one file system only")
    root = other / f"shipway-test-{os.getpid()}"
    try:
        for _ in range(2):
            venv = make_venv(root / str(next(desk._numbers)), desk.place / "wheels")
            desk.install(venv)
            desk.check(venv)
        assert len(desk.keys) == 1
    finally:
        shutil.rmtree(root)


# -- damage ----------------------------------------------------------------------------------------------------------


def overwrite(path: Path) -> None:
    with path.open("r+") as file:
        file.write("# edited")


@pytest.mark.parametrize("path", ["inner.py", "__pycache__/inner.{tag}.pyc", "deep/er/__init__.py"])
def test_an_edit_in_one_environment_does_not_come_into_the_next(desk: Desk, path: str) -> None:
    one, two = desk.venv(), desk.venv()
    desk.install(one)
    overwrite(one.site / "some_lib" / path.format(tag=sys.implementation.cache_tag))
    assert not all(is_sound(desk.depot, key, 1) for key in desk.keys)
    desk.install(two)
    desk.check(two)
    assert (one.site / "some_lib/inner.py").stat().st_ino != (two.site / "some_lib/inner.py").stat().st_ino


def test_a_mode_or_time_that_was_changed_in_one_does_not_come_into_the_next(desk: Desk) -> None:
    one, two = desk.venv(), desk.venv()
    desk.install(one)
    (one.site / "some_lib/inner.py").chmod(0o600)
    os.utime(one.site / "some_lib/__init__.py", (1, 1))
    desk.install(two)
    desk.check(two)
    assert (two.site / "some_lib/inner.py").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("at", [0, 64, 65, 300, -2])
def test_a_damaged_manifest_is_as_good_as_none(desk: Desk, at: int) -> None:
    desk.install(desk.venv())
    manifest = Path(desk.depot.images, desk.keys[0], "manifest")
    data = bytearray(manifest.read_bytes())
    data[at] ^= 1
    manifest.write_bytes(data)
    venv = desk.venv()
    desk.install(venv)
    desk.check(venv)
    assert len(desk.keys) == 1


def test_a_file_that_is_gone_is_made_again(desk: Desk) -> None:
    desk.install(desk.venv())
    Path(desk.depot.images, desk.keys[0], "tree/purelib/some_lib/inner.py").unlink()
    venv = desk.venv()
    desk.install(venv)
    desk.check(venv)


class Removing(FileSystem):
    """Somebody removes the whole depot at the k-th link."""

    def __init__(self, depot: Path, at: int) -> None:
        super().__init__()
        self.depot = depot
        self.links = 0
        self.at = at

    def step(self, operation: str, path: str) -> None:
        if operation == "link":
            self.links += 1
            if self.links == self.at:
                shutil.rmtree(self.depot)


@pytest.mark.parametrize("at", [1, 2, 5, 9])
def test_it_may_be_removed_while_somebody_links_from_it(desk: Desk, at: int) -> None:
    desk.install(desk.venv())
    venv = desk.venv()
    fs = Removing(desk.place / "depot", at)
    desk.install(venv, fs)
    assert fs.links > at
    desk.check(venv)


# -- who may fill it, and who may not --------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [die, fail])
def test_whoever_is_killed_or_fails_at_any_change_leaves_nothing_that_is_not_whole(
    desk: Desk, fault: Callable[[], None]
) -> None:
    venv, codes = desk.venv(), [DIED]
    for k in itertools.count(1, 1 if fault is die else 3):
        shutil.rmtree(desk.place / "depot", ignore_errors=True)
        fs = FillingFault(k, fault, desk.place / "depot")
        codes.append(in_child(lambda fs=fs: desk.install(venv, fs)))  # type: ignore[misc]
        assert codes[-1] in ((FINISHED, DIED) if fault is die else (FINISHED,))
        assert all(is_sound(desk.depot, key, 1, thorough=True) for key in desk.keys)
        desk.install(venv, compiled=False)
        assert false_records(venv.site) == []
        assert desk.left() == []
        if k > MOST_CHANGES:
            break
    assert DIED not in codes[-3:]
    desk.check(venv)


class FillingFault(FaultyFileSystem):
    """Counts the changes in the depot alone."""

    def __init__(self, at: int, fault: Callable[[], None], depot: Path) -> None:
        super().__init__(at, fault)
        self.depot = str(depot)

    def step(self, operation: str, path: str) -> None:
        if path.startswith(self.depot):
            super().step(operation, path)


def test_eight_fill_it_at_once(desk: Desk) -> None:
    venvs = [desk.venv() for _ in range(8)]
    children = []
    for venv in venvs:
        pid = os.fork()
        if pid == 0:
            os._exit(in_child(lambda venv=venv: desk.install(venv)))  # type: ignore[misc]
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [FINISHED] * 8
    assert len(desk.keys) == 1
    assert desk.left() == []
    for venv in venvs:
        desk.check(venv)
    desk.install(more := desk.venv())
    assert inodes(more)["some_lib/inner.py"] in {inodes(venv)["some_lib/inner.py"] for venv in venvs}


def test_a_depot_that_cannot_be_is_done_without(desk: Desk) -> None:
    (desk.place / "depot").write_text("a file\n")
    venv = desk.venv()
    desk.install(venv)
    assert false_records(venv.site) == []


@pytest.mark.parametrize("alter", ["chmod", "chown"])
@pytest.mark.parametrize("what", ["images", "image"])
def test_what_others_could_have_put_there_is_not_used(desk: Desk, what: str, alter: str) -> None:
    desk.install(desk.venv())
    place = Path(desk.depot.images, desk.keys[0] if what == "image" else "")
    (place / ("tree" if what == "image" else f"{desk.keys[0]}/tree") / "purelib/some_lib/inner.py").write_text("evil\n")
    if alter == "chmod":
        place.chmod(0o777)
    elif os.geteuid() == 0:
        os.chown(place, 12345, -1)
    else:
        pytest.skip("only root gives files away")
    venv = desk.venv()
    desk.install(venv)
    assert venv.script("some-tool") == "it runs"


def test_the_command_fills_it_and_says_so(venv: Venv) -> None:
    venv.offer(WHEEL)
    venv.done("install", "some-lib")
    held = json.loads(venv.shipway("--json", "cache").out)
    assert held["images"] == 1
    venv.shipway("pip", "uninstall", "-y", "some-lib")
    venv.shipway("gc", "--keep", "0")
    held = json.loads(venv.shipway("--json", "cache").out)
    assert held["unshared"] == held["bytes"] > 0
    assert json.loads(venv.shipway("--json", "cache", "prune", "--keep", "0").out)["images"] == 0
    subprocess.run([venv.python, "-c", "import sys"], check=True)

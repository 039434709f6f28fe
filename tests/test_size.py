"""The budgets of size and the rules of layout, as tests.

A function's length is counted from `def` to its last line, without its docstring.  Every exception is listed by name,
with its reason, and has to go when it is no longer needed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "shipway"

MEDIAN_FUNCTION = 10
LONGEST_FUNCTION = 60
LONGEST_FILE = 400
MOST_PARAMETERS = 5

# "cli/merge.py:merge": "why"
LONG_FUNCTIONS: Mapping[str, str] = {}
LONG_FILES: Mapping[str, str] = {}
MANY_PARAMETERS: Mapping[str, str] = {}

# Imports go strictly downward; what stands on one line never imports each other.
LAYERS = (
    ("__main__",),
    ("cli",),
    ("schedule",),
    ("installing",),
    ("stocking",),
    ("adopting",),
    ("api",),
    ("assembling",),
    ("sealing", "recompiling"),
    ("compiling",),
    ("prefix", "python", "build"),
    ("store",),
    ("fs",),
    ("model",),
    ("errors",),
    ("__init__",),  # holds the version; what it re-exports it loads late
)
RANK = {package: len(LAYERS) - rank for rank, line in enumerate(LAYERS) for package in line}
FACADES: Mapping[tuple[str, str], str] = {
    ("__init__.py", "api"): "re-exports Prefix",
}

CHANGES_OF_DISK = {
    "os": set(
        "chmod chown fchmod fchown fdatasync fsync ftruncate fwalk lchmod lchown lchflags link lockf makedirs mkdir mkfifo"
        " mknod posix_fallocate remove removedirs removexattr rename renames replace rmdir setxattr symlink sync truncate"
        " unlink utime walk".split()
    ),
    "shutil": {"chown", "copy", "copy2", "copyfile", "copymode", "copystat", "copytree", "move", "rmtree"},
}
SINGLE_OWNERS = {
    "sqlite3": ("prefix/connection.py",),
    "fcntl": ("fs/",),
    "ctypes": ("fs/",),
    "click": ("cli/",),
    "rich": ("cli/",),
}
# The first runs in another interpreter, 2.7 included, and cannot use ours; the second is also a program by itself.
FOREIGN = {"python/compile_script.py", "prefix/rescue.py"}


@dataclass(frozen=True)
class Module:
    """A source file: its path below the package, its lines and its tree."""

    path: str
    lines: int
    tree: ast.Module

    @property
    def package(self) -> str:
        return self.path.partition("/")[0].removesuffix(".py")

    def imports(self) -> Iterator[str]:
        """Full dotted names of what is imported, wherever in the file."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)

    def packages_imported(self) -> set[str]:
        """Which of our own packages are imported."""
        found = set()
        for name in self.imports():
            parts = name.split(".")
            if parts[0] == "shipway":
                found.add(parts[1] if len(parts) > 1 and parts[1] in RANK else "__init__")
        return found

    def functions(self) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
        """Every function with its place and name, nested ones too."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{self.path}:{node.name}", node


def read(path: Path) -> Module:
    text = path.read_text()
    return Module(path.relative_to(SOURCE).as_posix(), text.count("\n"), ast.parse(text, str(path)))


MODULES = [read(path) for path in sorted(SOURCE.rglob("*.py"))]
FUNCTIONS = [(name, node) for module in MODULES for name, node in module.functions()]


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node) is not None and len(node.body) > 1:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    named = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    rest = [extra for extra in (node.args.vararg, node.args.kwarg) if extra]
    return sum(argument.arg not in ("self", "cls") for argument in named + rest)


def test_the_median_function_is_short() -> None:
    assert median(length(node) for _, node in FUNCTIONS) <= MEDIAN_FUNCTION


def test_no_function_is_long() -> None:
    long = {name: length(node) for name, node in FUNCTIONS if length(node) > LONGEST_FUNCTION}
    assert long.keys() == LONG_FUNCTIONS.keys(), long


def test_no_file_is_long() -> None:
    long = {module.path: module.lines for module in MODULES if module.lines > LONGEST_FILE}
    assert long.keys() == LONG_FILES.keys(), long


def test_no_function_takes_many_parameters() -> None:
    many = {name: parameters(node) for name, node in FUNCTIONS if parameters(node) > MOST_PARAMETERS}
    assert many.keys() == MANY_PARAMETERS.keys(), many


def test_no_module_is_a_bag() -> None:
    bags = {"utils", "util", "helpers", "common", "misc"}
    assert not [module.path for module in MODULES if bags & set(module.path.removesuffix(".py").split("/"))]


def test_every_package_has_its_layer() -> None:
    assert not {module.package for module in MODULES} - RANK.keys()


def not_downward(module: Module) -> list[str]:
    upward = {to for to in module.packages_imported() - {module.package} if RANK[to] >= RANK[module.package]}
    return [f"{module.path} imports {to}" for to in sorted(upward) if (module.path, to) not in FACADES]


def test_imports_go_strictly_downward() -> None:
    assert not [line for module in MODULES for line in not_downward(module)]


@pytest.mark.parametrize("library", SINGLE_OWNERS)
def test_a_library_has_one_owner(library: str) -> None:
    users = [m.path for m in MODULES if library in {name.partition(".")[0] for name in m.imports()}]
    assert not [path for path in users if not path.startswith(SINGLE_OWNERS[library])]


def changes_of_disk(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = f"{node.value.id}.{node.attr}"
            if node.attr in CHANGES_OF_DISK.get(node.value.id, ()):
                yield f"{module.path}:{node.lineno} {name}"
    for name in module.imports():
        library, _, attribute = name.partition(".")
        if attribute in CHANGES_OF_DISK.get(library, ()):
            yield f"{module.path} from {library} import {attribute}"


def test_only_fs_changes_a_disk() -> None:
    others = [module for module in MODULES if module.package != "fs" and module.path not in FOREIGN]
    assert not [line for module in others for line in changes_of_disk(module)]


def prints(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield f"{module.path}:{node.lineno}"
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.stdout", "sys.stderr"):
            yield f"{module.path}:{node.lineno}"


def test_only_cli_prints() -> None:
    others = [module for module in MODULES if module.package != "cli" and module.path not in FOREIGN]
    assert not [line for module in others for line in prints(module)]


def test_the_rules_see_what_they_forbid() -> None:
    text = "import os, fcntl\nfrom os import rename\nfrom shipway.prefix import api\ndef f(): os.link(1, 2); print()"
    module = Module("store/seal.py", 4, ast.parse(text))
    assert not_downward(module) == ["store/seal.py imports prefix"]
    assert len(list(changes_of_disk(module))) == 2
    assert len(list(prints(module))) == 1

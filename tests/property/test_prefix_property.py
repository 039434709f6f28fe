"""Random trees for up to five packages, any order of install, upgrade, remove, undo and redo, against a model that is a dict.

Identity: the same again changes nothing.  Inverse: undo leads to the tree before.  At every point the live tree is
what the model says, and `verify` agrees (I4, I5).
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shipway.api import Policy, Prefix, staged
from shipway.errors import ConflictError
from shipway.fs.system import FileSystem, RenameMode
from tests.harness import OPTIONS, make_tree, snapshot

PACKAGES = ["one", "two", "three", "four", "five"]
DIRECTORIES = ["", "bin/", "lib/", "lib/deep/", "lib/deep/er/", "share/x y/", "lib/ümlaut/"]
FILES = ["a", "b.py", "c", "-dash", "new\nline"]
CONTENTS = ["1", "2", "3", "-> a", "-> ../c"]

paths = st.builds(lambda d, f: d + f, st.sampled_from(DIRECTORIES), st.sampled_from(FILES))
trees = st.dictionaries(paths, st.sampled_from(CONTENTS), min_size=1, max_size=12)

Tree = dict[str, str]


@dataclass
class Model:
    """Packages, and for every contested path the order of its claims."""

    packages: dict[str, Tree] = field(default_factory=dict)
    stacks: dict[str, list[str]] = field(default_factory=dict)

    def copy(self) -> Model:
        return Model({n: dict(t) for n, t in self.packages.items()}, {p: list(s) for p, s in self.stacks.items()})

    def claims(self, path: str) -> list[str]:
        return [name for name, tree in self.packages.items() if path in tree]

    def shown(self, path: str) -> str | None:
        names = self.claims(path)
        order = [n for n in self.stacks.get(path, []) if n in names]
        if order:
            return self.packages[order[-1]][path]
        return self.packages[names[-1]][path] if names else None

    def live(self) -> Tree:
        found = {path: self.shown(path) for tree in self.packages.values() for path in tree}
        return {path: content for path, content in found.items() if content is not None}

    def merge(self, name: str, tree: Tree, *, overwrite: bool) -> bool:
        """False if that would be a conflict; then nothing has changed."""
        before = self.copy()
        self.packages.pop(name, None)
        for path, content in tree.items():
            others = self.claims(path)
            stack = before.stacks.get(path, [])
            if name in stack:
                self.stacks[path] = [n for n in stack if n in others or n == name]
            elif others and self.shown(path) != content:
                if not overwrite:
                    self.packages, self.stacks = before.packages, before.stacks
                    return False
                order = [n for n in stack if n in others]
                self.stacks[path] = [*order, *(n for n in others if n not in order), name]
            elif path in self.stacks:
                order = [n for n in stack if n in others]
                self.stacks[path] = [*order, *(n for n in others if n not in order), name]
        self.packages[name] = dict(tree)
        self.settle()
        return True

    def remove(self, name: str) -> None:
        self.packages.pop(name, None)
        self.settle()

    def settle(self) -> None:
        for path in list(self.stacks):
            names = self.claims(path)
            self.stacks[path] = [n for n in self.stacks[path] if n in names]
            self.stacks[path] += [n for n in names if n not in self.stacks[path]]
            if len({self.packages[n][path] for n in names}) < 2:
                del self.stacks[path]


class PrefixMachine(RuleBasedStateMachine):
    """One prefix, driven by hypothesis."""

    mode = RenameMode.AUTO

    @initialize()
    def open(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="shipway-property-"))
        self.root = self.directory / "prefix"
        self.root.mkdir()
        self.prefix = Prefix(str(self.root), options=OPTIONS, fs=FileSystem(self.mode))
        self.model = Model()
        self.past: list[Model] = []
        self.future: list[Model] = []
        self.count = 0

    @rule(name=st.sampled_from(PACKAGES), tree=trees, overwrite=st.booleans(), move=st.booleans())
    def merge(self, name: str, tree: Tree, overwrite: bool, move: bool) -> None:
        self.count += 1
        stage = make_tree(self.directory / f"stage{self.count}", tree)
        wanted = staged(str(stage), name, str(self.count), move=move, python="")
        expected = self.model.copy()
        allowed = expected.merge(name, tree, overwrite=overwrite)
        try:
            self.prefix.merge(wanted, Policy.OVERWRITE if overwrite else Policy.FAIL)
        except ConflictError:
            assert not allowed
            assert stage.is_dir(), "a tree that was not installed is gone"
            return
        assert allowed
        self.happened(expected)

    @precondition(lambda self: self.model.packages)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.packages)))
        expected = self.model.copy()
        expected.remove(name)
        self.prefix.remove([name])
        self.happened(expected)

    @precondition(lambda self: self.past)
    @rule()
    def undo(self) -> None:
        self.prefix.undo()
        self.future.append(self.model)
        self.model = self.past.pop()

    @precondition(lambda self: self.future)
    @rule()
    def redo(self) -> None:
        self.prefix.undo(redo=True)
        self.past.append(self.model)
        self.model = self.future.pop()

    @precondition(lambda self: self.model.packages)
    @rule(data=st.data())
    def the_same_again_changes_nothing(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.packages)))
        version = self.prefix.package(name).version
        self.count += 1
        stage = make_tree(self.directory / f"stage{self.count}", self.model.packages[name])
        _, outcome = self.prefix.merge(staged(str(stage), name, version, python=""))
        assert outcome.number == 0

    def happened(self, after: Model) -> None:
        self.past.append(self.model)
        self.future.clear()
        self.model = after

    @invariant()
    def the_live_tree_is_what_the_model_says(self) -> None:
        found = {path: entry for path, entry in snapshot(self.root).items() if entry[0] != "d"}
        texts = {p: (f"-> {text}" if kind == "l" else text) for p, (kind, _, text) in found.items()}
        assert texts == self.model.live()

    @invariant()
    def every_package_has_the_paths_it_came_with(self) -> None:
        for name, tree in self.model.packages.items():
            assert {path for path, entry in self.prefix.files(name) if entry.kind != "d"} == set(tree)

    @invariant()
    def no_directory_outlives_its_files(self) -> None:
        found = snapshot(self.root)
        for path, entry in found.items():
            assert entry[0] != "d" or any(other.startswith(path + "/") for other in found), path

    @invariant()
    def verify_agrees(self) -> None:
        assert self.prefix.verify().ok

    def teardown(self) -> None:
        if hasattr(self, "prefix"):
            self.prefix.close()
            shutil.rmtree(self.directory)


class FallbackMachine(PrefixMachine):
    """The same where the file system knows no exchange."""

    mode = RenameMode.FALLBACK


COMMON = settings(
    max_examples=40, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)
PrefixMachine.TestCase.settings = COMMON
FallbackMachine.TestCase.settings = COMMON

TestExchange = PrefixMachine.TestCase
TestFallback = FallbackMachine.TestCase

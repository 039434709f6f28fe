"""A small prefix to attack, the kinds of transactions there are, and the judge.

Every kind is arranged on disk once; a try copies that arrangement back to the same path, acts, and asks the judge.  The judge
knows nothing of how Shipway works inside: it compares what lies in the prefix, and what Shipway says of it, with the
same prefix before the deed and after an undisturbed one.  It asks by one process; every 25th time by the commands.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

from proof.scene import Scene, leave, run

SECOND = 1_600_000_000
"""The mtime of all staged files: the worst case for bytecode, and the same in every run."""

STATE = "var/lib/shipway"

NEIGHBOUR = {"bin/neighbour": "#!/bin/sh\necho neighbour\n", "lib/site/shared/near.py": "NEAR = 1\n"}
OLD = {
    "bin/tool": "#!/bin/sh\necho old\n",
    "etc/tool.conf": "level = 1\n",
    "lib/site/pkg/__init__.py": "VERSION = 1\n",
    "lib/site/pkg/core.py": "CORE = 1\n",
    "lib/site/pkg/data/only-old": "old\n",
    "lib/site/pkg/link": "-> core.py",
    "share/tool/empty/": "",
}
NEW = {
    **{path: text.replace("old", "new").replace("= 1", "= 2") for path, text in OLD.items() if "only-old" not in path},
    "lib/site/pkg/data/only-new": "new\n",
    "share/tool/more/deep/file": "deep\n",
}
SHARED = {
    "lib/site/shared/far.py": "FAR = 1\n", "bin/other": "#!/bin/sh\necho 1\n", "lib/only-old.txt": "old\n",
}  # fmt: skip
SHARED_NEW = {"lib/site/shared/far.py": "FAR = 2\n", "bin/other": "#!/bin/sh\necho 2\n", "lib/only-new.txt": "new\n"}

Snapshot = Mapping[str, tuple[str, int, str]]
Answer = Mapping[str, Any]

ASK = Path(__file__).with_name("judge_process.py")
BY_COMMANDS = 25
"""Every so many judgements the commands are asked instead."""

SAME = ("packages", "history", "images", "leases", "lost+found")
"""What must be as before, or as after."""

_judged = count(1)


@dataclass(frozen=True)
class Deed:
    """A kind of transaction: packages there before, trees staged for it, and its command line without `-p PREFIX`.

    `{stage}` stands for the staged tree of the first name in `stages`, `{stage:NAME}` for another.  `script` is run by
    Python in the command's place, with the prefix, the stages' directory and the global options as arguments: for what only
    the API can do.
    `before` are command lines that are run in the arrangement.
    """

    name: str
    stages: Mapping[str, Mapping[str, str]]
    command: Sequence[str] = ()
    before: Sequence[Sequence[str]] = ()
    script: str = ""
    files: Mapping[str, str] | None = None


def _merge(name: str, version: str, *more: str) -> list[str]:
    return ["merge", f"{{stage:{name}{version}}}", "--name", name, "--version", version, "--python", "none", *more]


_SEVERAL = """
import sys
from shipway import Prefix
from shipway.api import staged
from shipway.fs.system import FileSystem, RenameMode
root, stages, *options = sys.argv[1:]
mode = options[options.index("--rename-mode") + 1] if options else "auto"
with Prefix(root, fs=FileSystem(RenameMode(mode))) as prefix:
    images = [prefix.seal_staged(staged(f"{stages}/{n}2", n, "2", python="")) for n in ("pkg", "spread")]
    with prefix.transaction(reason="several") as tx:
        for image in images:
            tx.install(image)
        tx.remove("extra")
"""

DEEDS = (
    Deed("install", {"pkg1": OLD}, _merge("pkg", "1")),
    Deed("install, --move", {"pkg1": OLD}, _merge("pkg", "1", "--move")),
    Deed("upgrade with swap", {"pkg1": OLD, "pkg2": NEW}, _merge("pkg", "2"), [_merge("pkg", "1")]),
    Deed("upgrade per file", {"spread1": SHARED, "spread2": SHARED_NEW}, _merge("spread", "2"), [_merge("spread", "1")]),
    Deed(
        "several packages",
        {"pkg1": OLD, "pkg2": NEW, "spread1": SHARED, "spread2": SHARED_NEW, "extra1": {"share/extra/file": "extra\n"}},
        before=[_merge("pkg", "1"), _merge("spread", "1"), _merge("extra", "1")],
        script=_SEVERAL,
    ),
    Deed("remove", {"pkg1": OLD}, ["remove", "pkg"], [_merge("pkg", "1")]),
    Deed("undo", {"pkg1": OLD, "pkg2": NEW}, ["undo"], [_merge("pkg", "1"), _merge("pkg", "2")]),
    Deed("redo", {"pkg1": OLD, "pkg2": NEW}, ["redo"], [_merge("pkg", "1"), _merge("pkg", "2"), ["undo"]]),
    Deed("gc", {"pkg1": OLD, "pkg2": NEW}, ["gc", "--keep", "0"], [_merge("pkg", "1"), _merge("pkg", "2")]),
    Deed(
        "taking over",
        {"pkg1": OLD},
        _merge("pkg", "1", "--on-conflict", "backup"),
        files={"bin/tool": "somebody's\n", "lib/site/pkg/core.py": "somebody's\n"},
    ),
)  # fmt: skip


class World:
    """A deed arranged in a room: `root` is the prefix, `stages` the trees, both as they were before at any time again."""

    def __init__(self, scene: Scene, deed: Deed, room: Path) -> None:
        self.scene = scene
        self.deed = deed
        self.room = room
        self.root = room / "here" / "prefix"
        self.stages = room / "here" / "stages"
        self._kept = room / "kept"
        self._arrange()
        self.before = snapshot(self.root)
        self.staged = snapshot(self.stages)
        self._keep(self._kept)
        self.said_before = self._undisturbed()
        self.restore()
        self._must(self.command())
        self.after = snapshot(self.root)
        self._keep(room / "kept-after")
        self.said_after = self._undisturbed()
        self.restore()

    def _arrange(self) -> None:
        make_tree(self.root, {"lib/here-before": "mine\n", **(self.deed.files or {})})
        for name, files in {"neighbour1": NEIGHBOUR, **self.deed.stages}.items():
            make_tree(self.stages / name, files)
        for words in [_merge("neighbour", "1"), *self.deed.before]:
            self._must(self._command(words))

    def _must(self, command: Sequence[str]) -> None:
        done = run(command)
        if done.returncode:
            raise RuntimeError(f"{self.deed.name}: {done.stderr}")

    def _undisturbed(self) -> Answer:
        said = ask(self.scene, self.root)
        if said["problems"] or said["work"] or said["undo"]:
            raise RuntimeError(f"{self.deed.name}, undisturbed: {said}")
        return said

    def _keep(self, where: Path) -> None:
        run(["cp", "-a", str(self.room / "here"), str(where)])

    def restore(self) -> None:
        """Put everything back as it was before the deed, at the same paths."""
        leave(self.room / "here")
        run(["cp", "-a", str(self._kept), str(self.room / "here")])

    @cached_property
    def known_before(self) -> object:
        """What the commands say before the deed."""
        return self._known(self._kept)

    @cached_property
    def known_after(self) -> object:
        """What the commands say after an undisturbed deed."""
        return self._known(self.room / "kept-after")

    def _known(self, kept: Path) -> object:
        asked = self.room / "asked"
        run(["cp", "-a", str(kept), str(asked)])
        said = known(self.scene, asked / "prefix")
        leave(asked)
        return said

    def command(self, *options: str) -> list[str]:
        """The deed's command line; `options` are global ones, such as --rename-mode."""
        if self.deed.script:
            return [self.scene.python, "-c", self.deed.script, str(self.root), str(self.stages), *options]
        return self._command(self.deed.command, *options)

    def _command(self, words: Sequence[str], *options: str) -> list[str]:
        filled = [self._filled(word) for word in words]
        return [self.scene.shipway, "-p", str(self.root), *options, *filled]

    def _filled(self, word: str) -> str:
        return str(self.stages / word[7:-1]) if word.startswith("{stage:") else word

    def judge(self, root: Path | None = None) -> list[str]:
        """What is wrong with the prefix after the deed was disturbed; whoever is asked heals it first."""
        return judge(self, root or self.root)


def judge(world: World, root: Path) -> list[str]:
    """Old or new in database and on disk, `verify` clean, the neighbour untouched, no staged tree lost, nothing orphaned."""
    by_process = next(_judged) % BY_COMMANDS != 0
    problems = _by_process(world, root) if by_process else _by_commands(world, root)
    return problems + _lost(world, root)


def _by_process(world: World, root: Path) -> list[str]:
    said = dict(ask(world.scene, root))
    if "history" not in said:
        return [f"not healed: {problem}" for problem in said["problems"]]
    now, old, new = snapshot(root), world.said_before, world.said_after
    problems = [*said["problems"], *(f"left in work/: {name}" for name in said["work"])]
    problems += [f"left in undo/ after gc: {name}" for name in said["undo"]]
    problems += [f"left in the state directory: {name}" for name in said[""] if name not in old[""] + new[""]]
    for disk, record in ((world.before, old), (world.after, new)):
        if now == disk and all(said[key] == record[key] for key in SAME):
            return problems
    differing = [(key, said[key]) for key in SAME if said[key] not in (old[key], new[key])]
    whose = [name for name, known in (("old", old), ("new", new)) if all(said[key] == known[key] for key in SAME)]
    return [*problems, _neither(world, now, "".join(whose[:1]) or f"neither ({differing})")]


def _by_commands(world: World, root: Path) -> list[str]:
    healed = world.scene.run("-p", root, "recover")
    if healed.returncode:
        return [f"recover ended with {healed.returncode}: {healed.stderr.strip()}"]
    now, said = snapshot(root), known(world.scene, root)
    problems = []
    if (now, said) not in ((world.before, world.known_before), (world.after, world.known_after)):
        record = "old" if said == world.known_before else "new" if said == world.known_after else f"neither ({said})"
        problems.append(_neither(world, now, record))
    checked = world.scene.run("-p", root, "verify")
    if checked.returncode:
        problems.append(f"verify: {checked.stdout.strip() or checked.stderr.strip()}")
    images = {len(said["images"]) for said in (world.said_before, world.said_after)}
    return problems + orphans(world.scene, root, images)


def _lost(world: World, root: Path) -> list[str]:
    """Staged trees that are neither installed nor where they were."""
    if root != world.root or snapshot(root) == world.after or snapshot(world.stages) == world.staged:
        return []
    return ["the prefix is old, and the staged tree is not what it was"]


def _neither(world: World, now: Snapshot, record: str) -> str:
    old, new = world.before, world.after
    disk = [name for name, tree in (("old", old), ("new", new)) if now == tree]
    if disk:
        return f"the disk is {' and '.join(disk)}, the record {record}"
    wrong = [p for p in sorted(now.keys() | new.keys()) if now.get(p) not in (old.get(p), new.get(p))]
    mixed = [p for p in sorted(old.keys() | new.keys()) if now.get(p) != new.get(p)]
    return f"the record is {record}; neither old nor new: {wrong[:4]}; not new: {mixed[:4]}"


def ask(scene: Scene, root: Path) -> Answer:
    """Have one process heal the prefix and say what is recorded and left over; see `judge_process`."""
    done = run([scene.python, "-P", str(ASK), str(root)])
    if done.returncode:
        return {"problems": [f"asking ended with {done.returncode}: {done.stderr.strip()[-500:]}"]}
    said: Answer = json.loads(done.stdout)
    return said


def orphans(scene: Scene, root: Path, images: Collection[int] = ()) -> list[str]:
    """What is left over in the state directory: staging areas, and images that nothing refers to once `gc` has run.

    `images` are the numbers of images that may be left; unless given, one a package.
    """
    work = root / STATE / "work"
    left = [f"left in work/: {name}" for name in sorted(os.listdir(work))] if work.is_dir() else []
    scene.run("-p", root, "gc", "--keep", "0")
    found = len([name for name in os.listdir(root / STATE / "images") if name != "CACHEDIR.TAG"])
    undo = os.listdir(root / STATE / "undo") if (root / STATE / "undo").is_dir() else []
    problems = left + [f"left in undo/ after gc: {name}" for name in sorted(undo)]
    shown = scene.run("-p", root, "list", "--json")
    wanted = images or [len(json.loads(shown.stdout)) if shown.returncode == 0 else -1]
    return problems + ([] if found in wanted else [f"{found} images where {wanted} are right"])


def known(scene: Scene, root: Path) -> object:
    """What the record says: packages and their versions, and the files of each."""
    listed = scene.run("-p", root, "list", "--json")
    if listed.returncode:
        return listed.stderr
    names = {p["name"]: p["version"] for p in json.loads(listed.stdout)}
    return [(name, version, scene.run("-p", root, "files", name).stdout) for name, version in sorted(names.items())]


def make_tree(root: Path, files: Mapping[str, str]) -> Path:
    """A tree from paths and contents: "-> x" is a symlink, a path that ends in "/" an empty directory."""
    root.mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        full = root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        if path.endswith("/"):
            full.mkdir(exist_ok=True)
        elif content.startswith("-> "):
            full.symlink_to(content[3:])
        else:
            full.write_text(content)
            full.chmod(0o755 if "bin/" in path else 0o644)
            os.utime(full, (SECOND, SECOND))
    return root


def snapshot(root: Path) -> dict[str, tuple[str, int, str]]:
    """Everything in a prefix but its state directory and bytecode: kind, mode, content."""
    found = {}
    for parent, directories, files in os.walk(root):
        here = os.path.relpath(parent, root)
        directories[:] = [
            d for d in directories if d != "__pycache__" and os.path.join(here, d) not in ("./var", "var")
        ]
        for name in directories + files:
            path = Path(parent, name)
            found[os.path.normpath(os.path.join(here, name))] = _seen(path)
    return found


def _seen(path: Path) -> tuple[str, int, str]:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return ("l", 0, str(path.readlink()))
    if stat.S_ISDIR(status.st_mode):
        return ("d", stat.S_IMODE(status.st_mode), "")
    return ("f", stat.S_IMODE(status.st_mode), path.read_text(errors="surrogateescape"))


def copied(source: Path, target: Path) -> None:
    """A plain recursive copy: what `cp -Rp` makes of a staged tree."""
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)

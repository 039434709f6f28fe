"""A small prefix to attack, the kinds of transactions there are, and the judge.

Every kind is arranged on disk once; a try copies that arrangement back to the same path, acts, and asks the judge.  The judge
knows nothing of how Shipway works inside: it compares what lies in the prefix, and what the commands say of it, with the
same prefix before the deed and after an undisturbed one.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

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


@dataclass(frozen=True)
class Deed:
    """A kind of transaction: packages there before, trees staged for it, and its command line without `-p PREFIX`.

    `{stage}` stands for the staged tree of the first name in `stages`, `{stage:NAME}` for another.  `script` is run by
    Python in the command's place, with the prefix and the stages' directory as arguments: for what only the API can do.
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
root, stages = sys.argv[1:]
with Prefix(root) as prefix:
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
        self.known_before = known(scene, self.root)
        self._keep()
        done = run(self.command())
        if done.returncode:
            raise RuntimeError(f"{deed.name}: {done.stderr}")
        self.after = snapshot(self.root)
        self.known_after = known(scene, self.root)
        self.restore()

    def _arrange(self) -> None:
        make_tree(self.root, {"lib/here-before": "mine\n", **(self.deed.files or {})})
        for name, files in {"neighbour1": NEIGHBOUR, **self.deed.stages}.items():
            make_tree(self.stages / name, files)
        for words in [_merge("neighbour", "1"), *self.deed.before]:
            done = run(self._command(words))
            if done.returncode:
                raise RuntimeError(f"{self.deed.name}: {done.stderr}")

    def _keep(self) -> None:
        run(["cp", "-a", str(self.room / "here"), str(self._kept)])

    def restore(self) -> None:
        """Put everything back as it was before the deed, at the same paths."""
        leave(self.room / "here")
        run(["cp", "-a", str(self._kept), str(self.room / "here")])

    def command(self, *options: str) -> list[str]:
        """The deed's command line; `options` are global ones, such as --rename-mode."""
        if self.deed.script:
            return [self.scene.python, "-c", self.deed.script, str(self.root), str(self.stages)]
        return self._command(self.deed.command, *options)

    def _command(self, words: Sequence[str], *options: str) -> list[str]:
        filled = [self._filled(word) for word in words]
        return [self.scene.shipway, "-p", str(self.root), *options, *filled]

    def _filled(self, word: str) -> str:
        return str(self.stages / word[7:-1]) if word.startswith("{stage:") else word

    def judge(self, root: Path | None = None) -> list[str]:
        """What is wrong with the prefix after the deed was disturbed; the next command heals it first."""
        return judge(self, root or self.root)


def judge(world: World, root: Path) -> list[str]:
    """Old or new in database and on disk, `verify` clean, the neighbour untouched, nothing orphaned."""
    healed = world.scene.run("-p", root, "recover")
    if healed.returncode:
        return [f"recover ended with {healed.returncode}: {healed.stderr.strip()}"]
    now, said = snapshot(root), known(world.scene, root)
    problems = []
    if (now, said) not in ((world.before, world.known_before), (world.after, world.known_after)):
        problems.append(_neither(world, now, said))
    checked = world.scene.run("-p", root, "verify")
    if checked.returncode:
        problems.append(f"verify: {checked.stdout.strip() or checked.stderr.strip()}")
    return problems + orphans(world.scene, root)


def _neither(world: World, now: Snapshot, said: object) -> str:
    disk = "old" if now == world.before else "new" if now == world.after else "neither"
    record = "old" if said == world.known_before else "new" if said == world.known_after else f"neither ({said})"
    if disk != "neither":
        return f"the disk is {disk}, the record {record}"
    wrong = [
        p
        for p in sorted(now.keys() | world.after.keys())
        if now.get(p) not in (world.before.get(p), world.after.get(p))
    ]
    mixed = [p for p in sorted(world.before.keys() | world.after.keys()) if now.get(p) != world.after.get(p)]
    return f"the record is {record}; neither old nor new: {wrong[:4]}; not new: {mixed[:4]}"


def orphans(scene: Scene, root: Path) -> list[str]:
    """What is left over in the state directory: staging areas, and images that nothing refers to once `gc` has run."""
    work = root / STATE / "work"
    left = [f"left in work/: {name}" for name in sorted(os.listdir(work))] if work.is_dir() else []
    scene.run("-p", root, "gc", "--keep", "0")
    images = {name for name in os.listdir(root / STATE / "images") if name != "CACHEDIR.TAG"}
    shown = scene.run("-p", root, "list", "--json")
    count = len(json.loads(shown.stdout)) if shown.returncode == 0 else -1
    undo = os.listdir(root / STATE / "undo") if (root / STATE / "undo").is_dir() else []
    problems = left + [f"left in undo/ after gc: {name}" for name in sorted(undo)]
    return problems + ([] if len(images) == count else [f"{len(images)} images for {count} packages"])


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

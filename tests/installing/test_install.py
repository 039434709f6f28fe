"""`shipway pip install`: what pip would have installed, as one transaction that can be taken back."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tests.installing.shop import Venv, false_records, tree
from tests.installing.wheels import Wheel

LIB = Wheel("some-lib", "1.2")
APP = Wheel(
    "the-app",
    "1.0",
    {
        "the_app/__init__.py": 'VERSION = "1.0"\n\n\ndef main():\n    print(VERSION)\n',
        "the_app/old_only.py": "",
        "the_app-1.0.data/scripts/tool": "#!python\nimport sys\nprint(sys.prefix)\n",
        "the_app-1.0.data/data/share/the-app/table.csv": "1;2\n",
        "the_app-1.0.data/headers/the_app.h": "int app;\n",
    },
    requires=("some-lib>=1",),
    extras={"more": "extra-lib"},
    scripts={"the-app": "the_app:main"},
)
NEWER = Wheel(
    "the-app",
    "2.0",
    {"the_app/__init__.py": 'VERSION = "2.0"\n\n\ndef main():\n    print(VERSION)\n', "the_app/new_only.py": ""},
    requires=("some-lib>=1",),
    scripts={"the-app": "the_app:main"},
)


def text(venv: Venv, name: str) -> str:
    return (venv.site / f"the_app-1.0.dist-info/{name}").read_text()


def test_a_project_and_what_it_needs_come_as_one_transaction(venv: Venv) -> None:
    venv.offer(LIB, APP)
    ran = venv.done("install", "the-app")
    assert "+ some-lib 1.2" in ran.out and "+ the-app 1.0" in ran.out
    assert venv.history() == ["some-lib:None:1.2 the-app:None:1.0"]
    assert venv.says("import the_app, some_lib; print(the_app.VERSION, some_lib.VERSION)") == "1.0 1.2"
    assert venv.script("the-app") == "1.0"
    assert venv.script("tool") == str(venv.root)
    assert (venv.root / "bin/tool").read_text().startswith(f"#!{venv.root}/bin/python")
    assert (venv.root / "bin/tool").stat().st_mode & 0o777 == 0o755
    assert (venv.root / "share/the-app/table.csv").read_text() == "1;2\n"
    assert (venv.root / "include/site" / venv.site.parent.name / "the-app/the_app.h").is_file()
    assert list(venv.site.glob("the_app/__pycache__/__init__.*.pyc"))


def test_the_metadata_is_as_if_pip_had_installed_it(venv: Venv) -> None:
    venv.offer(LIB, APP)
    venv.done("install", "the-app")
    assert false_records(venv.site) == []
    assert text(venv, "INSTALLER").strip() == "shipway"
    assert (venv.site / "the_app-1.0.dist-info/REQUESTED").is_file()
    assert not (venv.site / "some_lib-1.2.dist-info/REQUESTED").exists()
    listed = venv.done("list", "--format=json")
    assert json.loads(listed.out) == [
        {"name": "some-lib", "version": "1.2"},
        {"name": "the-app", "version": "1.0"},
    ]
    assert venv.done("check").out.strip() == "No broken requirements found."
    shown = venv.done("show", "-f", "the-app").out
    assert "Requires: some-lib" in shown and "../../../bin/the-app" in shown and "share/the-app/table.csv" in shown
    code = "from importlib.metadata import *; print(version('the-app'), len(files('the-app')), entry_points(name='the-app'))"
    assert venv.says(code).startswith("1.0 ")


def test_pip_uninstalls_what_we_installed(venv: Venv) -> None:
    before = tree(venv.root, bytecode=True)
    venv.offer(LIB, APP)
    venv.done("install", "the-app")
    venv.own_pip("uninstall", "-y", "the-app", "some-lib")
    left = tree(venv.root, bytecode=True).keys() - before.keys()
    assert {path for path in left if "include" not in path and "share" not in path} == set()


def test_an_upgrade_leaves_nothing_of_the_old_and_can_be_taken_back_and_forth(venv: Venv) -> None:
    venv.offer(LIB, APP)
    venv.done("install", "the-app")
    first = tree(venv.root)
    venv.offer(NEWER)
    assert "the-app 1.0 → 2.0" in venv.done("install", "--upgrade", "the-app").out
    second = tree(venv.root)
    assert not (venv.site / "the_app/old_only.py").exists() and not (venv.root / "bin/tool").exists()
    assert venv.script("the-app") == "2.0"
    venv.shipway("verify")
    venv.shipway("undo")
    assert tree(venv.root) == first
    assert venv.script("the-app") == "1.0"
    venv.shipway("redo")
    assert tree(venv.root) == second
    venv.shipway("verify")
    assert venv.history()[1] == "the-app:1.0:2.0"


def test_what_is_there_is_not_installed_again(venv: Venv) -> None:
    venv.offer(LIB, APP)
    venv.done("install", "the-app")
    ran = venv.done("install", "the-app")
    assert ran.out.startswith("everything is as wanted")
    assert venv.done("install", "-U", "the-app", "some-lib").out.startswith("everything is as wanted")
    assert len(venv.history()) == 1
    venv.done("install", "--force-reinstall", "--no-deps", "the-app")
    venv.shipway("verify")


def test_a_dry_run_tells_the_plan_and_changes_nothing(venv: Venv) -> None:
    venv.offer(LIB, APP)
    before = tree(venv.root)
    told = venv.shipway("--json", "pip", "install", "--dry-run", "the-app").json
    assert told["transaction"] is None
    assert sorted((c["name"], c["old"], c["new"]) for c in told["changes"]) == [
        ("some-lib", None, "1.2"),
        ("the-app", None, "1.0"),
    ]
    assert "would change" in venv.done("install", "--dry-run", "the-app").out
    assert tree(venv.root) == before
    assert venv.history() == []
    done = venv.shipway("--json", "pip", "install", "the-app").json
    assert done["transaction"] == 1
    assert {c["name"] for c in done["changes"]} == {"some-lib", "the-app"}


def test_without_compiling_there_is_no_bytecode(venv: Venv) -> None:
    venv.offer(LIB)
    venv.done("install", "--no-compile", "some-lib")
    assert list(venv.site.rglob("*.pyc")) == []
    assert venv.says("import some_lib; print(some_lib.VERSION)") == "1.2"


def test_requirement_files_constraints_markers_and_extras(venv: Venv, tmp_path: Path) -> None:
    venv.offer(LIB, Wheel("some-lib", "1.3"), APP, Wheel("extra-lib"), Wheel("not-here"))
    (tmp_path / "more.txt").write_text("the-app[more]\nnot-here; python_version < '3'\n")
    (tmp_path / "requirements.txt").write_text("# a comment\n-r more.txt\n-c limits.txt\n")
    (tmp_path / "limits.txt").write_text("some-lib<1.3\n")
    venv.done("install", "-r", str(tmp_path / "requirements.txt"))
    assert venv.projects() == ["extra_lib-1.0", "some_lib-1.2", "the_app-1.0"]


def test_hashes_are_insisted_on(venv: Venv, tmp_path: Path) -> None:
    right = hashlib.sha256(LIB.write(venv.wheels).read_bytes()).hexdigest()
    pinned = tmp_path / "pinned.txt"
    pinned.write_text(f"some-lib==1.2 --hash=sha256:{'0' * 64}\n")
    refused = venv.pip("install", "--require-hashes", "-r", str(pinned))
    assert refused.code == 1 and "DO NOT MATCH" in refused.err
    assert venv.projects() == []
    pinned.write_text(f"some-lib==1.2 --hash=sha256:{right}\n")
    venv.done("install", "--require-hashes", "-r", str(pinned))
    assert venv.projects() == ["some_lib-1.2"]


def test_a_local_wheel_is_remembered_as_asked_for_by_its_address(venv: Venv, tmp_path: Path) -> None:
    path = LIB.write(tmp_path / "else where")
    venv.done("install", str(path))
    told = json.loads((venv.site / "some_lib-1.2.dist-info/direct_url.json").read_text())
    assert told["url"] == path.as_uri()
    assert told["archive_info"]["hashes"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert false_records(venv.site) == []
    assert "some-lib @ file:" in venv.done("freeze").out


def test_what_does_not_resolve_is_told_in_pip_s_words(venv: Venv) -> None:
    venv.offer(Wheel("lonely", requires=("nobody-has-this",)))
    ran = venv.pip("install", "lonely")
    assert ran.code == 1
    assert "error: pip could not resolve" in ran.err
    assert "nobody-has-this" in ran.err
    assert venv.projects() == []

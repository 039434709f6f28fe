"""`pip install -e DIR`: by the project's own build backend (PEP 660), here one that lies in its tree and needs nothing."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.installing.shop import Venv, false_records

BACKEND = """
import sys
sys.path.insert(0, {home!r})
from pathlib import Path
from tests.installing.wheels import Wheel

def wheel(files, directory):
    return Wheel("proj", "1.0", files, scripts={{"proj": "proj:main"}}).write(Path(directory)).name

def build_wheel(directory, config_settings=None, metadata_directory=None):
    return wheel({{"proj/__init__.py": Path("proj/__init__.py").read_text()}}, directory)

def build_editable(directory, config_settings=None, metadata_directory=None):
    return wheel({{"proj/__init__.py": f"exec(open({{str(Path('proj/__init__.py').absolute())!r}}).read())\\n"}}, directory)
"""


def project(root: Path) -> Path:
    (root / "proj").mkdir(parents=True)
    (root / "proj/__init__.py").write_text('VERSION = "first"\n\n\ndef main():\n    print(VERSION)\n')
    (root / "backend.py").write_text(BACKEND.format(home=str(Path(__file__).parents[2])))
    (root / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    return root


def test_an_editable_project_is_used_where_it_lies(venv: Venv, tmp_path: Path) -> None:
    place = project(tmp_path / "project")
    venv.done("install", "-e", str(place))
    assert venv.script("proj") == "first"
    (place / "proj/__init__.py").write_text('def main():\n    print("edited")\n')
    assert venv.script("proj") == "edited"
    told = json.loads((venv.site / "proj-1.0.dist-info/direct_url.json").read_text())
    assert told == {"url": place.as_uri(), "dir_info": {"editable": True}}
    assert false_records(venv.site) == []
    venv.done("install", str(place))
    (place / "proj/__init__.py").write_text('def main():\n    print("edited again")\n')
    assert venv.script("proj") == "edited"
    venv.shipway("undo")
    assert venv.script("proj") == "edited again"


def test_a_backend_that_cannot_is_told_in_its_words(venv: Venv, tmp_path: Path) -> None:
    place = project(tmp_path / "project")
    (place / "backend.py").write_text((place / "backend.py").read_text().replace("def build_editable", "def nothing"))
    ran = venv.pip("install", "-e", str(place))
    assert ran.code == 1
    assert "editable" in ran.err
    assert venv.projects() == []


def repository(root: Path) -> Path:
    """A project, committed, below the top of its repository."""
    project(root / "below")
    git(root, "init", "-q")
    commit(root)
    return root


def commit(root: Path) -> str:
    git(root, "add", ".")
    git(root, "commit", "-qm", "all")
    return git(root, "rev-parse", "HEAD")


def git(root: Path, *words: str) -> str:
    told = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    done = subprocess.run(["git", "-C", root, *told, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_a_repository_elsewhere_is_checked_out_and_used_there(venv: Venv, tmp_path: Path) -> None:
    place = repository(tmp_path / "project")
    words = ["install", "-e", f"git+{place.as_uri()}#egg=proj&subdirectory=below"]
    checkout = venv.root / "src/proj"
    assert "+ proj 1.0" in venv.done(*words, "--dry-run").out
    assert not checkout.exists()
    venv.done(*words)
    assert venv.script("proj") == "first"
    told = json.loads((venv.site / "proj-1.0.dist-info/direct_url.json").read_text())
    assert told == {"url": (checkout / "below").as_uri(), "dir_info": {"editable": True}}
    assert "-e git+" in venv.done("freeze").out
    (checkout / "below/proj/__init__.py").write_text('def main():\n    print("mine")\n')
    venv.done(*words)
    assert venv.script("proj") == "mine", "the same commit, and somebody's work"


def test_another_commit_is_checked_out_beside_and_undo_leads_back(venv: Venv, tmp_path: Path) -> None:
    place = repository(tmp_path / "project")
    words = ["install", "-e", f"git+{place.as_uri()}#egg=proj&subdirectory=below"]
    venv.done(*words)
    (place / "below/proj/__init__.py").write_text('def main():\n    print("second")\n')
    second = commit(place)
    ran = venv.done(*words)
    assert f"src/proj-{second[:12]}" in ran.err and "stays as it is" in ran.err
    assert venv.script("proj") == "second"
    venv.shipway("undo")
    assert venv.script("proj") == "first"
    venv.done(*words)
    assert venv.script("proj") == "second"
    assert sorted(path.name for path in (venv.root / "src").iterdir()) == ["proj", f"proj-{second[:12]}"]
    (place / "below/proj/__init__.py").write_text("third\n")
    (venv.root / "src" / f"proj-{commit(place)[:12]}").write_text("in the way")
    assert venv.pip(*words).code == 3

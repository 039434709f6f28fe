"""Shared indexes made anew: by whatever tools are there, never in place, never failing a commit."""

from __future__ import annotations

import errno
import os
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

from shipway.fs.lock import FileLock
from shipway.fs.system import FileSystem
from shipway.prefix.regenerate import Note, Result, Surroundings, regenerate

SCHEMAS = "share/glib-2.0/schemas"
SCHEMA = f"{SCHEMAS}/a.gschema.xml"
INDEX = f"{SCHEMAS}/gschemas.compiled"

# Lists the schemas in the directory it is given, writing in place as the worst of tools would.
COMPILE = 'cd "$1" && ls *.xml > gschemas.compiled'
# Knows what install-info knows of its command line, and of reading what it is told to delete.
INSTALL_INFO = """\
if [ "$1" = --delete ]; then
    test -s "$2" || { echo "no such manual: $2"; exit 1; }
    name=$(basename "$2"); grep -v "^\\* ${name%%.info*}:" "$3" > "$3.new"; cat "$3.new" > "$3"; rm "$3.new"
else
    test -s "$2" || printf 'Top\\n\\n* Menu:\\n' > "$2"
    test -s "$1" || { echo "empty manual: $1"; exit 1; }
    name=$(basename "$1"); echo "* ${name%%.info*}: listed" >> "$2"
fi
"""


class Site:
    """A prefix with tools of its own in `bin`, and with nothing else on the path but the system's."""

    def __init__(self, root: Path) -> None:
        self.prefix, self.scratch = root / "prefix", root / "work"
        (self.prefix / "bin").mkdir(parents=True)
        self.scratch.mkdir()

    def tool(self, name: str, text: str) -> None:
        path = self.prefix / "bin" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def put(self, path: str, text: str = "x\n") -> Path:
        file = self.prefix / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def read(self, path: str) -> str:
        return (self.prefix / path).read_text()

    def run(self, *changed: str, fs: FileSystem | None = None, timeout: float = 20.0) -> list[Note]:
        notes = regenerate(fs or FileSystem(), Surroundings(str(self.prefix), str(self.scratch), timeout), changed)
        assert {path.name for path in self.scratch.iterdir()} <= {"regenerate.lock"}
        return notes

    def only(self, *changed: str, timeout: float = 20.0) -> Note:
        (note,) = self.run(*changed, timeout=timeout)
        return note


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Real tools of this machine are out of reach; tests that want one ask for `machine`."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "ls", "cat", "grep", "rm", "basename", "sleep", "echo", "test", "ln", "mkdir", "pwd"):
        found = shutil.which(name)
        if found:
            (tools / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(tools))
    return Site(tmp_path)


@pytest.fixture
def machine(tmp_path: Path) -> Site:
    return Site(tmp_path)


def demand(tool: str) -> None:
    if not shutil.which(tool):
        pytest.skip(f"{tool} is not on the path")


def test_changes_that_no_index_depends_on_run_nothing(site: Site) -> None:
    assert site.run("lib/libgmp.so", INDEX) == []
    assert list(site.scratch.iterdir()) == []


def test_a_directory_that_is_gone_needs_no_index(site: Site) -> None:
    assert site.run(SCHEMA) == []


def test_a_tool_that_is_not_there_is_named(site: Site) -> None:
    site.put(SCHEMA)
    note = site.only(SCHEMA)
    assert note.result is Result.MISSING
    assert str(note).startswith(f"{SCHEMAS}: not brought up to date, as glib-compile-schemas is not installed")


def test_the_index_lists_what_is_there_now(site: Site) -> None:
    site.tool("glib-compile-schemas", COMPILE)
    site.put(SCHEMA)
    site.put(f"{SCHEMAS}/b c.gschema.xml")
    note = site.only(SCHEMA)
    assert (note.result, note.detail) == (Result.RAN, "glib-compile-schemas")
    assert site.read(INDEX) == "a.gschema.xml\nb c.gschema.xml\n"


def test_a_tool_of_the_prefix_goes_before_one_of_the_system(site: Site, tmp_path: Path) -> None:
    (tmp_path / "tools" / "glib-compile-schemas").symlink_to("/bin/false")
    site.put(SCHEMA)
    assert site.only(SCHEMA).result is Result.FAILED
    site.tool("glib-compile-schemas", COMPILE)
    assert site.only(SCHEMA).result is Result.RAN


def test_other_names_of_the_old_index_and_its_readers_keep_their_content(site: Site, tmp_path: Path) -> None:
    site.tool("glib-compile-schemas", COMPILE)
    site.put(SCHEMA)
    old = site.put(INDEX, "old")
    (tmp_path / "shared").hardlink_to(old)
    with old.open() as reader:
        site.run(SCHEMA)
        assert reader.read() == "old"
    assert (tmp_path / "shared").read_text() == "old"
    assert site.read(INDEX) == "a.gschema.xml\n"


def test_a_merged_index_is_not_written_in_place_either(site: Site, tmp_path: Path) -> None:
    site.tool("install-info", INSTALL_INFO)
    old = site.put("share/info/dir", "Top\n\n* Menu:\n* mine: (mine).\n")
    (tmp_path / "shared").hardlink_to(old)
    site.put("share/info/gmp.info")
    assert site.only("share/info/gmp.info").result is Result.RAN
    assert site.read("share/info/dir") == "Top\n\n* Menu:\n* mine: (mine).\n* gmp: listed\n"
    assert "gmp" not in (tmp_path / "shared").read_text()


def test_whatever_else_a_tool_writes_stays_out_of_the_prefix(site: Site) -> None:
    site.tool("glib-compile-schemas", f"{COMPILE}; echo > litter; mkdir d; echo > d/litter; ln -s /etc/passwd link")
    site.put(SCHEMA)
    site.run(SCHEMA)
    assert sorted(os.listdir(site.prefix / SCHEMAS)) == ["a.gschema.xml", "gschemas.compiled"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("echo oops; echo; exit 2", "failed: oops"),
        ("exit 2", "failed: exit status 2"),
        ("kill -9 $$", "failed: exit status -9"),
    ],
)
def test_a_tool_that_fails_is_told_with_its_last_line_and_changes_nothing(site: Site, text: str, why: str) -> None:
    site.tool("glib-compile-schemas", f"{COMPILE}\n{text}")
    site.put(SCHEMA)
    site.put(INDEX, "old")
    note = site.only(SCHEMA)
    assert note.result is Result.FAILED
    assert why in str(note)
    assert site.read(INDEX) == "old"


def test_a_tool_that_takes_too_long_is_ended(site: Site) -> None:
    site.tool("glib-compile-schemas", "exec sleep 1000")
    site.put(SCHEMA)
    note = site.only(SCHEMA, timeout=0.2)
    assert note.result is Result.FAILED
    assert "more than 0.2 s" in str(note)


def test_what_a_tool_leaves_running_keeps_nobody_waiting(site: Site) -> None:
    site.tool("glib-compile-schemas", f"{COMPILE}; sleep 1000 & echo $! > {site.prefix}/pid")
    site.put(SCHEMA)
    try:
        assert site.only(SCHEMA).result is Result.RAN
    finally:
        os.kill(int(site.read("pid")), 9)


def test_two_never_run_at_once(site: Site) -> None:
    site.tool("glib-compile-schemas", COMPILE)
    site.put(SCHEMA)
    with FileLock(str(site.scratch / "regenerate.lock")):
        note = site.only(SCHEMA, timeout=0.1)
    assert note.result is Result.FAILED
    assert f"process {os.getpid()}" in str(note)


def test_what_a_killed_run_left_is_removed_by_the_next(site: Site) -> None:
    site.tool("glib-compile-schemas", COMPILE)
    site.put(SCHEMA)
    litter = site.scratch / "regenerate" / ".shipway-1-2" / "view"
    litter.mkdir(parents=True)
    (litter / "link").symlink_to(site.prefix / SCHEMAS)
    assert site.only(SCHEMA).result is Result.RAN
    assert (site.prefix / SCHEMA).exists()


def test_an_index_whose_entries_are_all_gone_goes_too_without_any_tool(site: Site) -> None:
    site.put(INDEX)
    note = site.only(SCHEMA)
    assert note.result is Result.CLEARED
    assert os.listdir(site.prefix / SCHEMAS) == []


def test_manuals_come_and_go(site: Site) -> None:
    site.tool("install-info", INSTALL_INFO)
    site.put("share/info/gmp.info")
    site.put("share/info/old.info.gz")
    site.run("share/info/gmp.info", "share/info/old.info.gz")
    (site.prefix / "share/info/old.info.gz").unlink()
    assert site.only("share/info/old.info.gz").result is Result.RAN
    assert site.read("share/info/dir").endswith("* Menu:\n* gmp: listed\n")
    (site.prefix / "share/info/gmp.info").unlink()
    assert site.only("share/info/gmp.info").result is Result.CLEARED
    assert os.listdir(site.prefix / "share/info") == []


def test_a_manual_that_is_now_compressed_stays_listed(site: Site) -> None:
    site.tool("install-info", INSTALL_INFO)
    site.put("share/info/dir", "Top\n\n* Menu:\n* gmp: listed\n")
    site.put("share/info/gmp.info")
    site.run("share/info/gmp.info", "share/info/gmp.info.gz")
    assert site.read("share/info/dir").count("gmp") == 1


def test_one_bad_manual_is_told_and_does_not_keep_the_others_out(site: Site) -> None:
    site.tool("install-info", INSTALL_INFO)
    site.put("share/info/a.info")
    site.put("share/info/bad.info", "")
    site.put("share/info/c.info")
    note = site.only(*(f"share/info/{name}.info" for name in ("a", "bad", "c")))
    assert note.result is Result.FAILED
    assert "empty manual" in str(note)
    assert site.read("share/info/dir").endswith("* a: listed\n* c: listed\n")


def test_an_index_of_manuals_that_leads_elsewhere_is_left_alone(site: Site, tmp_path: Path) -> None:
    site.tool("install-info", INSTALL_INFO)
    site.put("share/info/a.info")
    (tmp_path / "elsewhere").write_text("theirs")
    (site.prefix / "share/info/dir").symlink_to(tmp_path / "elsewhere")
    assert site.only("share/info/a.info").result is Result.FAILED
    assert (tmp_path / "elsewhere").read_text() == "theirs"


def test_mime_types_that_no_package_describes_any_longer_go(site: Site) -> None:
    site.tool("update-mime-database", 'cd "$1" && mkdir text && ls packages > text/x-new.xml && echo > mime.cache')
    site.put("share/mime/packages/a.xml")
    site.put("share/mime/packages/README")
    site.put("share/mime/text/x-old.xml")
    site.put("share/mime/image/x-old.xml")
    site.put("share/mime/image/notes.txt")
    site.put("share/mime/audio/x-old.xml")
    site.put("share/mime/treemagic")
    assert site.only("share/mime/packages/a.xml").result is Result.RAN
    left = sorted(str(p.relative_to(site.prefix / "share/mime")) for p in (site.prefix / "share/mime").rglob("*"))
    assert left == [
        "image", "image/notes.txt", "mime.cache", "packages", "packages/README", "packages/a.xml", "text",
        "text/x-new.xml",
    ]  # fmt: skip


def test_a_new_index_is_as_open_as_its_directory_and_an_old_one_keeps_its_mode(site: Site) -> None:
    site.tool("glib-compile-schemas", COMPILE)
    site.put(SCHEMA)
    (site.prefix / SCHEMAS).chmod(0o2775)
    previous = os.umask(0o077)
    try:
        site.run(SCHEMA)
        assert (site.prefix / INDEX).stat().st_mode & 0o7777 == 0o664
        (site.prefix / INDEX).chmod(0o640)
        site.run(SCHEMA)
        assert (site.prefix / INDEX).stat().st_mode & 0o7777 == 0o640
    finally:
        os.umask(previous)


def test_an_index_is_not_older_than_its_directory(site: Site) -> None:
    site.tool("gtk-update-icon-cache", 'for last; do :; done; echo cache > "$last/icon-theme.cache"')
    site.put("share/icons/hicolor/48x48/a.png")
    site.run("share/icons/hicolor/48x48/a.png")
    theme = site.prefix / "share/icons/hicolor"
    assert (theme / "icon-theme.cache").stat().st_mtime_ns >= theme.stat().st_mtime_ns


def test_scalable_fonts_are_seen_when_all_fonts_are_listed(site: Site) -> None:
    site.tool("mkfontscale", 'cd "$1" && ls *.otf > fonts.scale')
    site.tool("mkfontdir", 'cd "$1" && cat fonts.scale > fonts.dir')
    site.tool("fc-cache", "test -d $1")
    site.put("share/fonts/X11/OTF/a.otf")
    notes = site.run("share/fonts/X11/OTF/a.otf")
    assert [note.result for note in notes] == [Result.RAN] * 3
    assert site.read("share/fonts/X11/OTF/fonts.dir") == "a.otf\n"


class Failing(FileSystem):
    """A file system whose k-th change fails."""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.left = k

    def step(self, operation: str, path: str) -> None:
        self.left -= 1
        if self.left == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)


def test_a_disk_that_fails_anywhere_leaves_the_old_index_or_the_new_one(site: Site) -> None:
    site.tool("glib-compile-schemas", COMPILE)
    site.put(SCHEMA)
    for k in range(1, 30):
        site.put(INDEX, "old")
        fs = Failing(k)
        (note,) = regenerate(fs, Surroundings(str(site.prefix), str(site.scratch)), [SCHEMA])
        assert site.read(INDEX) in ("old", "a.gschema.xml\n")
        if fs.left > 0:
            assert note.result is Result.RAN
            break
        assert note.result is Result.FAILED
        assert os.strerror(errno.EIO) in str(note)
    else:
        pytest.fail("it never ran without an error")


def picture() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(4))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_real_schemas_are_compiled(machine: Site) -> None:
    demand("glib-compile-schemas")
    machine.put(SCHEMA, '<schemalist><schema id="org.a" path="/a/"><key name="k" type="b"><default>true</default></key>'
                "</schema></schemalist>")  # fmt: skip
    assert machine.only(SCHEMA).result is Result.RAN
    assert b"org.a" in (machine.prefix / INDEX).read_bytes()


def test_the_real_mime_database_is_made(machine: Site) -> None:
    demand("update-mime-database")
    machine.put(
        "share/mime/packages/a.xml",
        '<?xml version="1.0"?><mime-info xmlns="http://www.freedesktop.org/standards/shared-mime-info">'
        '<mime-type type="text/x-thing"><comment>Thing</comment><glob pattern="*.thing"/></mime-type></mime-info>',
    )
    machine.put("share/mime/text/x-old.xml")
    assert machine.only("share/mime/packages/a.xml").result is Result.RAN
    assert "*.thing" in machine.read("share/mime/globs")
    assert os.listdir(machine.prefix / "share/mime/text") == ["x-thing.xml"]


def test_the_real_icon_cache_lists_icons_behind_links(machine: Site) -> None:
    if not (shutil.which("gtk4-update-icon-cache") or shutil.which("gtk-update-icon-cache")):
        pytest.skip("no gtk-update-icon-cache is on the path")
    icon = machine.put("share/icons/hicolor/48x48/apps/thing.png")
    icon.write_bytes(picture())
    assert machine.only("share/icons/hicolor/48x48/apps/thing.png").result is Result.RAN
    cache = (machine.prefix / "share/icons/hicolor/icon-theme.cache").read_bytes()
    assert b"48x48/apps" in cache
    assert b"thing" in cache


def test_the_real_cache_of_applications_is_made(machine: Site) -> None:
    demand("update-desktop-database")
    text = "[Desktop Entry]\nType=Application\nName=A\nExec=a\nMimeType=text/x-thing;\n"
    machine.put("share/applications/kde/a.desktop", text)
    assert machine.only("share/applications/kde/a.desktop").result is Result.RAN
    assert "text/x-thing=kde-a.desktop" in machine.read("share/applications/mimeinfo.cache")


def test_real_manuals_come_and_go(machine: Site) -> None:
    demand("install-info")
    text = "This is {0}.info\n\nINFO-DIR-SECTION Math\nSTART-INFO-DIR-ENTRY\n* {0}: ({0}).  It.\nEND-INFO-DIR-ENTRY\n"
    machine.put("share/info/a.info", text.format("a"))
    b = machine.put("share/info/b.info", text.format("b"))
    subprocess.run(["gzip", str(b)], check=True)
    assert machine.only("share/info/a.info", "share/info/b.info.gz").result is Result.RAN
    assert "* b: (b)." in machine.read("share/info/dir")
    (machine.prefix / "share/info/b.info.gz").unlink()
    assert machine.only("share/info/b.info.gz").result is Result.RAN
    assert "* a: (a)." in machine.read("share/info/dir")
    assert "* b: (b)." not in machine.read("share/info/dir")
    (machine.prefix / "share/info/a.info").unlink()
    assert machine.only("share/info/a.info").result is Result.CLEARED

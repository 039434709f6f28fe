"""Recipes that misbehave: each ends in one clear failure or none, nothing is left running, and the prefix is as it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shipway.build.log import LIMIT
from shipway.errors import Interrupted, ShipwayError
from shipway.fs.apart import probe
from shipway.fs.process import children_of, command_of
from shipway.fs.system import FileSystem
from tests.build.building import Workshop, built, failed, live_files, tree
from tests.build.conftest import Crew, crew_of

HEADER = "int add(int, int);\n"


def running(word: str) -> list[str]:
    """The command lines of living processes that hold a word."""
    below = [pid for pids in children_of().values() for pid in pids]
    return [line for pid in below if word in (line := command_of(pid)) and "pytest" not in line]


def until(condition: Callable[[], object], seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def stop_when(shop: Workshop, line: str) -> None:
    until(lambda: line in shop.said)
    shop.stop.ask()


def with_dependency(shop: Workshop) -> dict[str, str]:
    (shop.prefix / "include/add.h").write_text(HEADER)
    (shop.prefix / "lib/libadd.so").write_text("library")
    return live_files(shop)


# -- processes --------------------------------------------------------------------------------------------------------

DAEMONS = {
    "in the background": "sleep 1234{n} &",
    "in a session of its own": "setsid sleep 1234{n} &",
    "forked twice": "(setsid sh -c 'sleep 1234{n} & sleep 1234{n} &' &)",
    "that ignores signals": "setsid sh -c 'trap \"\" HUP INT TERM QUIT; sleep 1234{n}; sleep 1234{n}' &",
    "without the terminal": "setsid sleep 1234{n} </dev/null >/dev/null 2>&1 &",
}


@pytest.mark.parametrize("way", DAEMONS)
def test_a_daemon_ends_with_its_phase_and_is_told(crew: Crew, way: str) -> None:
    number = f"{os.getpid()}"

    def body(shop: Workshop) -> None:
        built(shop.script(DAEMONS[way].format(n=number)))
        assert not running(f"1234{number}")
        assert any(f"1234{number}" in event.text for event in shop.events if event.kind == "note")

    crew(body)


def test_a_process_that_ends_soon_may_say_its_last_words(crew: Crew) -> None:
    def body(shop: Workshop) -> None:
        built(shop.script("(sleep 0.3; echo the last words) &"))
        assert shop.said == ["the last words"]
        assert not [event for event in shop.events if event.kind == "note"]

    crew(body)


def test_what_hangs_is_interrupted_and_nothing_is_left(crew: Crew) -> None:
    number = f"5678{os.getpid()}"

    def body(shop: Workshop) -> None:
        text = f"trap '' INT TERM HUP; setsid sleep {number} & echo hangs; sleep {number}; sleep {number}"
        threading.Thread(target=lambda: stop_when(shop, "hangs")).start()
        with pytest.raises(Interrupted, match="install was interrupted"):
            shop.script(text)
        assert not running(number)
        assert "interrupted: install" in shop.log

    crew(body)


def test_nobody_waits_for_an_answer(crew: Crew) -> None:
    def body(shop: Workshop) -> None:
        failure = failed(shop.script("read answer; echo $answer"))
        assert failure.status == 1
        assert failed(shop.script("read answer < /dev/tty")).status

    crew(body)


BUILDER = """
import os, sys
from pathlib import Path
from tests.build.building import workshop
shop = workshop(Path(sys.argv[1]), apart=sys.argv[2] == "apart")
shop.script("setsid sleep NUMBER & sleep NUMBER")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("how", ["apart", "together"])
def test_a_build_dies_with_shipway(place: Path, how: str, number: signal.Signals) -> None:
    word = f"9{os.getpid()}{number.value}"
    words = [sys.executable, "-c", BUILDER.replace("NUMBER", word), str(place / "shop"), how]
    home = Path(__file__).parent.parent.parent
    environment = {**os.environ, "PYTHONPATH": f"{home}:{home / 'src'}"}
    process = subprocess.Popen(words, env=environment, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        assert until(lambda: len(running(f"sleep {word}")) >= 2)
        os.killpg(process.pid, number)
        process.wait()
        assert until(lambda: not running(word))
    finally:
        process.kill()
        process.wait()


def test_the_kernel_ends_a_build_whose_keeper_is_killed(lonely: Crew) -> None:
    word = f"8{os.getpid()}"

    def body(shop: Workshop) -> None:
        if not shop.isolation.processes:
            pytest.skip("no process namespaces here")
        threading.Thread(target=lambda: kill_keeper(os.getpid(), word)).start()
        with pytest.raises(ShipwayError, match="install could not be run"):
            shop.script(f"setsid sleep {word} & sleep {word}")
        assert until(lambda: not running(word))

    lonely(body)


def kill_keeper(parent: int, word: str) -> None:
    until(lambda: len(running(f"sleep {word}")) >= 2)
    for pid in children_of()[parent]:
        if "fs.keeper" in command_of(pid):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("how", ["apart", "together"])
def test_a_killed_command_is_a_failure_that_names_the_signal(place: Path, how: str) -> None:
    from tests.build.building import workshop

    shop = workshop(place / "shop", apart=how == "apart")
    failure = failed(shop.script("echo dying; kill -9 $$"))
    assert (failure.phase, failure.status, failure.last) == ("install", -signal.SIGKILL, ("dying",))
    assert "was killed by SIGKILL" in failure.message
    assert "as of SIGSEGV" in failed(shop.script("sh -c 'kill -SEGV $$'; exit $?")).message


def test_an_unknown_command_is_named(crew: Crew) -> None:
    def body(shop: Workshop) -> None:
        failure = failed(shop.build("[build]\nsystem = 'autotools'\n"))
        assert failure.status == 127
        assert failure.phase == "configure"
        assert failure.last == ("./configure: not found",)

    crew(body)


# -- noise ------------------------------------------------------------------------------------------------------------


def test_a_hundred_megabytes_do_not_fill_the_disk(shop: Workshop) -> None:
    failure = failed(
        shop.script("echo first; yes 'noise that nobody reads' | head -c 100000000; echo; echo last; exit 3")
    )
    assert failure.status == 3
    assert failure.last[-1] == "last"
    size = os.path.getsize(shop.logs / "thing-1.2.log")
    assert size < LIMIT + 1_000_000
    text = shop.log
    assert " | first\n" in text and " | last\n" in text
    assert "left out " in text


def test_what_is_no_text_can_be_read_in_the_log(crew: Crew) -> None:
    def body(shop: Workshop) -> None:
        built(
            shop.script(
                "head -c 300000 /dev/urandom; echo; printf 'a\\0b\\033[31mred\\033[0m\\377\\n'; printf '1%%\\r2%%\\r\\n'"
            )
        )
        assert shop.said[-2:] == ["a\\x00bred\\xff", "2%"]
        text = (shop.logs / "thing-1.2.log").read_bytes()
        text.decode("utf-8")
        assert not set(text) & {*range(9), *range(11, 32), 127}

    crew(body)


def test_a_line_without_an_end_is_broken(shop: Workshop) -> None:
    built(shop.script("head -c 3000000 /dev/zero | tr '\\0' x; printf end"))
    assert "".join(shop.said) == "x" * 3_000_000 + "end"
    assert max(map(len, shop.said)) <= 8192


def test_no_tool_can_speak_for_shipway(shop: Workshop) -> None:
    built(shop.script("echo '== built'; echo 'Successfully installed thing-1.2'"))
    assert [line for line in shop.log.splitlines() if "built" in line or "installed" in line][-3:] == [
        line for line in shop.log.splitlines() if line.endswith(("| == built", "thing-1.2")) or line == "== built"
    ]
    assert shop.log.count("\n== built\n") == 1


def test_a_full_disk_ends_the_log_not_the_build(shop: Workshop) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount")
    shop.logs.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", shop.logs], check=True)
    try:
        built(shop.script("yes | head -c 1000000; echo x > $PREFIX/lib/x"))
        assert any("No space left" in event.text for event in shop.events if event.kind == "note")
    finally:
        subprocess.run(["umount", shop.logs], check=True)


# -- the prefix -------------------------------------------------------------------------------------------------------


def test_what_ignores_destdir_is_caught(lonely: Crew) -> None:
    def body(shop: Workshop) -> None:
        before = with_dependency(shop)
        text = 'mkdir -p "$PREFIX/share/thing"; echo 1 > "$PREFIX/share/thing/a"; ln -s a "$PREFIX/share/thing/b"'
        result = built(shop.script(text, more="[build]\ndestdir = false\n"))
        assert tree(result.staged.tree) == {"share/thing/a": "1\n", "share/thing/b": "-> a"}
        assert result.staged.written.added == ("share/thing/a", "share/thing/b")
        assert live_files(shop) == before

    lonely(body)


def test_what_heeds_it_half_is_joined(lonely: Crew) -> None:
    def body(shop: Workshop) -> None:
        text = 'mkdir -p "$DESTDIR$PREFIX/bin"; echo 1 > "$DESTDIR$PREFIX/bin/a"; echo 2 > "$PREFIX/lib/b"'
        assert tree(built(shop.script(text)).staged.tree) == {"bin/a": "1\n", "lib/b": "2\n"}
        assert live_files(shop) == {}

    lonely(body)


def test_what_is_deleted_or_changed_is_told_and_still_there(lonely: Crew) -> None:
    def body(shop: Workshop) -> None:
        before = with_dependency(shop)
        (shop.prefix / "share/doc").mkdir(parents=True)
        (shop.prefix / "share/doc/a").write_text("a")
        (shop.prefix / "share/doc/b").write_text("b")
        written = built(
            shop.script('rm "$PREFIX/include/add.h"; echo worse > "$PREFIX/lib/libadd.so"; rm -r "$PREFIX/share/doc"')
        ).staged.written
        assert written.deleted == ("include/add.h", "share/doc/a", "share/doc/b")
        assert written.changed == ("lib/libadd.so",)
        assert live_files(shop) == {**before, "share/doc/a": "a", "share/doc/b": "b"}

    lonely(body)


def test_a_directory_that_is_replaced_counts_as_deleted(lonely: Crew) -> None:
    def body(shop: Workshop) -> None:
        for name in ("etc/thing/a", "etc/thing/deep/b", "etc/file"):
            (shop.prefix / name).parent.mkdir(parents=True, exist_ok=True)
            (shop.prefix / name).write_text(name)
        text = 'cd "$PREFIX/etc"; rm -r thing; mkdir thing; echo new > thing/c; echo again > thing/a; rm file; mkdir file; echo > file/x'
        result = built(shop.script(text)).staged
        assert result.written.deleted == ("etc/file", "etc/thing/deep/b")
        assert result.written.changed == ("etc/thing/a",)
        assert result.written.added == ("etc/file/x", "etc/thing/c")
        assert set(tree(result.tree)) == {"etc/file/x", "etc/thing/a", "etc/thing/c"}

    lonely(body)


def test_every_phase_sees_what_the_ones_before_wrote(lonely: Crew) -> None:
    def body(shop: Workshop) -> None:
        phases = "[phases]\nbuild = 'echo 1 > $PREFIX/lib/a'\ncheck = '''\ncat $PREFIX/lib/a\necho 2 >> $PREFIX/lib/a\necho > $PREFIX/lib/c\n'''\ninstall = 'cat $PREFIX/lib/a; test ! -e $PREFIX/lib/c; rm $PREFIX/lib/a; echo 3 > $PREFIX/lib/b'\n"
        result = built(shop.build(phases))
        assert shop.said == ["1", "1"]
        assert tree(result.staged.tree) == {"lib/b": "3\n"}

    lonely(body)


SHARED = """
mkdir -p "$PREFIX/new"; echo 1 > "$PREFIX/new/a"; echo 2 > "$PREFIX/lib/deep/b"; echo 3 > "$PREFIX/top"
rm "$PREFIX/include/add.h"; rm -f "$PREFIX/lib/libadd.so"; echo better > "$PREFIX/lib/libadd.so"
"""


@pytest.mark.parametrize("mode", [0o755, 0o2775])
def test_a_prefix_of_others_can_be_built_for(place: Path, mode: int) -> None:
    crew = crew_of(place, "apart as nobody")

    def body(shop: Workshop) -> None:
        result = built(shop.run(shop.request(f"[phases]\ninstall = '''{SHARED}'''\n")._replace(logs=f"{place}/logs")))
        assert tree(result.staged.tree) == {
            "new/a": "1\n",
            "lib/deep/b": "2\n",
            "top": "3\n",
            "lib/libadd.so": "better\n",
        }
        assert result.staged.written.deleted == ("include/add.h",)
        FileSystem().remove_tree(str(shop.place))
        assert live_files(shop) == {"include/add.h": HEADER, "lib/libadd.so": "library"}

    def prepared(shop: Workshop) -> None:
        shop.prefix = other
        shop.isolation = probe(str(other), str(shop.place), FileSystem())
        body(shop)

    other = place / "other"
    (other / "lib/deep").mkdir(parents=True)
    (other / "include").mkdir()
    with_dependency(Workshop(other, place))
    for path in (other, *other.rglob("*")):
        path.chmod(mode if path.is_dir() else 0o644)
    crew(prepared)


def test_a_build_directory_can_be_removed(crew: Crew) -> None:
    def body(shop: Workshop) -> None:
        built(
            shop.script(
                'mkdir "$TMPDIR/closed"; touch "$TMPDIR/closed/x"; chmod 0 "$TMPDIR/closed"; rm -r "$PREFIX/lib"'
            )
        )
        FileSystem().remove_tree(str(shop.place))
        assert not shop.place.exists()

    crew(body)


def test_a_symlink_into_the_stage_leads_to_the_prefix(shop: Workshop) -> None:
    text = 'mkdir -p "$DESTDIR$PREFIX/bin"; cd "$DESTDIR$PREFIX/bin"; echo > a; ln -s "$PWD/a" b; ln -s a c'
    assert tree(built(shop.script(text)).staged.tree) == {
        "bin/a": "\n",
        "bin/b": f"-> {shop.prefix}/bin/a",
        "bin/c": "-> a",
    }


def test_bytecode_of_others_is_nobodys_business(lonely: Crew) -> None:
    def body(shop: Workshop) -> None:
        (shop.prefix / "lib/module.py").write_text("x = 1\n")
        text = "unset PYTHONDONTWRITEBYTECODE; cd $PREFIX/lib; /usr/bin/python3 -c 'import module'; test -d __pycache__"
        result = built(shop.script(text))
        assert not any(result.staged.written)
        assert live_files(shop) == {"lib/module.py": "x = 1\n"}

    lonely(body)


def test_nothing_can_be_written_elsewhere(lonely: Crew) -> None:
    def body(shop: Workshop) -> None:
        home = os.path.expanduser("~nobody" if os.geteuid() else "~root")
        for path in ("/etc/shipway-was-here", "/usr/shipway-was-here", f"{home}/shipway-was-here"):
            failure = failed(shop.script(f"echo > {path}"))
            assert failure.status != 0
            assert not os.path.exists(path)
        built(
            shop.script(
                'echo > "$HOME/x"; echo > "$TMPDIR/x"; echo > /dev/null; echo > /dev/shm/shipway-$$; rm /dev/shm/shipway-$$'
            )
        )

    lonely(body)


def test_a_directory_can_be_left_writable(lonely: Crew) -> None:
    def body(shop: Workshop) -> None:
        cache = shop.place.parent.parent / "cache"
        cache.mkdir()
        recipe = f"[phases]\ninstall = 'echo hit > {cache}/x'\n"
        built(shop.build(recipe, writable=(str(cache),)))
        assert tree(cache) == {"x": "hit\n"}

    lonely(body)


NETWORK = """
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname()).close()
print(sorted(name for _, name in socket.if_nameindex()) == ["lo"])
"""


def test_there_is_no_network_but_the_loop_unless_it_is_asked_for(lonely: Crew) -> None:
    def body(shop: Workshop) -> None:
        install = "[phases]\ninstall = '$PYTHON network.py; ls -l /proc/self/ns/net'\n"
        built(shop.build(install, {"network.py": NETWORK}))
        assert shop.said[0] == "True"
        ours = os.readlink("/proc/self/ns/net")
        assert ours not in shop.said[1]
        built(shop.build("network = true\n" + install, {"network.py": NETWORK}))
        assert ours in shop.said[1]

    lonely(body)


def test_a_stage_is_told_what_lies_outside_of_the_prefix(crew: Crew) -> None:
    def body(shop: Workshop) -> None:
        text = 'mkdir -p "$DESTDIR/usr/share" "$DESTDIR$PREFIX/bin" "$DESTDIR$PREFIX/../x"; echo > "$DESTDIR/usr/share/a"; echo > "$DESTDIR$PREFIX/bin/b"'
        result = built(shop.script(text)).staged
        assert result.outside == ("/usr", f"{shop.prefix.parent}/x")
        assert set(tree(result.tree)) == {"bin/b"}

    crew(body)

"""What tools write on two streams comes out in the order in which they wrote it."""

from __future__ import annotations

import pytest

from tests.build.building import Workshop, built
from tests.build.conftest import Crew

ALTERNATING = """
#include <stdio.h>
int main(void) {
    for (int i = 0; i < 200; i++) {
        printf("out %d\\n", i);
        fprintf(stderr, "err %d\\n", i);
    }
    return 0;
}
"""
PYTHON = """
import sys
for i in range(200):
    print("out", i)
    print("err", i, file=sys.stderr)
"""
IN_TRUE_ORDER = [f"{stream} {i}" for i in range(200) for stream in ("out", "err")]
MAKEFILE = "all: alternate\n\t@./alternate\n\nalternate: alternate.c\n\t@$(CC) -o $@ alternate.c\n"

WAYS = {
    "by itself": "$CC -o alternate alternate.c\n./alternate",
    "by make": "make",
    "by make with several jobs": "make -j4 --output-sync=none",
    "by make in make": "printf 'all:\\n\\t@$(MAKE) -s -f Makefile all\\n' > outer; make -s -f outer",
    "by a pipe's shell": "$CC -o alternate alternate.c\n(./alternate)",
    "in Python": "$PYTHON alternate.py",
    "in Python that unsets what we set": "unset PYTHONUNBUFFERED; $PYTHON alternate.py",
    "by Python": "$CC -o alternate alternate.c\n$PYTHON -c 'import subprocess; subprocess.call(\"./alternate\")'",
}


def alternating(shop: Workshop, way: str) -> list[str]:
    files = {"alternate.c": ALTERNATING, "alternate.py": PYTHON, "Makefile": MAKEFILE}
    recipe = f"[phases]\nbuild = '''\n{WAYS[way]}\n'''\ninstall = ''\n"
    built(shop.build(recipe, files))
    return shop.said


@pytest.mark.parametrize("way", WAYS)
def test_two_streams_are_in_true_order(shop: Workshop, way: str) -> None:
    assert alternating(shop, way) == IN_TRUE_ORDER


def test_so_they_are_for_everybody(crew: Crew) -> None:
    def body(shop: Workshop) -> None:
        assert alternating(shop, "by itself") == IN_TRUE_ORDER

    crew(body)


def test_one_pipe_would_not_do(tmp_path_factory: pytest.TempPathFactory) -> None:
    import subprocess

    place = tmp_path_factory.mktemp("pipe")
    (place / "alternate.c").write_text(ALTERNATING)
    subprocess.run(["gcc", "-o", "alternate", "alternate.c"], cwd=place, check=True)
    piped = subprocess.run([place / "alternate"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert piped.stdout.splitlines() != IN_TRUE_ORDER


def test_each_line_has_its_time_and_phase(shop: Workshop) -> None:
    from shipway.build.log import read

    built(shop.build("[phases]\nconfigure = 'echo a; sleep 0.3; echo b'\nbuild = 'echo c'\ninstall = ''\n"))
    lines = [line for line in read(shop.log.splitlines()) if not line.ours]
    assert [(line.phase, line.text) for line in lines] == [("configure", "a"), ("configure", "b"), ("build", "c")]
    assert lines[1].seconds - lines[0].seconds >= 0.3
    assert lines[2].seconds >= lines[1].seconds

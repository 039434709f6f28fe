"""A real server on the loopback that misbehaves on demand, and recipes that fetch from it."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

from shipway.build.recipe_file import Found, load

DATA = bytes(range(256)) * 2000
SHA = hashlib.sha256(DATA).hexdigest()

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers by the first part of the path; `answers` is what each does."""

    protocol_version = "HTTP/1.1"
    answers: ClassVar[Mapping[str, Answer]]
    asked: ClassVar[list[tuple[str, str]]]
    over: ClassVar[threading.Event]

    def do_GET(self) -> None:
        type(self).asked.append((self.path, self.headers.get("Range", "")))
        self.close_connection = True
        with suppress(BrokenPipeError, ConnectionResetError):
            self.answers[self.path.split("/")[1]](self)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        pass

    @property
    def start(self) -> int:
        return int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))

    def head(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def give(self, data: bytes, pause: float = 0, size: int = 1 << 16) -> None:
        for place in range(0, len(data), size):
            self.wfile.write(data[place : place + size])
            if pause and self.over.wait(pause):
                return


def good(handler: Handler) -> None:
    """The file, in parts if asked for."""
    start = handler.start
    if start >= len(DATA):
        handler.head(416, Content_Range=f"bytes */{len(DATA)}", Content_Length=0)
    elif start:
        handler.head(206, Content_Range=f"bytes {start}-{len(DATA) - 1}/{len(DATA)}", Content_Length=len(DATA) - start)
        handler.give(DATA[start:])
    else:
        whole(handler)


def whole(handler: Handler) -> None:
    """The file, whatever part is asked for."""
    handler.head(200, Content_Length=len(DATA))
    handler.give(DATA)


def of_no_known_length(handler: Handler) -> None:
    handler.head(200)
    handler.give(DATA)


def in_chunks(handler: Handler) -> None:
    handler.head(200, Transfer_Encoding="chunked")
    for place in range(0, len(DATA), 10_000):
        part = DATA[place : place + 10_000]
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
    handler.wfile.write(b"0\r\n\r\n")


def chunks_that_end(handler: Handler) -> None:
    handler.head(200, Transfer_Encoding="chunked")
    handler.wfile.write(b"ffff\r\n" + DATA[:100])


def stalls_at_once(handler: Handler) -> None:
    handler.over.wait(60)


def stalls_in_the_middle(handler: Handler) -> None:
    handler.head(200, Content_Length=len(DATA))
    handler.give(DATA[:100_000])
    handler.wfile.flush()
    handler.over.wait(60)


def drips(handler: Handler) -> None:
    handler.head(200, Content_Length=len(DATA))
    handler.give(DATA, pause=0.05, size=1)


def drips_its_head(handler: Handler) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 10_000:
        handler.wfile.write(bytes([byte]))
        if handler.over.wait(0.05):
            return


def truncates(handler: Handler) -> None:
    """Always at the same place, and without ranges."""
    handler.head(200, Content_Length=len(DATA))
    handler.give(DATA[:100_000])


def breaks_off_now_and_then(handler: Handler) -> None:
    """After 100,000 bytes each time; goes on where it is asked to."""
    start = handler.start
    handler.head(206 if start else 200, Content_Range=f"bytes {start}-/*", Content_Length=len(DATA) - start)
    handler.give(DATA[start : start + 100_000])


def claims_too_little(handler: Handler) -> None:
    handler.head(200, Content_Length=len(DATA) // 2)
    handler.give(DATA)


def claims_too_much(handler: Handler) -> None:
    handler.head(200, Content_Length=len(DATA) * 2)
    handler.give(DATA)


def lies(handler: Handler) -> None:
    handler.head(200, Content_Length=len(DATA))
    handler.give(DATA[::-1])


def resumes_elsewhere(handler: Handler) -> None:
    start = handler.start
    if not start:
        whole(handler)
        return
    handler.head(206, Content_Range=f"bytes 0-{len(DATA) - 1}/{len(DATA)}", Content_Length=len(DATA))
    handler.give(DATA)


def lies_when_resumed(handler: Handler) -> None:
    start = handler.start
    if not start:
        whole(handler)
        return
    handler.head(206, Content_Range=f"bytes {start}-{len(DATA) - 1}/{len(DATA)}", Content_Length=len(DATA) - start)
    handler.give(b"?" * (len(DATA) - start))


def welcomes(handler: Handler) -> None:
    page = b"<!DOCTYPE html><html>Welcome to our network</html>"
    handler.head(200, Content_Length=len(page), Content_Type="text/html")
    handler.give(page)


def redirects_for_ever(handler: Handler) -> None:
    number = int(handler.path.rpartition("/")[2] or 0) if handler.path.rpartition("/")[2].isdigit() else 0
    handler.head(302, Location=f"/loop/{number + 1}", Content_Length=0)


def redirects_to_itself(handler: Handler) -> None:
    handler.head(301, Location=handler.path, Content_Length=0)


def redirects_to_a_file(handler: Handler) -> None:
    handler.head(302, Location="file:///etc/passwd", Content_Length=0)


def redirects(handler: Handler) -> None:
    handler.head(302, Location=handler.path.replace("/moved/", "/good/"), Content_Length=0)


def is_busy(handler: Handler) -> None:
    handler.head(503, Content_Length=0)


def is_gone(handler: Handler) -> None:
    handler.head(404, Content_Length=0)


def is_slow(handler: Handler) -> None:
    """Two seconds for all of it, in parts if asked for."""
    start = handler.start
    handler.head(206 if start else 200, Content_Range=f"bytes {start}-/*", Content_Length=len(DATA) - start)
    handler.give(DATA[start:], pause=0.04, size=len(DATA) // 50)


def is_no_server(handler: Handler) -> None:
    handler.wfile.write(b"SSH-2.0-hello\r\n")


ANSWERS: Mapping[str, Answer] = {
    "good": good,
    "whole": whole,
    "unknown": of_no_known_length,
    "chunks": in_chunks,
    "cutchunks": chunks_that_end,
    "stall": stalls_at_once,
    "middle": stalls_in_the_middle,
    "drip": drips,
    "driphead": drips_its_head,
    "truncate": truncates,
    "breaks": breaks_off_now_and_then,
    "less": claims_too_little,
    "more": claims_too_much,
    "lie": lies,
    "elsewhere": resumes_elsewhere,
    "lieresumed": lies_when_resumed,
    "welcome": welcomes,
    "loop": redirects_for_ever,
    "itself": redirects_to_itself,
    "tofile": redirects_to_a_file,
    "moved": redirects,
    "busy": is_busy,
    "gone": is_gone,
    "slow": is_slow,
    "ssh": is_no_server,
}


class Mirror:
    """The running server."""

    def __init__(self, base: str, asked: list[tuple[str, str]]) -> None:
        self.base = base
        self.asked = asked

    def url(self, way: str, name: str = "p-1.tar.gz") -> str:
        return f"{self.base}/{way}/{name}"


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@contextmanager
def serving(more: Mapping[str, Answer] = {}) -> Iterator[Mirror]:
    """A server for the length of a `with` block; `more` answers than ANSWERS."""

    class Answering(Handler):
        answers = {**ANSWERS, **more}
        asked: ClassVar[list[tuple[str, str]]] = []
        over = threading.Event()

    server = _Quiet(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield Mirror(f"http://127.0.0.1:{server.server_address[1]}", Answering.asked)
    finally:
        Answering.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
        time.sleep(0.05)


def recipe(place: Path, text: str, name: str = "p", version: str = "1") -> Found:
    """A recipe of a few lines, written and read."""
    (place / name).mkdir(parents=True, exist_ok=True)
    whole = f'name = "{name}"\nversion = "{version}"\n{text}\n[phases]\ninstall = "true"\n'
    (place / name / "recipe.toml").write_text(whole)
    return load(str(place / name))


def of_urls(place: Path, *urls: str, sha: str = SHA, name: str = "p") -> Found:
    """A recipe with one source, to be had at these addresses."""
    listed = ", ".join(f'"{url}"' for url in urls)
    return recipe(place, f'[[source]]\nurl = [{listed}]\nsha256 = "{sha}"\n', name)

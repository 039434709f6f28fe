"""One address into one file: resumed where it was left, given up when nothing comes.

What is wrong with a server is told by raising PlaceError.  The file keeps what has come, and the next address, or the next
process, goes on from there; whether it is what was wanted only its digest says, and that is somebody else's business.
"""

from __future__ import annotations

import errno
import http.client
import re
import socket
import ssl
import time
import urllib.error
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from shipway.build.places import PlaceError, Watch, shown
from shipway.build.web import Access, opened
from shipway.fs.partial import PartialFile
from shipway.model.event import Event

_CHUNK = 1 << 18
_PAUSE = 1.0
_OFTEN = 0.1
_PROGRESS = 1 << 16
"""Bytes that have to come before a connection breaks again, for it not to count as broken twice."""
_SLOWEST = 512
"""Bytes a second: a server that gives fewer stands still."""
_LARGEST = 64 << 30
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_RANGE = re.compile(r"bytes (\d+)-")
_WHOLE = re.compile(r"bytes \*/(\d+)\Z")
_SILENT = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT, errno.EADDRNOTAVAIL)
_OURS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG, errno.EACCES)


class SilentError(PlaceError):
    """Nobody answers at this host: there is no use in asking it for something else."""


class DumbError(PlaceError):
    """A host takes calls and says nothing to one of them."""


class _CutError(Exception):
    """The connection ended, or stood still, before all had come."""


def download(url: str, file: PartialFile, access: Access, watch: Watch, headers: Mapping[str, str] = {}) -> str:
    """Add to the file what is missing.  Returns what the server says that it is (its Content-Type).

    Raises PlaceError (SilentError), StoppedError, and OSError for our own disk's faults.
    """
    tries = 0
    while True:
        before = file.size
        watch.check()
        try:
            return _go_on(url, file, access, watch, headers)
        except _CutError as error:
            tries = 0 if file.size >= before + _PROGRESS else tries + 1
            if tries >= _useful_tries(error):
                raise _given_up(url, error, started=file.size > 0) from error
            watch.stop.wait(min(_PAUSE, watch.timeout / 10))


def _given_up(url: str, error: _CutError, *, started: bool) -> PlaceError:
    dumb = isinstance(error.__cause__, TimeoutError) and not started
    return (DumbError if dumb else PlaceError)(f"{shown(url)}: {error}")


def _useful_tries(error: _CutError) -> int:
    """Whoever stood still once, with nothing to show for it, is not asked again."""
    return 1 if isinstance(error.__cause__, TimeoutError) else 2


def _go_on(url: str, file: PartialFile, access: Access, watch: Watch, headers: Mapping[str, str]) -> str:
    start = file.size
    resuming = {"Range": f"bytes={start}-"} if start else {}
    try:
        with opened(url, access, {**headers, **resuming}) as answer:
            total = _begin(answer, file, start)
            watch.tell(Event("fetching", shown(url), {"file": _name(file), "bytes": file.size, "total": total}))
            _read(answer, file, total, watch)
            return str(answer.headers.get("Content-Type", ""))
    except urllib.error.HTTPError as error:
        with error:
            return _refused(url, error, file)
    except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
        raise _CutError(_words(error)) from error
    except urllib.error.URLError as error:
        raise _unreachable(url, error) from error
    except ValueError as error:
        raise PlaceError(f"{shown(url)}: {error}") from error


def _begin(answer: Any, file: PartialFile, start: int) -> int | None:
    """Have the file end where the answer begins.  Returns how long it will be, None if that is not known."""
    length = answer.headers.get("Content-Length", "")
    told = int(length) if length.isdecimal() else None
    if start and answer.status == 206:
        found = _RANGE.match(answer.headers.get("Content-Range", ""))
        if found and int(found[1]) == start:
            return start + told if told is not None else None
        file.restart()
        raise _CutError("it resumes at another place than it was asked for")
    if start:
        file.restart()
    return told


def _read(answer: Any, file: PartialFile, total: int | None, watch: Watch) -> None:
    """Raises _CutError if not all comes, or hardly anything for a while."""
    name = _name(file)
    since = told = time.monotonic()
    counted = file.size
    while data := answer.read1(_CHUNK):
        file.write(data)
        now = time.monotonic()
        if now - told >= _OFTEN:
            watch.progress(name, file.size, total)
            told = now
        if now - since >= watch.timeout:
            _insist_on_speed(file.size - counted, now - since)
            since, counted = now, file.size
        if file.size > _LARGEST:
            raise ValueError(f"it sends more than {_LARGEST} bytes")
    watch.progress(name, file.size, total)
    if total is not None and file.size < total:
        raise _CutError(f"the connection ended after {file.size} of {total} bytes")


def _name(file: PartialFile) -> str:
    return file.path.rpartition("/")[2].removesuffix(".part")


def _insist_on_speed(count: int, seconds: float) -> None:
    if count < _SLOWEST * seconds:
        raise _CutError(f"it sent {count} bytes in {seconds:.0f} s") from TimeoutError()


def _refused(url: str, error: urllib.error.HTTPError, file: PartialFile) -> str:
    """Return if there is nothing left to send; else raise what the code means."""
    if error.code == 416 and file.size:
        found = _WHOLE.match(error.headers.get("Content-Range", ""))
        if found and int(found[1]) == file.size:
            return ""
        file.restart()
        raise _CutError("it has less than what had come before") from error
    if error.code in _BUSY:
        raise _CutError(f"{error.code} {error.reason}") from error
    raise PlaceError(f"{shown(url)}: {_of_code(error)}") from error


def _of_code(error: urllib.error.HTTPError) -> str:
    """What a code means; the library's own words for a redirection that it does not follow are several lines."""
    if 300 <= error.code < 400:
        return "redirects for ever" if "infinite loop" in str(error.reason) else "redirects to where nobody can follow"
    return f"{error.code} {error.reason}"


def _unreachable(url: str, error: urllib.error.URLError) -> Exception:
    """The cause may be our own: a full disk is no reason to try another mirror."""
    reason = error.reason
    if isinstance(reason, OSError) and reason.errno in _OURS and not url.startswith("file:"):
        return reason
    silent = isinstance(reason, socket.gaierror | TimeoutError) or getattr(reason, "errno", 0) in _SILENT
    text = f"{shown(url)}: {_words(reason)}"
    return SilentError(text) if silent else PlaceError(text)


def _words(reason: object) -> str:
    if isinstance(reason, TimeoutError):
        return "it does not answer"
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"its certificate is not to be trusted: {reason.verify_message}"
    if isinstance(reason, http.client.IncompleteRead):
        return "the connection ended before all had come"
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__


def host_of(url: str) -> str:
    """Whom a call goes to."""
    return urlsplit(url).netloc.rpartition("@")[2]

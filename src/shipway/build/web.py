"""HTTP as we want it of mirrors that may stall, drip, lie, or redirect for ever: nothing takes longer than was agreed."""

from __future__ import annotations

import base64
import contextlib
import http.client
import netrc
import socket
import ssl
import threading
import urllib.request
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from shipway import __version__

CONNECT = 10.0
"""Seconds for one address to answer a call."""

AGENT = f"shipway/{__version__}"
SCHEMES = ("http", "https", "file")


class Access(NamedTuple):
    """How servers are reached: `timeout` in seconds; `proxy` for all addresses, `certificates` (a file) instead of the system's.

    Without `proxy` it is that of the environment.
    """

    timeout: float
    proxy: str = ""
    certificates: str = ""


class _Prompt(http.client.HTTPConnection):
    """A connection with little patience for being made, and for the head of an answer."""

    def connect(self) -> None:
        patience = self.timeout
        self.timeout = min(patience, CONNECT) if patience else CONNECT
        try:
            super().connect()
        finally:
            self.timeout = patience
        self.sock.settimeout(patience)

    def getresponse(self) -> http.client.HTTPResponse:
        """The head of the answer, within the time that otherwise a single byte may take."""
        late = threading.Event()
        timer = threading.Timer(self.timeout or CONNECT, _hang_up, (self.sock, late))
        timer.daemon = True
        timer.start()
        try:
            answer = super().getresponse()
        except (OSError, http.client.HTTPException) as error:
            if late.is_set():
                raise TimeoutError("timed out") from error
            raise
        finally:
            timer.cancel()
        if late.is_set():
            answer.close()
            raise TimeoutError("timed out")
        return answer


def _hang_up(connection: socket.socket, late: threading.Event) -> None:
    late.set()
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _PromptSecure(_Prompt, http.client.HTTPSConnection):
    """The same over TLS."""


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Prompt, req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self._ours = context

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_PromptSecure, req, context=self._ours)


def opened(url: str, access: Access, headers: Mapping[str, str]) -> Any:
    """The answer of a server, its head read.  Raises OSError (URLError, HTTPError, TimeoutError), HTTPException or ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise ValueError(f"addresses of {parts.scheme or 'no'} scheme are not understood")
    host = parts.netloc.rpartition("@")[2]
    request = urllib.request.Request(
        parts._replace(netloc=host, fragment="").geturl(),
        headers={"User-Agent": AGENT, "Accept-Encoding": "identity", **headers},
    )
    secret = _secret(parts.username, parts.password, parts.hostname)
    if secret and parts.scheme != "file":
        request.add_unredirected_header("Authorization", f"Basic {secret}")
    return _opener(access).open(request, timeout=access.timeout)


def _opener(access: Access) -> urllib.request.OpenerDirector:
    context = ssl.create_default_context(cafile=access.certificates or None)
    proxies = {"http": access.proxy, "https": access.proxy} if access.proxy else None
    return urllib.request.build_opener(urllib.request.ProxyHandler(proxies), _Http(), _Https(context))


def _secret(user: str | None, password: str | None, host: str | None) -> str:
    """What HTTP's basic authentication sends: of the address itself, else of ~/.netrc."""
    if user is None:
        with contextlib.suppress(OSError, netrc.NetrcParseError):
            if found := netrc.netrc().authenticators(host or ""):
                user, password = found[0], found[2]
    if not user:
        return ""
    return base64.b64encode(f"{unquote(user)}:{unquote(password or '')}".encode()).decode()

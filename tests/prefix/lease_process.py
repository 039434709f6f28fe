"""A process that takes a lease, or clears the way of a commit, and says what happens: one JSON line for each event.

Arguments: the directory, `lease` or `intent`, packages joined with commas, then perhaps `exclusive`, `wait=SECONDS`, `log=FILE`.
It ends when its stdin does.  In the log, one line for each beginning and end, in their true order.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys

from shipway.errors import LockedError
from shipway.fs.lock import Waiting
from shipway.prefix.leases import Intent, Lease, Options, clear_way, take


def say(event: str, **facts: object) -> None:
    os.write(1, json.dumps({"event": event, **facts}).encode() + b"\n")


def on_wait(waiting: Waiting) -> None:
    say("waiting", what=waiting.what, states=[h.state for h in waiting.holders], pids=[h.pid for h in waiting.holders])


def main() -> None:
    directory, kind, names, *rest = sys.argv[1:]
    options = dict(word.partition("=")[::2] for word in rest)
    packages = names.split(",") if names else []
    wait = float(options["wait"]) if "wait" in options else None
    try:
        held: Lease | Intent
        if kind == "lease":
            held = take(directory, packages, Options(f"cmd-{names}", wait=wait, on_wait=on_wait))
        else:
            held = clear_way(directory, packages, "exclusive" in options, wait=wait, on_wait=on_wait)
    except LockedError as error:
        say("refused", message=error.message, details=error.details, code=error.exit_code)
        return
    with held:
        log(options, "begin", kind, names, "exclusive" in options)
        say("through", token=held.token, environment=held.environment() if isinstance(held, Lease) else {})
        with contextlib.suppress(KeyboardInterrupt):
            sys.stdin.read()
        log(options, "end", kind, names, "exclusive" in options)


def log(options: dict[str, str], *words: object) -> None:
    if "log" in options:
        with open(options["log"], "ab", buffering=0) as file:
            file.write(" ".join(map(str, (os.getpid(), *words))).encode() + b"\n")


if __name__ == "__main__":
    main()

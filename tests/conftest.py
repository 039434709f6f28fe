"""What holds for every test."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Whoever runs the tests may ignore signals (nohup, a shell's background), which is inherited; the tests of signals heed them."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)

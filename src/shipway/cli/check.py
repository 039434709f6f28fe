"""`shipway check`."""

from __future__ import annotations

from typing import Unpack

import click

from shipway.cli.building import Asked, Building, run_of, with_building
from shipway.cli.call import Call
from shipway.cli.options import as_command, pass_call


@as_command("check")
@click.argument("names", metavar="NAME…", nargs=-1, required=True)
@with_building
@pass_call
def command(call: Call, names: tuple[str, ...], **wanted: Unpack[Building]) -> None:
    """Build packages and run their tests; nothing is installed.  What they and their tests need must be there."""
    from shipway.cli.build_report import Ear, deliver
    from shipway.schedule.order import Check, Checks, Order
    from shipway.schedule.run import Driver

    asked = Asked(call, wanted, names)
    order = Order(
        frozenset(asked.names),
        jobs=call.options().jobs,
        checks=Checks(of=dict.fromkeys(asked.names, Check.YES)),
        commit=False,
        keep_going=wanted["keep_going"],
        only_check=True,
    )
    with run_of(call, asked, order, tuple(asked.names)) as (job, prefix):
        deliver(call, Driver(job, prefix, Ear(call, len(job.files))).run())

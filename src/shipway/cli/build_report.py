"""What a run of builds tells: while it goes on, and at its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from shipway.cli.call import Call
from shipway.cli.text import plural, visible
from shipway.errors import FAILED, BuildError, ShipwayError
from shipway.model.event import Event

if TYPE_CHECKING:
    from shipway.build.failure import Failure
    from shipway.schedule.run import Result


class Ear:
    """Hears a run: on a terminal a line that moves says what is being built, elsewhere each beginning and end has a line."""

    def __init__(self, call: Call, total: int) -> None:
        self.call = call
        self.total = total
        self.done = 0
        self._now: dict[str, str] = {}

    def __call__(self, event: Event) -> None:
        """Hear one event."""
        package = str(event.data.get("package", ""))
        match event.kind:
            case "begin":
                self._now[package] = ""
                self._line(event.text)
            case "step":
                self._now[package] = str(event.data.get("phase", ""))
                self._line(event.text)
            case "output":
                if self.call.verbose:
                    self.call.console.shout(*(f"{package} | {visible(line)}" for line in event.text.split("\n")))
            case "done" | "failed":
                self._end(package, event)
            case _:
                self.call.ear(event)

    def _line(self, text: str) -> None:
        if not self._show() and not self.call.json:
            self.call.console.say(visible(text))

    def _end(self, package: str, event: Event) -> None:
        self._now.pop(package, None)
        self.done += 1
        result = event.data.get("result")
        if event.kind == "failed":
            self.call.console.say(visible(event.text))
        elif result is not None and not self.call.json:
            self.call.console.say(visible(sentence(self.call, result)))  # type: ignore[arg-type]
        elif event.text:
            self.call.console.say(visible(event.text))
        self._show()

    def _show(self) -> bool:
        now = ", ".join(f"{name} ({phase})" if phase else name for name, phase in self._now.items())
        return bool(now) and self.call.console.progress.show(visible(f"[{self.done}/{self.total}] building {now} …"))


def sentence(call: Call, result: Result) -> str:
    """What became of a package, for people."""
    from shipway.cli.report import footnote
    from shipway.cli.text import seconds

    made = "made in a run before" if result.again else f"built in {seconds(result.seconds)}"
    if result.outcome is None:
        return f"{result.name} {result.version} is {made}"
    before = f" instead of {result.old}" if result.old and result.old != result.version else ""
    if not result.outcome.number:
        return f"{result.name} {result.version} is in {call.root} already, the same; {made}"
    return f"{result.name} {result.version} is in {call.root}{before} {footnote(result.outcome, made)}"


def deliver(call: Call, results: Sequence[Result]) -> None:
    """The end of a run: a summary, or all as JSON.  Raises BuildError, or what else kept a package from coming."""
    failed = [result for result in results if result.deed == "failed"]
    for result in results:
        call.console.warn(*(f"{line}; {result.log} says more" for line in result.warnings))
    if call.json:
        call.console.document({"packages": [document(result) for result in results], "ok": not failed})
    elif not call.quiet and not failed:
        call.console.answer(_summary(call, results))
    if failed:
        raise _error(call, failed, results)


def document(result: Result) -> dict[str, object]:
    """One package as JSON."""
    about: dict[str, object] = {
        "name": result.name,
        "old": result.old or None,
        "version": result.version,
        "deed": result.deed,
        "reasons": list(result.reasons),
        "seconds": round(result.seconds, 3),
        "log": result.log or None,
        "transaction": result.outcome.number if result.outcome else None,
        "exclusive": list(result.exclusive),
        "warnings": list(result.warnings),
    }
    if result.failure:
        about |= {"failure": {**result.failure._asdict(), "last": list(result.failure.last)}}
    elif result.error:
        about |= {"error": result.error.message if isinstance(result.error, ShipwayError) else str(result.error)}
    return about


def _summary(call: Call, results: Sequence[Result]) -> str:
    counts = {deed: sum(result.deed == deed for result in results) for deed in ("committed", "built", "kept")}
    if not counts["committed"] and not counts["built"]:
        return f"all is in {call.root} already; there was nothing to do"
    done = f"{plural(counts['committed'], 'package')} built and in {call.root}"
    if counts["built"]:
        done = f"{plural(counts['built'], 'package')} built"
    return f"{done}; {counts['kept']} there already" if counts["kept"] else done


def _error(call: Call, failed: Sequence[Result], results: Sequence[Result]) -> ShipwayError:
    """One error for all: its exit code is that of the first that was not a build's, if there is only one."""
    lines = [line for result in failed for line in _told(result)]
    left = [f"{r.name} was left out: {r.reasons[0]}" for r in results if r.deed == "left out"]
    done = [result.name for result in results if result.deed == "committed"]
    kept = f"; {', '.join(done)} {'is' if len(done) == 1 else 'are'} in {call.root}" if done else ""
    only = failed[0].error if len(failed) == 1 else None
    if isinstance(only, ShipwayError) and only.exit_code != FAILED:
        only.details = (*only.details, *left)
        return only
    hint = failed[0].failure.next_steps[1] if failed[0].failure else _hint(failed[0])
    return BuildError(f"{_what_failed(call, failed)}{kept}", details=[*lines, *left], hint=hint)


def _what_failed(call: Call, failed: Sequence[Result]) -> str:
    """Those that could not be built, and those that are in the prefix and did not pass what came after."""
    out = [result.name for result in failed if not result.outcome]
    said = [f"{', '.join(out)} could not be built"] if out else []
    for result in failed:
        if result.outcome:
            number = result.outcome.number
            back = f" (`shipway undo {number}` takes it back)" if number else ""
            said.append(f"{result.name} is in {call.root}{back}, but what came after its commit failed")
    return "; ".join(said)


def _hint(result: Result) -> str:
    return result.error.hint if isinstance(result.error, ShipwayError) else ""


def _told(result: Result) -> Iterator[str]:
    if result.failure:
        yield from _of_phase(result.failure)
    elif isinstance(result.error, ShipwayError):
        yield result.error.message
        yield from (f"  {line}" for line in result.error.details)
    else:
        yield f"{result.name}: {result.error}"


def _of_phase(failure: Failure) -> Iterator[str]:
    yield failure.message
    yield from (f"  | {line}" for line in failure.last)
    yield from (f"  {line}" for line in failure.next_steps if not line.startswith(failure.shell))

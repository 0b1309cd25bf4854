"""What a probe shows: a picture that is drawn again on a terminal, lines into a pipe, JSON for scripts."""

import json
import sys
from collections.abc import Mapping
from time import monotonic
from types import TracebackType
from typing import Any, Final, Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from commonwatt.probe import Probe, Seen, Tally, kilowatt_hours, said
from meters.gateways.source import REASONS, Given

_REDRAW_S: Final = 0.25
_MOST_LINES: Final = 8

_SIGNS: Final = {
    "import_wh": "total drawn",
    "export_wh": "total fed in",
    "power_import_w": "drawn now",
    "power_export_w": "fed in now",
    "at": "when, in UTC",
    "epoch": "which meter",
    "kind": "what speaks",
    "": "left out",
}


class View(Protocol):
    """A way to show what a probe sees."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, and give the terminal back."""

    def show(self, seen: Seen, probe: Probe) -> None:
        """Show one thing that came."""

    def end(self, probe: Probe) -> None:
        """Show what came of all."""


def view_of(*, as_json: bool) -> View:
    """Return the view that fits where the output goes."""
    if as_json:
        return Records()
    return Picture(Console()) if sys.stdout.isatty() else Lines()


class Lines:
    """One line for each thing that came, and what is new about it below."""

    def __init__(self) -> None:
        self._shown: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, seen: Seen, probe: Probe) -> None:
        """Print it; the first reading of a source with all that it was made of."""
        when = f"{seen.at:%H:%M:%S}"
        if seen.given is None:
            _say(f"{when} lost: {seen.lost}")
            return
        if seen.given.refusal is not None:
            _say(f"{when} {seen.name} refused ({seen.given.refusal.reason}): {seen.given.refusal.detail}")
        elif seen.name not in self._shown and len(self._shown) < len(probe.tallies):
            self._shown.add(seen.name)
            for register in seen.given.registers:
                became = f"{register.becomes} {register.field}" if register.field else "-"
                _say(f"    {register.name:<12} {register.given:<36} {became} ({_SIGNS.get(register.field, '')})")
        if seen.given.reading is not None:
            _say(f"{when} {seen.name} {_in_a_line(seen.given)}")
        for sentence in seen.news:
            _say(f"    {'!' if sentence in seen.doubts else 'note:'} {sentence}")

    def end(self, probe: Probe) -> None:
        """Print what came of each source."""
        for line in summary(probe):
            _say(line)


class Records:
    """One JSON object a line: each thing that came, and at the end what came of all."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, seen: Seen, probe: Probe) -> None:
        """Print it."""
        record: dict[str, Any] = {"source": seen.name, "receivedAt": f"{seen.at.isoformat()}"}
        if seen.given is None:
            _say(json.dumps(record | {"lost": seen.lost}))
            return
        given = seen.given
        record["reading"] = json.loads(given.reading.to_bytes()) if given.reading is not None else None
        record["refusal"] = given.refusal._asdict() if given.refusal is not None else None
        record["registers"] = [register._asdict() for register in given.registers]
        record["hints"] = [*given.hints]
        record["doubts"] = [*seen.doubts]
        record["says"] = said(given.reading) if given.reading is not None else None
        _say(json.dumps(record))

    def end(self, probe: Probe) -> None:
        """Print what came of each source."""
        _say(json.dumps({"sound": probe.is_sound, "sources": {name: _counts(t) for name, t in probe.tallies.items()}}))


class Picture:
    """All sources at a glance, drawn again at most four times a second."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._drawn = 0.0

    def __enter__(self) -> Self:
        self._live.__enter__()
        self._live.update(Text("Waiting for what comes. Ctrl-C ends it.", "dim"), refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, seen: Seen, probe: Probe) -> None:
        """Draw all anew, unless that was done a moment ago."""
        if monotonic() - self._drawn >= _REDRAW_S:
            self._live.update(picture(probe.tallies), refresh=True)
            self._drawn = monotonic()

    def end(self, probe: Probe) -> None:
        """Leave the last picture and what came of each source."""
        self._live.update(Text(""), refresh=True)
        self._live.stop()
        self._console.print(picture(probe.tallies))
        for line in summary(probe):
            self._console.print(Text(printable(line)), soft_wrap=True)


def picture(tallies: Mapping[str, Tally]) -> RenderableType:
    """Return what all sources gave last, what it became, and what seems wrong."""
    return Group(*(_panel(name, tally) for name, tally in tallies.items()))


def _panel(name: str, tally: Tally) -> Panel:
    parts: list[RenderableType] = []
    given = tally.newest
    if tally.lost:
        parts.append(Text(printable(tally.lost), "bold red"))
    if given is None and not tally.lost:
        parts.append(Text("nothing came yet" if not tally.refusals else "no reading came yet", "yellow"))
    if given is not None and given.reading is not None:
        parts += [Text(said(given.reading), "bold"), _table(given)]
        parts.append(Text(printable(f"reading {tally.readings}: {_in_a_line(given)}")))
    if tally.refused is not None and tally.refused.refusal is not None:
        counted = ", ".join(f"{count} {reason}" for reason, count in tally.refusals.most_common())
        parts.append(Text(printable(f"refused: {counted}; last: {tally.refused.refusal.detail}"), "red"))
    parts += [
        Text(printable(f"! {text}{_times(n)}"), "bold yellow") for text, n in tally.doubts.counted()[-_MOST_LINES:]
    ]
    parts += [Text(printable(f"note: {text}"), "dim") for text, _ in tally.hints.counted()[-_MOST_LINES:]]
    sound = "green" if tally.is_sound else "yellow"
    return Panel(Group(*parts), title=Text(printable(name)), title_align="left", border_style=sound)


def _table(given: Given) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("the meter says", no_wrap=True)
    table.add_column("", overflow="fold")
    table.add_column("which becomes", no_wrap=True)
    table.add_column("")
    for register in given.registers:
        cells = register.name, register.given, register.becomes or "-", _SIGNS.get(register.field, register.field)
        table.add_row(*(Text(printable(cell)) for cell in cells), style="" if register.field else "dim")
    return table


def summary(probe: Probe) -> list[str]:
    """Return what came of each source, and whether anything seems wrong, in lines."""
    lines = []
    for name, tally in probe.tallies.items():
        lines.append(f"{name}: readings {tally.readings}, refused {tally.refusals.total()}, lost {tally.losses} times")
        lines += [
            f"    {count} refused ({reason}): {REASONS.get(reason, reason)}"
            for reason, count in tally.refusals.most_common()
        ]
        lines += [f"    ! {text}{_times(count)}" for text, count in tally.doubts.counted()]
    lines.append(
        "all is well" if probe.is_sound else "something is wrong, see above" if any_came(probe) else "no reading came"
    )
    return lines


def any_came(probe: Probe) -> bool:
    """Return whether at least one reading came."""
    return any(tally.readings for tally in probe.tallies.values())


def printable(text: str) -> str:
    """Return a text without characters that a terminal would obey: what a device sends is not trusted."""
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)


def _in_a_line(given: Given) -> str:
    reading = given.reading
    assert reading is not None
    return (
        f"{reading.at:%Y-%m-%dT%H:%M:%SZ} drawn {kilowatt_hours(reading.import_wh)}, "
        f"fed in {kilowatt_hours(reading.export_wh)}: {said(reading)}"
    )


def _counts(tally: Tally) -> dict[str, Any]:
    return {
        "readings": tally.readings,
        "refused": dict(tally.refusals),
        "lost": tally.losses,
        "hints": dict(tally.hints.counted()),
        "doubts": dict(tally.doubts.counted()),
        "sound": tally.is_sound,
    }


def _times(count: int) -> str:
    return f" ({count} times)" if count > 1 else ""


def _say(line: str) -> None:
    sys.stdout.write(printable(line) + "\n")
    sys.stdout.flush()

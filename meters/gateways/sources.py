"""Sources by their names: `p1:tcp:10.0.0.5:2001`, `sml:serial:/dev/ttyUSB0`, `p1:file:telegrams.txt`."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from meters.errors import OptionError
from meters.gateways.lines import SILENCE_S, Line, line
from meters.gateways.pieces import Pieces
from meters.gateways.source import MOST_RAW, Given, Refusal, RefusedError, Source, SourceLostError

EXPECTED: Final = "expected p1:serial:DEVICE, p1:tcp:HOST:PORT, p1:file:PATH, or the same with sml in place of p1"

_APART: Final = timedelta(milliseconds=1)
_STEP: Final = timedelta(seconds=1)


class LineSource:
    """A source that is one line to one meter."""

    def __init__(
        self,
        name: str,
        line: Line,
        pieces: Callable[[], Pieces],
        given: Callable[[bytes, datetime], Given],
        now: Callable[[], datetime],
        *,
        as_of_now: bool = False,
    ) -> None:
        """`as_of_now`: a file gives what has no time of its own, too."""
        self.name = name
        self.ends = line.ends
        self._line = line
        self._pieces = pieces
        self._given = given
        self._now = now
        self._is_dated = line.recorded and not as_of_now
        self._last = datetime.min.replace(tzinfo=UTC)
        self._serial = ""
        self._next_serial = ""

    async def read(self) -> AsyncIterator[Given]:
        """Yield what comes over the line, whole or not."""
        pieces = self._pieces()
        lost: SourceLostError | None = None
        try:
            async with aclosing(self._line.chunks()) as chunks:
                async for chunk in chunks:
                    for piece in pieces.feed(chunk):
                        yield self._became(piece)
        except SourceLostError as error:
            lost = error
        for piece in pieces.end():
            yield self._became(piece)
        if lost is not None:
            raise lost

    def _became(self, piece: bytes) -> Given:
        now = self._now()
        # Two at one moment would be one reading with two values, where the meter has no clock of its own.
        soon = self._last + _APART
        # A clock that was set back is followed: it was wrong before.
        self._last = soon if now < soon < now + _STEP else now
        return self._confirmed(self._dated(self._given(piece, self._last)))

    def _dated(self, given: Given) -> Given:
        """Refuse what is recorded without its time: it would be of the time when somebody reads the file."""
        if given.timed or not self._is_dated or given.reading is None:
            return given
        return given._replace(reading=None, refusal=Refusal("no_time", _of_no_time(self.name)))

    def _confirmed(self, given: Given) -> Given:
        """Refuse another serial number as long as one telegram says it that no checksum vouches for.

        It would begin a new epoch, which a flipped bit must not do.
        """
        if given.reading is None or given.reading.epoch == self._serial:
            self._next_serial = ""
            return given
        serial, first = given.reading.epoch, not self._serial
        if first or given.checked or serial == self._next_serial:
            self._serial, self._next_serial = serial, ""
            return given
        self._next_serial = serial
        detail = f"the serial number is {serial!r} and was {self._serial!r}: the next telegram must say so too"
        return given._replace(reading=None, refusal=Refusal("unconfirmed", detail))


def source(
    spec: str,
    *,
    zone: ZoneInfo | None = None,
    silence_s: float = SILENCE_S,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    others: Mapping[str, Callable[[str], Source]] | None = None,
    as_of_now: bool = False,
) -> Source:
    """Return the source that a text names, without connecting to it.

    `zone` is where a P1 meter with a clock is; None: where meters of its kind are. `?key=PATH` behind a P1 line is a
    file with the key of a meter that encrypts. A line that is silent for `silence_s` is lost. `others` are kinds that
    need more than a name, such as `mqtt`: each is given what follows its colon. A file's readings without a time of
    their own are refused, unless they may be `as_of_now`, for somebody to look at: of SML, which never has one, the
    file itself. Raises OptionError, which says what is expected.
    """
    kind, _, where = spec.partition(":")
    if kind == "p1":
        return _p1(where, zone, silence_s, now, as_of_now=as_of_now)
    if kind == "sml":
        from meters.gateways import sml
        from meters.gateways.frames import Frames

        over = line(where, sml.WIRES, silence_s=silence_s)
        if over.recorded and not as_of_now:
            raise OptionError(_of_no_time(f"sml:{over.name}"))
        return LineSource(f"sml:{over.name}", over, Frames, sml.given, now, as_of_now=as_of_now)
    if others is not None and kind in others:
        return others[kind](where)
    more = "".join(f", or {other}:TOPIC" for other in others or ())
    raise OptionError(f"{spec[:80]!r} names no source; {EXPECTED}{more}")


def _p1(where: str, zone: ZoneInfo | None, silence_s: float, now: Callable[[], datetime], *, as_of_now: bool) -> Source:
    from meters.gateways import p1
    from meters.gateways.telegrams import Telegrams

    where, key = _without_key(where)
    over = line(where, p1.WIRES, silence_s=silence_s)
    name = f"p1:{over.name}"
    if key is None:
        return LineSource(name, over, Telegrams, lambda raw, at: p1.given(raw, at, zone), now, as_of_now=as_of_now)

    from meters.gateways.ciphers import Ciphers, load_keys, opened

    keys = load_keys(key)

    def given(raw: bytes, received: datetime) -> Given:
        try:
            return p1.given(opened(raw, keys), received, zone)
        except RefusedError as error:
            return Given(raw[:MOST_RAW], refusal=error.refusal)

    return LineSource(name, over, Ciphers, given, now, as_of_now=as_of_now)


def _of_no_time(name: str) -> str:
    return (
        f"the meter says no time of day, so nobody knows when {name} was recorded: such a meter is read as it speaks, "
        "over serial or tcp; `commonwatt meter test` shows what was recorded"
    )


def _without_key(where: str) -> tuple[str, Path | None]:
    """Return a line without `key=PATH` among what is asked of it, and that path."""
    place, mark, query = where.partition("?")
    asked = query.split("&")
    key = next((one.removeprefix("key=") for one in asked if one.startswith("key=")), None)
    if key is None:
        return where, None
    rest = "&".join(one for one in asked if not one.startswith("key="))
    return f"{place}{mark}{rest}" if rest else place, Path(key)

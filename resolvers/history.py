"""Settled data: questions for the history process, which answers over NATS.

Nothing is kept here. While the history is away there are errors that say so, and live data goes on.
Whether somebody may ask is decided before: the history answers whatever it is asked.
"""

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec
import structlog

from bus.client import Bus
from bus.errors import BusError, RefusedError, UnavailableError
from bus.history import (
    BEST_HOURS,
    COMPARE,
    HOMES,
    INTERVALS,
    SERVICE,
    SUMMARY,
    TOO_FEW_HOMES,
    Baseline,
    BestHours,
    BestHoursQuestion,
    CompareQuestion,
    Comparison,
    Homes,
    HomesQuestion,
    IntervalsQuestion,
    Page,
    Question,
    Resolution,
    Summary,
    SummaryQuestion,
    Totals,
)
from bus.micro import QuestionError, ask
from resolvers.errors import NotReadyError, ResolverError

log = structlog.get_logger(__name__)

_PATIENCE_S: Final = 8.0
_A = TypeVar("_A", Page, Summary, Homes, Comparison, BestHours)


class OutOfRangeError(ResolverError):
    """Raised when a time range or a number is not allowed; the text says which one is."""


class TooFewHomesError(ResolverError):
    """Raised when a mean of so few homes is asked for that one of them could be told from it."""


class History:
    """What has been settled. `patience_s`: how long a question waits for its answer.

    All of it raises NotReadyError while the history is away, or still reads what is stored, and
    OutOfRangeError. Times are in ms since 1970 UTC; a question about a community has no home.
    """

    def __init__(self, bus: Bus, *, patience_s: float = _PATIENCE_S) -> None:
        self._bus = bus
        self._patience_s = patience_s

    async def intervals(
        self,
        community: str,
        home: str | None,
        since: int,
        until: int,
        resolution: Resolution,
        *,
        first: int = 100,
        after: int | None = None,
    ) -> Page:
        """Return the first periods of a time range, or those after the one that starts at `after`."""
        question = IntervalsQuestion(
            community=community,
            home=home,
            since=since,
            until=until,
            resolution=resolution,
            first=first,
            after=after,
        )
        return await self._ask(INTERVALS, question, Page)

    async def summary(self, community: str, home: str | None, since: int, until: int) -> Totals | None:
        """Return the sums of a time range; None where nothing is settled."""
        question = SummaryQuestion(community=community, home=home, since=since, until=until)
        return (await self._ask(SUMMARY, question, Summary)).totals

    async def homes(self, community: str, homes: Sequence[str], since: int, until: int) -> dict[str, Totals]:
        """Return the sums of a time range of each of these homes, at most 1,000, of which something is settled."""
        question = HomesQuestion(community=community, homes=list(homes), since=since, until=until)
        return (await self._ask(HOMES, question, Homes)).totals

    async def compare(self, community: str, home: str | None, since: int, until: int, baseline: Baseline) -> Comparison:
        """Return the sums of a time range beside others; raise TooFewHomesError for a mean of too few homes."""
        question = CompareQuestion(community=community, home=home, since=since, until=until, baseline=baseline)
        return await self._ask(COMPARE, question, Comparison)

    async def best_hours(self, community: str, next_ms: int) -> BestHours:
        """Return when there will probably be a surplus in the next `next_ms` ms, at most 48 h, if that can be told."""
        question = BestHoursQuestion(community=community, next_ms=next_ms)
        return await self._ask(BEST_HOURS, question, BestHours)

    async def _ask(self, endpoint: str, question: Question, kind: type[_A]) -> _A:
        data = msgspec.json.encode(question)
        try:
            answer = await ask(self._bus, f"{SERVICE}.{endpoint}", data, timeout_s=self._patience_s)
        except QuestionError as error:
            raise _refusals.get(error.code, OutOfRangeError)(str(error)) from error
        except UnavailableError as error:
            log.debug("no answer from the history", endpoint=endpoint, reason=str(error))
            raise NotReadyError(f"settled data is not to be had just now ({error}); ask again in a moment") from error
        except RefusedError as error:
            log.error("the history may not be asked", reason=str(error))
            raise NotReadyError("settled data is not to be had: the server may not ask for it") from error
        try:
            return msgspec.json.decode(answer, type=kind)
        except msgspec.DecodeError as error:
            raise BusError(f"the history answered what is no {kind.__name__}: {error}") from error


_refusals: Final[dict[str, Any]] = {TOO_FEW_HOMES: TooFewHomesError}

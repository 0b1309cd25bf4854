"""`commonwatt audit`: the range, the progress bar, and the table of differences."""

from datetime import UTC, date, datetime, time
from typing import Final

from rich.console import Console
from rich.table import Table

from aggregator.audit import AuditError, AuditReport, audit
from commonwatt.progress import bar_on
from commonwatt.running import connect
from commonwatt.settings import Settings

_PATIENCE_S: Final = 10.0
_SHOWN: Final = 200
_FAR: Final = 2**53


async def run_audit(settings: Settings, since: str | None, until: str | None, communities: tuple[str, ...]) -> bool:
    """Audit and say what was found; return whether everything agrees. Raises AuditError."""
    start, end = _moment("--from", since, -_FAR), _moment("--to", until, _FAR)
    if start >= end:
        raise AuditError(f"--from {since} is not before --to {until}")
    bus = await connect(settings, "audit", patience_s=_PATIENCE_S)
    console = Console(stderr=True)
    try:
        with bar_on(console) as bar:
            task = bar.add_task("reading", total=None)
            report = await audit(
                bus,
                since=start,
                until=end,
                communities=communities,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
    finally:
        await bus.close()
    _show(report)
    return not report.differences


def _show(report: AuditReport) -> None:
    console = Console(highlight=False, soft_wrap=True)
    compared = f"{report.intervals:,} intervals from {report.readings:,} readings"
    if not report.differences:
        console.print(f"{compared}: all agree")
        return
    table = Table("Community", "Start", "Home", "Field", "INTERVALS says", "the readings say")
    for difference in report.differences[:_SHOWN]:
        table.add_row(*difference)
    console.print(table)
    more = len(report.differences) - _SHOWN
    if more > 0:
        console.print(f"and {more:,} more")
    console.print(f"{compared}: {len(report.differences):,} differences")


def _moment(option: str, value: str | None, default: int) -> int:
    """Return a day (its midnight in UTC) or a time, in ms since 1970 UTC."""
    if value is None:
        return default
    try:
        at = (
            datetime.combine(date.fromisoformat(value), time(), UTC)
            if len(value) == len("2026-11-01")
            else datetime.fromisoformat(value)
        )
    except ValueError:
        raise AuditError(
            f"{option} is {value!r}; expected a day such as 2026-11-01, or a time such as 2026-11-01T12:00Z"
        ) from None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)

"""Determinism: interrupted anywhere and taken up from a checkpoint, the fold gives what it would have given."""

from datetime import timedelta
from random import Random
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.live import CommunityPower, community_power
from aggregator.state import State
from bus.community import AlertRules, Community
from bus.registry import History
from tests.aggregator.harness import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    Bench,
    Said,
    community,
    history,
    home,
    merged,
    ms,
    said,
    ticks,
)

EVENING = ms("2026-06-15T20:30:00Z")
"""An hour and a half before midnight in Vienna."""


def _stream(dice: Random) -> list[Said]:
    """Return hours of everything that can happen to a meter, over a midnight."""
    streams: list[list[Said]] = []
    until = EVENING + 4 * HOUR
    for meter in ("a-grid", "a-pv", "b-grid", "c-grid"):
        found: list[Said] = []
        at, imp, exp, epoch, number = EVENING + dice.randrange(MINUTE), dice.randrange(10**6), 10**6, "0", 0
        cadence = dice.choice((MINUTE, 4 * MINUTE, 9 * MINUTE))
        quiet = (0, 0)
        if dice.random() < 0.5:
            begin = dice.randrange(EVENING, until)
            quiet = (begin, begin + dice.randrange(3 * HOUR))
        while at < until:
            watts = dice.choice((0, 100, 3000, 9000))
            late = dice.choice(
                (*(0,) * 20, dice.randrange(3 * SECOND), dice.randrange(10 * MINUTE), dice.randrange(2 * HOUR))
            )
            if not quiet[0] <= at < quiet[1]:
                shown = dice.choice((imp,) * 30 + (0, imp + 10**8, max(0, imp - 60), imp // 1000))
                power = {} if meter == "c-grid" else {"power_import_w": float(watts), "power_export_w": 0.0}
                if meter == "a-grid" and dice.random() < 0.5:
                    power = {"power_import_w": 0.0, "power_export_w": float(watts)}
                found.append(said(meter, at, shown, exp, time=at + late, epoch=epoch, **power))
                if dice.random() < 0.05:
                    found.append(found[-1]._replace(time=at + late + dice.randrange(MINUTE)))
                if dice.random() < 0.02:
                    more: dict[str, Any] = {"correction": True, "epoch": epoch}
                    found.append(said(meter, at, max(0, imp - 5), exp, time=at + dice.randrange(HOUR), **more))
            step = max(1000, cadence + dice.randrange(-500, 500))
            at, imp, exp = at + step, imp + watts * step // HOUR, exp + dice.randrange(30)
            if dice.random() < 0.01:
                number += 1
                epoch, imp, exp = str(number), dice.randrange(1000), 0
        streams.append(found)
    return merged(*streams, ticks(EVENING, until + 2 * HOUR, MINUTE))


def _community(**more: Any) -> Community:
    rules = AlertRules(surplus_start_w=1000, surplus_end_w=500, meter_silent=timedelta(minutes=10))
    homes = (home("a", "GRID", "PV"), home("b", import_limit_w=5000), "c")
    return community(*homes, alerts=rules, finality=timedelta(hours=3), **more)


def _known() -> History:
    """Return a registry that changes at midnight, and once more for the time before."""
    return history(
        ("1970-01-01", _community()),
        ("2026-06-16", _community(patience=timedelta(minutes=45))),
        ("2026-06-15", _community(allocation_key="VIRTUAL")),
    )


def _whole(bench: Bench) -> CommunityPower:
    return community_power(bench.fold.community, bench.fold.power_now())


def _play(messages: list[Said], stops: list[int], batch: int, back: int = 0) -> Bench:
    """Fold a stream with interruptions; after each, go back to a checkpoint of `back` messages ago."""
    bench = Bench(_known(), batch=batch)
    saved = bench.checkpoint()
    for index, message in enumerate(messages, 1):
        bench.announced = 1 + (index > len(messages) // 4) + (index > len(messages) * 3 // 4)
        bench.run([message])
        if index in stops:
            bench.restore(saved if back and bench.position - saved[1] <= back else bench.checkpoint())
            bench.catch_up()
            saved = bench.checkpoint()
        elif back and index % back == 0:
            saved = bench.checkpoint()
    return bench


def _same(one: Bench, other: Bench) -> None:
    assert one.memory.intervals_sent == other.memory.intervals_sent
    assert one.alerts == other.alerts
    assert one.rejected == other.rejected
    assert msgspec.to_builtins(one.fold.state) == msgspec.to_builtins(other.fold.state)
    assert _whole(one) == _whole(other)


_dice = st.integers(0, 2**32).map(Random)
_stops = st.lists(st.integers(1, 800), min_size=1, max_size=12)


@given(_dice, _stops, st.integers(1, 300))
@settings(deadline=None, max_examples=20)
def test_a_fold_taken_up_from_its_encoded_state_goes_on_as_if_nothing_had_been(
    dice: Random, stops: list[int], batch: int
) -> None:
    messages = _stream(dice)
    whole = _play(messages, [], batch)
    assert len(whole.intervals) > 20
    _same(_play(messages, stops, 1), whole)


@given(_dice, _stops, st.integers(1, 400))
@settings(deadline=None, max_examples=20)
def test_what_is_folded_again_from_an_older_checkpoint_gives_the_same_outputs_again(
    dice: Random, stops: list[int], back: int
) -> None:
    """As after SIGKILL between publishing and saving: every output is recognised by its identity, and is equal."""
    messages = _stream(dice)
    _same(_play(messages, stops, 1, back), _play(messages, [], 1))


def test_alerts_intervals_and_refusals_all_occur_in_the_streams_above() -> None:
    kinds: set[str] = set()
    reasons: set[str] = set()
    statuses: set[str] = set()
    for seed in range(8):
        bench = _play(_stream(Random(seed)), [], 1)
        kinds.update(alert.kind for alert in bench.alerts)
        reasons.update(bench.reasons)
        statuses.update(one.status for one in bench.memory.intervals_sent)
        assert max(bench.revisions.values()) > 1
    assert kinds == {
        "SURPLUS_STARTED",
        "SURPLUS_ENDED",
        "METER_SILENT",
        "METER_BACK",
        "IMPORT_PEAK_STARTED",
        "IMPORT_PEAK_ENDED",
    }
    assert reasons >= {"register_fell", "register_leapt"}
    assert statuses == {"PROVISIONAL", "FINAL"}


def test_the_state_of_a_community_does_not_grow_with_time() -> None:
    bench = Bench(community("a", "b", finality=timedelta(hours=6)))
    sizes = []
    for day in range(4):
        begin = EVENING + day * DAY
        readings = [
            said(f"{name}-grid", at, (at - EVENING) // MINUTE * 10 + 7, epoch=str((at - EVENING) // (3 * HOUR)))
            for at in range(begin, begin + DAY, 2 * MINUTE)
            for name in "ab"
        ]
        bench.run(merged(readings, ticks(begin, begin + DAY, MINUTE)))
        state = msgspec.msgpack.decode(bench.checkpoint()[0], type=State)
        state.hours.clear()  # 36 days of hours at the most
        sizes.append(len(msgspec.msgpack.encode(state)))
    assert sizes[-1] <= sizes[1] + 200
    assert bench.rejected == []

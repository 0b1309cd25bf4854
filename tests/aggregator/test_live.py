"""Live figures: power by role, what is shared now, the light, the trend, and how old a figure may be."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.frames import Framer
from aggregator.live import CommunityPower, light_now, sample_surplus, set_light, set_trend, trend_now
from aggregator.state import State
from bus.community import Community, LightRule
from bus.messages import CommunityState, HomeState, decode_frame, decode_home
from tests.aggregator.harness import HOUR, MINUTE, NOON, SECOND, Bench, community, home, said, ticks


def _frame(bench: Bench) -> tuple[CommunityState, dict[str, HomeState]]:
    frame = decode_frame(Framer().frame(bench.fold))
    return frame.state, {name: decode_home(raw) for name, raw in frame.homes.items()}


def _now(one: Community, **powers: tuple[float, float]) -> Bench:
    """Return a community whose meters (`-` written `_`) have just shown these powers, import and export in W."""
    bench = Bench(one)
    for meter, (drawn, fed) in powers.items():
        bench.run([said(meter.replace("_", "-"), NOON, 0, 0, power_import_w=drawn, power_export_w=fed)])
    return bench


# --- homes ---


def test_power_is_summed_by_role() -> None:
    one = community(home("a", "GRID", "GRID", "PV", "PV", "BATTERY"))
    bench = _now(one, a_grid=(500, 0), a_grid2=(0, 120.5), a_pv=(3, 1000), a_pv2=(0, 200), a_battery=(0, 300))
    state = _frame(bench)[1]["a"]
    assert (state.power_import_w, state.power_export_w, state.net_power_w) == (500, 120.5, 379.5)
    assert (state.pv_power_w, state.battery_power_w) == (1200, 300)
    assert state.load_w == 500 - 120.5 + 1200 + 300
    assert (state.measured_at, state.quality) == (NOON, "MEASURED")


def test_a_battery_that_charges_has_negative_power_and_its_own_charge() -> None:
    bench = Bench(community(home("a", "GRID", "BATTERY")))
    bench.run([said("a-grid", NOON, 0, power_import_w=900.0)])
    bench.run([said("a-battery", NOON, 0, power_import_w=700.0, state_of_charge=0.42)])
    state = _frame(bench)[1]["a"]
    assert (state.battery_power_w, state.battery_charge, state.load_w) == (-700, 0.42, 200)


def test_what_a_home_lacks_is_null() -> None:
    states = _frame(_now(community("a", home("b", "PV", "GRID"), "silent"), a_grid=(100, 0), b_pv=(0, 50)))[1]
    a, b, silent = states["a"], states["b"], states["silent"]
    assert (a.pv_power_w, a.battery_power_w, a.battery_charge, a.self_consumption) == (None, None, None, None)
    assert (b.pv_power_w, b.power_import_w, b.load_w, b.net_power_w) == (50, None, None, None)
    assert (b.shared_power_w, b.self_sufficiency, b.quality) == (None, None, "MISSING")
    assert silent == HomeState(
        home="silent",
        measured_at=None,
        power_import_w=None,
        power_export_w=None,
        net_power_w=None,
        pv_power_w=None,
        battery_power_w=None,
        battery_charge=None,
        load_w=None,
        shared_power_w=None,
        shared_out_power_w=None,
        self_sufficiency=None,
        self_consumption=None,
        light="UNKNOWN",
        quality="MISSING",
        today=silent.today,
    )


def test_power_comes_from_the_registers_where_a_meter_sends_none() -> None:
    bench = Bench(community("a")).run([said("a-grid", NOON, 1000, 500)])
    assert _frame(bench)[1]["a"].power_import_w is None
    bench.run([said("a-grid", NOON + 6 * MINUTE, 1150, 503)])
    state = _frame(bench)[1]["a"]
    assert (state.power_import_w, state.power_export_w) == (1500, 30)
    bench.run([said("a-grid", NOON + 3 * HOUR, 1160, 503)])
    assert _frame(bench)[1]["a"].power_import_w is None


def test_self_sufficiency_and_self_consumption_count_what_is_shared() -> None:
    one = community(home("a", "GRID", "PV"), "b")
    whole, states = _frame(_now(one, a_grid=(0, 600), a_pv=(0, 1000), b_grid=(800, 0)))
    a, b = states["a"], states["b"]
    assert (a.load_w, b.load_w, whole.load_w) == (400, 800, 1200)
    assert (a.shared_out_power_w, b.shared_power_w, whole.shared_power_w) == (600, 600, 600)
    assert (a.self_sufficiency, a.self_consumption) == (1.0, 1.0)  # (1000 - 600 + 600) / 1000
    assert (b.self_sufficiency, b.self_consumption) == (0.75, None)
    assert whole.self_sufficiency == pytest.approx((1200 - 800 + 600) / 1200, abs=1e-4)
    assert whole.self_consumption == 1.0


def test_without_a_denominator_a_ratio_is_null_and_never_0() -> None:
    whole, states = _frame(_now(community(home("a", "GRID", "PV")), a_grid=(0, 0), a_pv=(0, 0)))
    assert (states["a"].self_sufficiency, states["a"].self_consumption) == (None, None)
    assert (whole.self_sufficiency, whole.self_consumption) == (None, None)
    assert whole.pv_power_w == 0
    assert _frame(_now(community("a"), a_grid=(5, 0)))[0].pv_power_w is None


@given(
    st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 9000), st.integers(0, 9000)), min_size=1, max_size=8),
    st.sampled_from(("DYNAMIC", "VIRTUAL")),
)
def test_sums_and_shares_are_those_of_the_homes(powers: list[tuple[int, int, int]], key: str) -> None:
    homes = [home(f"h{n}", "GRID", "PV") for n in range(len(powers))]
    meters = {f"h{n}_grid": (one[0] / 10, one[1] / 10) for n, one in enumerate(powers)}
    meters |= {f"h{n}_pv": (0, one[2] / 10) for n, one in enumerate(powers)}
    whole, states = _frame(_now(community(*homes, allocation_key=key), **meters))
    all_in, all_out = sum(one[0] for one in powers), sum(one[1] for one in powers)
    assert (whole.power_import_w, whole.power_export_w) == (all_in / 10, all_out / 10)
    assert whole.surplus_power_w == (all_out - all_in) / 10
    assert whole.shared_power_w == min(all_in, all_out) / 10
    assert sum(round(10 * (one.shared_power_w or 0)) for one in states.values()) == min(all_in, all_out)
    assert sum(round(10 * (one.shared_out_power_w or 0)) for one in states.values()) == min(all_in, all_out)
    for one in states.values():
        for ratio in (one.self_sufficiency, one.self_consumption, whole.self_sufficiency):
            assert ratio is None or 0 <= ratio <= 1


# --- staleness ---


@pytest.mark.parametrize(("cadence", "stale_after"), [(SECOND, 30), (10 * SECOND, 30), (60 * SECOND, 180)])
def test_a_meter_is_stale_after_3_of_its_usual_gaps_and_at_least_30_seconds(cadence: int, stale_after: int) -> None:
    bench = Bench(community("a", "b"))
    last = NOON + 20 * cadence
    bench.run([said("a-grid", at, 0, power_import_w=5.0) for at in range(NOON, last + 1, cadence)])
    bench.run([said("b-grid", last, 0, power_import_w=70.0)])
    bench.run(ticks(last, last + stale_after * SECOND + 1, SECOND))
    assert _frame(bench)[1]["a"].quality == "MEASURED"
    bench.run([said("b-grid", last + stale_after * SECOND + 1, 0, power_import_w=70.0)])
    bench.run(ticks(last + stale_after * SECOND + 1, last + stale_after * SECOND + 2))
    whole, states = _frame(bench)
    assert states["a"].quality == "STALE"
    assert states["a"].power_import_w == 5
    assert (whole.power_import_w, whole.homes_reporting, whole.homes_total) == (70, 1, 2)
    bench.run([said("a-grid", last + stale_after * SECOND + 1, 0, power_import_w=6.0)])
    assert _frame(bench)[1]["a"].quality == "MEASURED"


def test_two_readings_at_nearly_the_same_time_do_not_spoil_the_usual_gap() -> None:
    bench = Bench(community("a")).run([said("a-grid", NOON, 0), said("a-grid", NOON + 1, 0)])
    last = NOON + 40 * MINUTE
    bench.run([said("a-grid", at, 0) for at in range(NOON + MINUTE, last + 1, MINUTE)])
    bench.run(ticks(last, last + 2 * MINUTE))
    assert _frame(bench)[1]["a"].quality == "MEASURED"


def test_a_home_is_stale_where_one_of_its_grid_meters_is() -> None:
    one = community(home("a", "GRID", "GRID"))
    for first, second in (("a-grid", "a-grid2"), ("a-grid2", "a-grid")):
        bench = Bench(one).run([said(first, NOON, 0, power_import_w=5.0), said(first, NOON + SECOND, 0)])
        bench.run([said(second, NOON + MINUTE, 0, power_import_w=5.0), *ticks(NOON + MINUTE, NOON + MINUTE + 1)])
        assert _frame(bench)[1]["a"].quality == "STALE"


# --- light ---


def _power(load: float, surplus: float, *, reporting: int = 10) -> CommunityPower:
    imported, exported = max(0.0, -surplus), max(0.0, surplus)
    return CommunityPower(
        import_dw=round(imported * 10),
        export_dw=round(exported * 10),
        pv_dw=0,
        battery_dw=0,
        load_dw=round(load * 10),
        shared_dw=0,
        allocated={},
        used={},
        reporting=reporting,
        measured_at=NOON,
    )


TEN = community(*(f"h{n}" for n in range(10)))


@pytest.mark.parametrize(
    ("load", "surplus", "light"),
    [
        (1000, 100, "YELLOW"),
        (1000, 100.1, "GREEN"),
        (4000, 200, "YELLOW"),  # 5 % of the load is more than 100 W
        (4000, 200.1, "GREEN"),
        (1000, 0, "YELLOW"),
        (1000, -500, "YELLOW"),  # own production covers half of the load
        (1000, -500.1, "RED"),
        (0, 0, "YELLOW"),
    ],
)
def test_the_light_is_green_with_surplus_and_red_where_production_covers_less_than_half(
    load: float, surplus: float, light: str
) -> None:
    assert light_now(TEN, _power(load, surplus)) == light


def test_the_light_is_unknown_where_over_a_fifth_of_the_homes_is_stale() -> None:
    assert light_now(TEN, _power(1000, 500, reporting=8)) == "GREEN"
    assert light_now(TEN, _power(1000, 500, reporting=7)) == "UNKNOWN"


def test_the_registry_sets_the_lights_thresholds() -> None:
    rule = LightRule(surplus_w=1000, surplus_of_load=0, red_below_production=0.9, unknown_over_stale=0.5)
    one = TEN.model_copy(update={"light": rule})
    assert light_now(one, _power(1000, 999)) == "YELLOW"
    assert light_now(one, _power(1000, -200)) == "RED"
    assert light_now(one, _power(1000, -50, reporting=5)) == "YELLOW"


def test_a_new_colour_shows_once_it_has_held_for_30_seconds() -> None:
    state = State("test", now=NOON)
    shown = []
    for second, surplus in (
        (0, 500),
        (1, 500),
        (30, 0),
        (50, 500),
        (60, 0),
        (89, 0),
        (90, 0),
        (91, 500),
        (120, 500),
        (121, 500),
    ):
        state.now = NOON + second * SECOND
        set_light(TEN, state, _power(1000, surplus))
        shown.append((second, state.light))
    assert [second for second, light in shown if light == "GREEN"] == [0, 1, 30, 50, 60, 89, 121]


def test_unknown_shows_at_once_and_what_follows_it_too() -> None:
    state = State("test", now=NOON)
    for second, reporting, light in ((0, 10, "GREEN"), (40, 5, "UNKNOWN"), (41, 10, "GREEN")):
        state.now = NOON + second * SECOND
        set_light(TEN, state, _power(1000, 500, reporting=reporting))
        assert state.light == light


# --- trend ---


@pytest.mark.parametrize(
    ("load", "change", "direction"),
    [
        (1000, 100, "STEADY"),
        (1000, 101, "RISING"),
        (1000, -101, "FALLING"),
        (4000, 150, "STEADY"),
        (4000, -201, "FALLING"),
    ],
)
def test_the_trend_is_the_change_of_the_surplus_over_10_minutes(load: float, change: float, direction: str) -> None:
    state = State("test")
    for second in range(0, 1201, 10):
        state.now = NOON + second * SECOND
        sample_surplus(state, 0 if second <= 600 else round(change * 10))
    assert trend_now(LightRule(), state, _power(load, change)) == direction
    assert len(state.surplus_dw) <= 22
    state.now += 11 * MINUTE
    sample_surplus(state, round(change * 10))
    assert trend_now(LightRule(), state, _power(load, change)) == "STEADY"


def test_without_a_past_the_trend_is_steady() -> None:
    assert trend_now(LightRule(), State("test"), _power(1000, 9000)) == "STEADY"
    whole = _frame(_now(community("a"), a_grid=(0, 900)))[0]
    assert whole.trend == "STEADY"


def test_a_new_direction_must_hold_for_the_lights_time_before_it_shows() -> None:
    state = State("test", now=NOON, surplus_dw=[(NOON, 0)])
    shown = []
    for second, surplus in ((0, 0), (10, 500), (30, 500), (35, 0), (36, 500), (65, 500), (66, 500), (70, 0), (99, 0)):
        state.now = NOON + second * SECOND
        set_trend(TEN, state, _power(1000, surplus))
        shown.append((second, state.trend))
    assert [second for second, direction in shown if direction == "RISING"] == [66, 70, 99]


# --- frames ---


def test_frames_are_numbered_and_name_the_homes_that_changed() -> None:
    bench = _now(community("a", "b", light=LightRule(hold=timedelta(0))), a_grid=(100, 0), b_grid=(200, 0))
    framer = Framer()
    first = decode_frame(framer.frame(bench.fold))
    assert (first.number, first.changed, first.at) == (1, ["a", "b"], NOON)
    second = decode_frame(framer.frame(bench.fold))
    assert (second.number, second.changed, second.homes) == (2, [], first.homes)
    bench.run([said("b-grid", NOON + SECOND, 0, power_import_w=210.0)])
    third = decode_frame(framer.frame(bench.fold))
    assert third.changed == ["b"]
    assert third.homes["a"] == first.homes["a"]
    assert decode_home(third.homes["b"]).power_import_w == 210

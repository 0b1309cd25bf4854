import json
from collections.abc import Callable
from dataclasses import fields
from typing import Any, cast

import pytest

from resolvers.directory import Household, View
from resolvers.errors import NotFoundError
from schema.build import build_schema
from schema.context import Context
from schema.limits import DocumentLimits
from schema.operations import CACHED, OperationError, Operations
from schema.plans import Plan, Planner, Scope
from tests.resolvers.frames import community, community_state, home_state

CORE = build_schema().core


class Houses:
    """A directory of one community, `demo`, of home-1 and home-2."""

    def __init__(self) -> None:
        self.demo = community("demo")

    def community(self, key: str) -> Any:
        if key != "demo":
            raise NotFoundError("community", key)
        return self.demo

    def check_totals(self, key: str) -> None:
        """Hide nothing."""

    def household(self, key: str) -> Household:
        for home in self.demo.homes:
            if key == f"demo.{home.id}":
                return Household(self.demo, home)
        raise NotFoundError("home", key)


EVERYTHING = cast(View, Houses())


def make_planner(reference: Callable[[], str] = lambda: "r", core: Any = CORE) -> Planner:
    """Return a planner over `Houses`."""
    return Planner(core, Context(EVERYTHING, cast(Any, None), cast(Any, None)), reference)


UNLIMITED = DocumentLimits(**{field.name: 10**12 for field in fields(DocumentLimits)})
"""For documents by chance, which are larger than anybody's."""


def plan_of(document: str, variables: dict[str, Any] | None = None, planner: Planner | None = None) -> Plan:
    """Return the plan of a document's only operation; its key is the one that the planner gives beforehand."""
    planner = planner or make_planner()
    operation = Operations(CORE, UNLIMITED).open(document, None)
    plan = planner.plan(operation, variables, EVERYTHING)
    assert plan.key == planner.key(operation, variables)
    return plan


def refused(document: str, variables: dict[str, Any] | None = None) -> str:
    """Return the message with which a document is refused before it starts."""
    with pytest.raises(OperationError) as error:
        plan_of(document, variables)
    return error.value.errors[0].message


PACED = """subscription ($id: ID!, $every: Duration, $step: Watts) {
  home(id: $id, every: $every) { load(step: $step) }
}"""


def test_the_order_of_variables_does_not_make_another_plan() -> None:
    one = plan_of(PACED, {"id": "demo.home-1", "every": "PT1S", "step": 50})
    other = plan_of(PACED, {"step": 50, "every": "PT1S", "id": "demo.home-1"})
    assert one.key == other.key


def test_a_variable_that_is_not_declared_does_not_make_another_plan() -> None:
    one = plan_of(PACED, {"id": "demo.home-1"})
    assert plan_of(PACED, {"id": "demo.home-1", "who": ["I"]}).key == one.key


def test_another_value_makes_another_plan() -> None:
    plans = [
        plan_of(PACED, {"id": "demo.home-1"} | more) for more in ({}, {"step": 5}, {"step": 50}, {"every": "PT1S"})
    ]
    assert len({plan.key for plan in plans} | {plan_of(PACED, {"id": "demo.home-2"}).key}) == 5


def test_the_key_says_what_is_consulted_about_the_viewer() -> None:
    assert plan_of(PACED, {"id": "demo.home-1"}).key[2] == ("home",)
    both = plan_of('subscription { home(id: "demo.home-1") { ...on HomeLive { community { load } } } }')
    assert (both.key[2], both.scope) == (("home", "community"), Scope("demo.home-1", "", totals=True))
    totals = plan_of('subscription { community(id: "demo") { load } }')
    assert (totals.key[2], totals.scope) == (("community",), Scope(None, "demo", totals=True))


def test_homes_with_the_same_selection_share_a_projection() -> None:
    planner = make_planner()
    one = plan_of(PACED, {"id": "demo.home-1", "step": 5}, planner)
    other = plan_of(PACED, {"id": "demo.home-2", "step": 5, "every": "PT1S"}, planner)
    third = plan_of(PACED, {"id": "demo.home-2", "step": 6}, planner)
    assert one.projection is other.projection is not third.projection


@pytest.mark.parametrize("key", ["demo.x", "x", "", "demo", "demo.home-1.x"])
@pytest.mark.parametrize("field", ["home", "community"])
def test_an_unknown_id_is_not_found(field: str, key: str) -> None:
    if (field, key) == ("community", "demo"):
        key = "x"
    document = f"subscription ($id: ID!) {{ here: {field}(id: $id) {{ load }} }}"
    with pytest.raises(OperationError) as error:
        plan_of(document, {"id": key})
    (only,) = error.value.errors
    assert only.formatted["extensions"] == {"code": "NOT_FOUND"}
    assert only.path == ["here"]


def test_a_missing_variable_is_an_error_before_the_start() -> None:
    assert "$id" in refused(PACED, {})
    assert "$id" in refused(PACED, None)


@pytest.mark.parametrize("every", ["PT0.099S", "PT0S", "PT1H0.001S", "P99999D"])
def test_every_outside_its_range_is_an_error_that_names_it(every: str) -> None:
    message = refused(PACED, {"id": "demo.home-1", "every": every})
    assert "every is" in message
    assert "0.1 s to 3600 s" in message


@pytest.mark.parametrize("silence", ["PT0.999S", "PT24H0.001S"])
def test_max_silence_outside_its_range_is_an_error_that_names_it(silence: str) -> None:
    message = refused(f'subscription {{ community(id: "demo", maxSilence: "{silence}") {{ load }} }}')
    assert "maxSilence is" in message
    assert "1 s to 86400 s" in message


@pytest.mark.parametrize("hysteresis", ["-0.01", "0.51", "1e9", "5"])
def test_a_hysteresis_outside_its_range_is_an_error_that_names_it(hysteresis: str) -> None:
    message = refused(f'subscription {{ community(id: "demo", hysteresis: {hysteresis}) {{ load(step: 5) }} }}')
    assert message == f"hysteresis is {float(hysteresis):g} steps; it must be 0 to 0.5"


def test_the_hysteresis_is_a_quarter_of_a_step_unless_a_subscription_says_otherwise() -> None:
    document = 'subscription ($by: Float) { community(id: "demo", hysteresis: $by) { load(step: 5) } }'
    planner = make_planner()
    given = [plan_of(document, variables, planner) for variables in ({}, {"by": 0.25}, {"by": 0.5})]
    assert [plan.hysteresis for plan in given] == [0.25, 0.25, 0.5]
    assert len({plan.key for plan in given}) == 3
    assert given[0].projection is given[2].projection


@pytest.mark.parametrize(
    "every", ["", "1", "PT", "P", "PT1", "-PT1S", "PT1s", 5, True, [], {}, "PT" + "9" * 5000 + "S"]
)
def test_a_malformed_duration_is_an_error_that_says_what_one_is(every: object) -> None:
    message = refused(PACED, {"id": "demo.home-1", "every": every})
    assert "no duration of ISO 8601" in message
    assert "every takes PT0.1S to PT1H" in message
    assert len(message) < 6000


def test_a_malformed_duration_in_the_document_is_an_error_before_the_start() -> None:
    assert "no duration" in refused('subscription { home(id: "demo.home-1", every: "soon") { load } }')


def test_the_ends_of_the_ranges_are_in_them() -> None:
    for every, ms in (("PT0.1S", 100), ("PT1H", 3_600_000)):
        assert plan_of(PACED, {"id": "demo.home-1", "every": every}).every_ms == ms
    for silence, ms in (("PT1S", 1000), ("PT24H", 86_400_000)):
        document = f'subscription {{ community(id: "demo", maxSilence: "{silence}") {{ load }} }}'
        assert plan_of(document).max_silence_ms == ms


def test_a_home_watches_its_community_only_if_it_shows_it() -> None:
    def shows(selection: str, rest: str = "") -> bool:
        document = f'subscription {{ home(id: "demo.home-1") {{ {selection} }} }} {rest}'
        return plan_of(document).community_fields != frozenset()

    assert not shows("load")
    assert shows("c: community { trend }")
    assert shows("...f", "fragment f on HomeLive { ... { ...g } } fragment g on HomeLive { community { trend } }")


def test_root_fields_that_are_merged_are_looked_at_together() -> None:
    document = """subscription { ...a home(id: "demo.home-1") { community { trend } } }
    fragment a on Subscription { home(id: "demo.home-1") { load } }"""
    assert plan_of(document).community_fields != frozenset()


def test_a_chain_of_doubling_fragments_is_planned_in_no_time() -> None:
    document = 'subscription { home(id: "demo.home-1") { ...f0 } }' + "".join(
        f"fragment f{number} on HomeLive {{ load ...f{number + 1} ...f{number + 1} }}" for number in range(60)
    )
    assert plan_of(document + "fragment f60 on HomeLive { load }").projection


def test_a_variable_of_hostile_depth_is_an_error_and_no_crash() -> None:
    hostile: Any = []
    for _ in range(100_000):
        hostile = [hostile]
    assert "nested too deeply" in refused(PACED, {"id": hostile})
    while hostile:  # level by level: freeing it at once would recurse, too
        (hostile,) = hostile


def test_a_selection_of_nothing_but_a_skipped_root_field_is_an_error() -> None:
    document = 'subscription ($no: Boolean!) { home(id: "demo.home-1") @include(if: $no) { load } }'
    with pytest.raises(OperationError):
        plan_of(document, {"no": False})


def test_a_value_that_cannot_be_shown_is_masked_and_its_error_has_a_reference() -> None:
    plan = plan_of('subscription { community(id: "demo") { load pvPower } }', None, make_planner(lambda: "abc"))
    answer = json.loads(plan.execute(community_state(load_w=1.0, pv_power_w=float("nan"))))
    assert answer["data"] == {"community": {"load": 1, "pvPower": None}}
    (error,) = answer["errors"]
    assert error["path"] == ["community", "pvPower"]
    assert error["extensions"] == {"code": "INTERNAL", "reference": "abc"}
    answer = json.loads(plan.execute(community_state(load_w=float("inf"))))
    assert answer["data"] is None
    assert answer["errors"][0]["path"] == ["community", "load"]


def test_executing_never_raises() -> None:
    answer = json.loads(plan_of('subscription { home(id: "demo.home-1") { homeId load } }').execute(home_state()))
    assert answer["data"] is None
    assert answer["errors"]


# --- what is prepared ---

TRUSTED = "subscription ($id: ID!, $step: Watts = 50) { home(id: $id) { load(step: $step) community { light } } }"


@pytest.mark.parametrize("id", ["demo.home-1", "demo.home-2"])
def test_what_is_prepared_is_compiled_once_and_never_forgotten(id: str) -> None:
    planner, operations = make_planner(), Operations(CORE)
    trusted = operations.open(TRUSTED, None)
    planner.prepare(trusted)
    projection = planner.plan(trusted, {"id": id}, EVERYTHING).projection
    assert projection is not None
    for number in range(CACHED + 1):
        stranger = operations.open(f'subscription {{ home(id: "demo.home-1") {{ a{number}: load }} }}', None)
        planner.plan(stranger, None, EVERYTHING)
    assert planner.plan(trusted, {"id": id}, EVERYTHING).projection is projection
    assert planner.plan(trusted, {"id": id, "step": 10}, EVERYTHING).projection is not projection


@pytest.mark.parametrize(
    "document",
    [
        "{ communities { id } }",
        'subscription { alerts(home: "demo.home-1") { at } }',
        'subscription ($no: Boolean!) { home(id: "demo.home-1") { load @skip(if: $no) } }',
    ],
)
def test_what_cannot_be_prepared_is_left_for_later(document: str) -> None:
    planner = make_planner()
    operation = Operations(CORE).open(document, None)
    planner.prepare(operation)
    if operation.is_subscription and not operation.events:
        assert planner.plan(operation, {"no": False}, EVERYTHING).projection is not None

"""Signing in: who is let in, by what, how long they stay, and how it ends; on its own and over the wire."""

from collections import Counter
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from bus.community import Community, Version
from bus.registry import BEGINNING, History, Registry
from resolvers.access import Viewer
from resolvers.directory import Directory, SeenBy
from resolvers.errors import NotFoundError
from schema.context import Context
from server.signin import JITTER_S, Guard, RefusedError, SignIn, bearer, token_of
from tests.resolvers.frames import community
from tests.server.people import Signer

NOW_MS = 1_900_000_000_000


def directory_of(*communities: Community, loaded: bool = True) -> Directory:
    """Return a directory with communities in it, as if it had followed the registry."""
    registry = Registry()
    for one in communities:
        registry.communities[one.id] = History()
        registry.communities[one.id].add(Version(valid_from=BEGINNING, community=one), 1)
    directory = Directory(registry, now_ms=lambda: NOW_MS)
    if loaded:
        directory._loaded.set()
    directory.registry = registry  # type: ignore[attr-defined]  # for `change`
    return directory


def change(directory: Directory, one: Community) -> None:
    """Have a community be another from now on."""
    history = cast(Any, directory).registry.communities.setdefault(one.id, History())
    history.add(Version(valid_from=BEGINNING, community=one), 2)


# --- letting in ---


def porch(signer: Signer | None = None) -> tuple[SignIn, Context]:
    directory = directory_of(community("demo"))
    everything = Context(directory, cast(Any, None), cast(Any, None))
    return SignIn(None if signer is None else signer.tokens, everything, directory), everything


@pytest.mark.parametrize("token", [None, "", "x", "a.b.c"])
def test_without_sign_in_everybody_reaches_everything(token: str | None) -> None:
    sign_in, everything = porch()
    assert sign_in.enter(token) is everything
    assert sign_in.renew(everything, token or "") is everything


@pytest.mark.parametrize("token", [None, "", " ", "x", "a.b.c", "Bearer x", "\0", "é" * 9000])
def test_who_has_no_token_that_counts_is_refused_and_not_told_why(token: str | None) -> None:
    sign_in, _ = porch(Signer())
    with pytest.raises(RefusedError) as refused:
        sign_in.enter(token)
    assert str(refused.value) == "sign in: send a valid token (Authorization: Bearer ...)"
    assert refused.value.__cause__ is None


def test_a_viewer_reaches_what_they_may_see_and_no_more() -> None:
    signer = Signer()
    sign_in, everything = porch(signer)
    context = sign_in.enter(signer.token("home:home-1", community="demo"))
    assert isinstance(context.directory, SeenBy)
    assert context.viewer is context.directory.viewer
    assert context.directory.household("demo.home-1").key == "demo.home-1"
    with pytest.raises(NotFoundError):
        context.directory.household("demo.home-2")
    assert everything.viewer is None


def test_why_a_token_is_refused_is_for_the_log_and_the_token_is_not() -> None:
    signer, other = Signer(), Signer()
    sign_in, _ = porch(signer)
    forged = other.token("home:home-1", community="demo")
    with capture_logs() as logs, pytest.raises(RefusedError):
        sign_in.enter(forged)
    assert [line["event"] for line in logs] == ["token refused"]
    assert logs[0]["log_level"] == "info"  # anybody can have it written
    for part in forged.split("."):
        assert part not in str(logs)


SELF: dict[str, Any] = {"role": "member", "community": "demo", "homes": ["home-1"]}


@pytest.mark.parametrize(
    "other",
    [
        {"sub": "home:home-2"},
        {"role": "operator"},
        {"role": "device"},
        {"role": None},
        {"community": "other"},
        {"homes": ["home-2"]},
        {"homes": []},
        {"homes": ["home-1", "home-2"]},
        {"homes": None},
    ],
    ids=str,
)
def test_a_newer_token_renews_only_for_the_same_viewer(other: dict[str, Any]) -> None:
    signer = Signer()
    sign_in, _ = porch(signer)
    context = sign_in.enter(signer.token("home:home-1", **SELF))
    again = sign_in.renew(context, signer.token("home:home-1", ttl_s=7200, **SELF))
    assert context.viewer is not None
    assert again.viewer is not None
    assert again.viewer.expires_ms > context.viewer.expires_ms
    assert again.viewer.token != context.viewer.token
    claims = {"sub": "home:home-1"} | SELF | other
    with pytest.raises(RefusedError):
        sign_in.renew(context, signer.token(**{name: value for name, value in claims.items() if value is not None}))


def test_a_token_that_has_ended_does_not_renew() -> None:
    signer = Signer()
    sign_in, _ = porch(signer)
    token, soon = signer.token("home:home-1", **SELF), signer.token("home:home-1", ttl_s=60, **SELF)
    context = sign_in.enter(token)
    sign_in.renew(context, soon)
    signer.clock.move(61)
    with pytest.raises(RefusedError):
        sign_in.renew(context, soon)


@pytest.mark.parametrize(
    ("header", "token"),
    [
        (None, None),
        ("", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("Bearer  ", None),
        ("Bearer x", "x"),
        ("bearer x", "x"),
        ("BEARER  x ", "x"),
        ("Basic eDp5", None),
        ("Bearerx", None),
        ("x", None),
        ("Bearer\tx", None),
        ("Bearer x y", "x y"),  # which is no token, and is refused as one
    ],
)
def test_the_token_of_a_header(header: str | None, token: str | None) -> None:
    assert bearer(header) == token


@pytest.mark.parametrize(
    ("payload", "token"),
    [
        (None, "h"),
        ({}, "h"),
        ({"token": "t"}, "t"),
        ({"token": "t", "Authorization": "Bearer a"}, "t"),
        ({"token": ""}, ""),  # said, and no token: the header does not stand in for it
        ({"token": None}, "h"),
        ({"token": 5}, "h"),
        ({"token": ["t"]}, "h"),
        ({"Authorization": "Bearer a"}, "a"),
        ({"authorization": "bearer a"}, "a"),
        ({"authorization": "a"}, None),
        ({"Authorization": "Basic a", "authorization": "Bearer b"}, None),
        ({"headers": {"Authorization": "Bearer a"}}, "h"),
    ],
    ids=str,
)
def test_the_token_of_a_greeting(payload: dict[str, Any] | None, token: str | None) -> None:
    assert token_of(payload, "Bearer h") == token


# --- the guard ---


class Guest:
    """A connection that notes what the guard does to it."""

    def __init__(self, viewer: Viewer | None, events: list[tuple[str, str]] | None = None) -> None:
        self.viewer = viewer
        self.events = [] if events is None else events

    def recheck(self) -> None:
        self.events.append(("recheck", self.viewer.subject if self.viewer else ""))

    def expire(self) -> None:
        self.events.append(("expire", self.viewer.subject if self.viewer else ""))


class Time:
    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


def guard_of(*communities: Community) -> tuple[Guard, Time, Directory]:
    time, directory = Time(), directory_of(*communities)
    guard = Guard(directory, now_ms=time)
    guard.look()
    return guard, time, directory


@given(st.integers(0, 999), st.lists(st.integers(1, 999), min_size=6, max_size=6))
@settings(max_examples=50)
def test_connections_are_closed_within_5_s_of_the_end_of_their_token_and_never_before(
    fraction_ms: int, looks_ms: list[int]
) -> None:
    guard, time, _ = guard_of()
    expires_ms = NOW_MS + 60_000 + fraction_ms
    guests = [Guest(Viewer("anna", expires_ms=expires_ms)) for _ in range(400)]
    for guest in guests:
        guard.enter(guest)
    time.now_ms = expires_ms - 1
    guard.look()
    assert not any(guest.events for guest in guests)
    closed = Counter[int]()
    for late_ms in looks_ms:  # the guard looks once a second, and a little late
        before = sum(map(bool, (guest.events for guest in guests)))
        time.now_ms = time.now_ms // 1000 * 1000 + 1000 + late_ms % 50
        guard.look()
        closed[time.now_ms // 1000 - expires_ms // 1000] += sum(bool(guest.events) for guest in guests) - before
    assert sum(closed.values()) == len(guests)
    assert max(second for second, count in closed.items() if count) < 5
    assert sum(count > 50 for count in closed.values()) == JITTER_S  # not all at once
    assert all(guest.events == [("expire", "anna")] for guest in guests)


def test_a_newer_token_moves_the_end_and_nothing_is_kept_of_who_left() -> None:
    guard, time, _ = guard_of()
    guest, left = Guest(Viewer("anna", expires_ms=NOW_MS + 1000)), Guest(Viewer("bert", expires_ms=NOW_MS + 1000))
    guard.enter(guest)
    guard.enter(left)
    guard.leave(left)
    guard.leave(left)
    assert guest.viewer is not None
    guest.viewer = replace(guest.viewer, expires_ms=NOW_MS + 100_000)
    guard.enter(guest)
    time.now_ms += 60_000
    guard.look()
    assert guest.events == left.events == []
    time.now_ms += 60_000
    guard.look()
    guard.look()
    assert guest.events == [("expire", "anna")]
    assert not guard._guests
    assert not guard._ends


def test_a_connection_without_a_viewer_or_without_an_end_stays() -> None:
    guard, time, _ = guard_of(community("demo"))
    nobody, forever = Guest(None), Guest(Viewer("anna"))
    guard.enter(nobody)
    guard.enter(forever)
    time.now_ms += 10**12
    guard.look()
    assert nobody.events == forever.events == []


def test_a_revocation_ends_the_connections_of_that_token_at_once_and_no_others() -> None:
    guard, _, _ = guard_of()
    events: list[tuple[str, str]] = []
    for subject, token in (("a", "1"), ("b", "1"), ("c", "2"), ("d", ""), ("e", "11")):
        guard.enter(Guest(Viewer(subject, token=token), events))
    guard.revoked("1")
    assert events == [("expire", "a"), ("expire", "b")]
    guard.revoked("1")
    guard.revoked("none")
    assert len(events) == 2


def test_a_revocation_between_the_look_at_a_token_and_the_entry_counts() -> None:
    revoked: set[str] = set()
    guard = Guard(directory_of(), now_ms=Time(), is_revoked=lambda viewer: viewer.token in revoked)
    guest, other = Guest(Viewer("anna", token="1")), Guest(Viewer("bert", token="2"))
    revoked.add("1")
    guard.enter(guest)
    guard.enter(other)
    assert guest.events == [("expire", "anna")]
    assert other.events == []
    guard.revoked("1")
    assert guest.events == [("expire", "anna")]


def test_a_change_of_a_community_has_those_looked_at_whom_it_may_concern() -> None:
    guard, _, directory = guard_of(community("demo"), community("other"))
    events: list[tuple[str, str]] = []
    for subject, place in (("a", "demo"), ("b", "other"), ("c", None), ("d", "new")):
        guard.enter(Guest(Viewer(subject, community=place), events))
    guard.look()
    assert events == []
    change(directory, community("demo", name="Renamed"))
    guard.look()
    assert events == [("recheck", "a"), ("recheck", "c")]
    guard.look()
    assert len(events) == 2
    change(directory, community("new"))
    guard.look()
    assert events[2:] == [("recheck", "c"), ("recheck", "d")]


def test_who_fails_while_being_looked_at_keeps_nobody_else_in() -> None:
    guard, _, directory = guard_of(community("demo"))

    class Failing(Guest):
        def recheck(self) -> None:
            raise RuntimeError("recheck")

        def expire(self) -> None:
            super().expire()
            raise RuntimeError("expire")

    events: list[tuple[str, str]] = []
    for subject in ("a", "b", "c"):
        kind = Failing if subject == "b" else Guest
        guard.enter(kind(Viewer(subject, token="1", expires_ms=NOW_MS + 1000), events))
    change(directory, community("demo", name="Renamed"))
    with capture_logs() as logs:
        guard.look()
    # Whoever cannot be looked at is shown nothing more.
    assert events == [("recheck", "a"), ("expire", "b"), ("recheck", "c")]
    assert [line["log_level"] for line in logs] == ["error", "error"]
    events.clear()
    guard.enter(Failing(Viewer("b", token="1"), events))
    with capture_logs():
        guard.revoked("1")
    assert sorted(events) == [("expire", "a"), ("expire", "b"), ("expire", "c")]


def test_before_the_registry_is_read_nobody_is_an_operator_and_the_guard_looks_at_the_time_only() -> None:
    directory = directory_of(loaded=False)
    operator = Viewer("operator:", "operator", "demo", own=True)
    assert directory.seen_by(operator).operator is False
    time = Time()
    guard = Guard(directory, now_ms=time)
    guest = Guest(replace(operator, expires_ms=NOW_MS + 1000))
    guard.enter(guest)
    guard.look()
    assert guest.events == []
    time.now_ms += 10_000
    guard.look()
    assert guest.events == [("expire", "operator:")]

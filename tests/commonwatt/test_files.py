import resource

import pytest
from structlog.testing import capture_logs

from commonwatt.files import OTHERS, allow_files


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The limits of a system that is not this one."""
    limits = {"soft": 1024, "hard": 4096}
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limits["soft"], limits["hard"]))
    monkeypatch.setattr(resource, "setrlimit", lambda _, values: limits.update(soft=values[0], hard=values[1]))
    return limits


def warnings(connections: int) -> list[str]:
    with capture_logs() as logs:
        allow_files(connections)
    return [entry["event"] for entry in logs]


def test_files_are_raised_to_the_connections_and_no_further(system: dict[str, int]) -> None:
    assert warnings(2000) == []
    assert system == {"soft": 2000 + OTHERS, "hard": 4096}


def test_what_the_system_does_not_allow_is_warned_of(system: dict[str, int]) -> None:
    assert warnings(10_000) == ["fewer files may be open than connections are let in"]
    assert system == {"soft": 4096, "hard": 4096}


@pytest.mark.parametrize("soft", [20_000, resource.RLIM_INFINITY])
def test_what_is_enough_is_left_alone(system: dict[str, int], soft: int) -> None:
    system["soft"] = soft
    assert warnings(10_000) == []
    assert system["soft"] == soft


def test_without_a_hard_limit_all_is_allowed(system: dict[str, int]) -> None:
    system["hard"] = resource.RLIM_INFINITY
    assert warnings(10_000) == []
    assert system["soft"] == 10_000 + OTHERS

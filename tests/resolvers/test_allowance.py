"""Allowances: so often at once, then so often an hour, for each key alone."""

from resolvers.allowance import Allowance


class Clock:
    def __init__(self) -> None:
        self.now_ms = 1_900_000_000_000

    def __call__(self) -> int:
        return self.now_ms


def test_so_many_times_at_once_then_one_after_each_refill() -> None:
    clock = Clock()
    allowance = Allowance(3, refill_s=10, keys=10, now_ms=clock)
    assert [allowance.take("a") for _ in range(5)] == [0, 0, 0, 10, 10]
    clock.now_ms += 9_000
    assert allowance.take("a") == 1
    clock.now_ms += 1_000
    assert [allowance.take("a"), allowance.take("a")] == [0, 10]
    clock.now_ms += 3_600_000
    assert [allowance.take("a") for _ in range(4)] == [0, 0, 0, 10]


def test_each_key_has_its_own() -> None:
    allowance = Allowance(1, refill_s=10, keys=10, now_ms=Clock())
    assert [allowance.take("a"), allowance.take("b"), allowance.take("a")] == [0, 0, 10]


def test_what_is_given_back_can_be_taken_again() -> None:
    allowance = Allowance(1, refill_s=10, keys=10, now_ms=Clock())
    allowance.give_back("a")
    allowance.take("a")
    allowance.give_back("a")
    assert [allowance.take("a"), allowance.take("a")] == [0, 10]


def test_no_more_keys_are_remembered_than_are_allowed() -> None:
    allowance = Allowance(1, refill_s=10, keys=2, now_ms=Clock())
    for key in ("a", "b", "c"):
        assert allowance.take(key) == 0
    assert allowance.take("c") == 10
    assert allowance.take("b") == 10
    assert allowance.take("a") == 0

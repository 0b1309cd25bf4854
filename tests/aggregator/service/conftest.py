"""Aggregators of a test's own, which end with it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.aggregator.service.process import AggregatorProcess

Start = Callable[..., AggregatorProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts an aggregator: `start(url, *arguments, script=None, **environment)`."""
    started: list[AggregatorProcess] = []

    def begin(url: str, *arguments: str, script: str | None = None, **environment: str) -> AggregatorProcess:
        log = tmp_path / f"aggregator-{len(started)}.log"
        process = AggregatorProcess(url, log, *arguments, script=script, **environment)
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.code is None:
            process.kill()

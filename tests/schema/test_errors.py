from typing import Any, cast

import pytest
import strawberry
import structlog

from resolvers.alerts import Alerts
from resolvers.directory import Directory
from resolvers.live import Live
from schema.build import build_schema
from schema.context import Context


class BrokenDirectory:
    """Fails in every way that nobody foresaw, and says what no client may read."""

    def communities(self) -> Any:
        raise RuntimeError("password is hunter2")

    def community(self, key: str) -> Any:
        raise RuntimeError("password is hunter2")

    def household(self, key: str) -> Any:
        raise RuntimeError("password is hunter2")


@pytest.fixture
def schema() -> strawberry.Schema:
    return build_schema(make_reference=lambda: "ref-1")


@pytest.fixture
def context() -> Context:
    return Context(cast(Directory, BrokenDirectory()), cast(Live, None), cast(Alerts, None))


async def test_what_is_unexpected_is_masked_and_logged_with_a_reference(
    schema: strawberry.Schema, context: Context
) -> None:
    with structlog.testing.capture_logs() as logs:
        result = await schema.execute('{ __typename community(id: "demo") { id } }', context_value=context)
    assert result.data == {"__typename": "Query", "community": None}
    assert result.errors is not None
    (error,) = [one.formatted for one in result.errors]
    assert error["message"] == "internal error; quote the reference ref-1"
    assert error["extensions"] == {"code": "INTERNAL", "reference": "ref-1"}
    assert error["path"] == ["community"]
    assert "hunter2" not in str(result.errors)
    (line,) = logs
    assert line["reference"] == "ref-1"
    assert "hunter2" in str(line["exc_info"])


async def test_a_subscription_masks_what_is_unexpected_too(schema: strawberry.Schema, context: Context) -> None:
    stream = await schema.subscribe('subscription { community(id: "demo") { load } }', context_value=context)
    results = [result async for result in stream]
    (error,) = results[0].errors or []
    assert error.formatted["extensions"] == {"code": "INTERNAL", "reference": "ref-1"}
    assert "hunter2" not in str(error)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "Syntax Error"),
        ("{ x }", "Cannot query field 'x'"),
        ("query ($id: ID!) { community(id: $id) { id } }", "Variable '$id'"),
        ("{ community { id } }", "is required"),
    ],
)
async def test_errors_of_the_client_pass_as_they_are(
    schema: strawberry.Schema, context: Context, document: str, message: str
) -> None:
    with structlog.testing.capture_logs() as logs:
        result = await schema.execute(document, context_value=context)
    assert result.errors is not None
    assert message in result.errors[0].message
    assert not logs

"""The app: routes, middleware, and the background tasks that its lifespan owns."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any, Final

import msgspec
import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from strawberry.types.execution import PreExecutionError

from bus.client import Bus, BusError
from bus.registry import Registry
from resolvers.alerts import Alerts
from resolvers.directory import Directory
from resolvers.live import Live
from schema.build import Schema, build_schema, make_reference
from schema.context import Context
from schema.operations import Operations
from schema.plans import Planner
from server.endpoint import Endpoint
from server.files import Files
from server.frames import text_head
from server.headers import POLICY_GRAPHIQL, POLICY_WATCH, SecurityHeaders
from server.health import Readiness, show_health
from server.hub import Hub
from server.metrics import CountRequests, Metrics
from server.options import ServerOptions
from server.pages import home_page
from server.session import Desk
from server.sockets import Sockets

log = structlog.get_logger(__name__)

_RETRY_S: Final = 1.0


def create_app(bus: Bus, options: ServerOptions) -> Starlette:
    """Return the app. It uses `bus` until its lifespan ends and leaves it open."""
    directory = Directory(Registry(), now_ms=_now_ms)
    live = Live(bus, now_ms=_now_ms)
    alerts = Alerts(bus)
    schema, context = build_schema(), Context(directory, live, alerts)
    operations = Operations(schema.core)
    hub = Hub(Planner(schema.core, context, directory, make_reference), live.follow, text_head)
    metrics = Metrics(bus, directory, live, hub)
    desk = Desk(
        operations=operations,
        hub=hub,
        execute=partial(_execute, schema, context),
        stream=partial(_stream, schema, context),
        max_operations=options.max_operations,
        init_timeout_s=options.init_timeout_s,
        opened=metrics.websockets.inc,
        closed=metrics.websockets.dec,
    )
    endpoint = Endpoint(schema, context, options, Sockets(desk, options.allowed_origins))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_keep_running("registry", partial(directory.follow, bus))),
                group.create_task(_keep_running("live", live.run)),
                group.create_task(_keep_running("alerts", alerts.run)),
            ]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()

    async def show_home(_: Request) -> Response:
        return home_page(graphiql=options.development, watch=options.watch_directory is not None)

    routes: list[BaseRoute] = [
        Route("/", show_home),
        Route("/graphql", endpoint),
        WebSocketRoute("/graphql", endpoint),
        Route("/health", show_health),
        Route("/ready", Readiness(bus, directory, live, options.frame_age_s).show),
        Route("/metrics", metrics.show),
        Mount("/static", Files(options.static_directory, policy=POLICY_GRAPHIQL)),
    ]
    if options.watch_directory is not None:
        routes += [
            Route("/watch", lambda _: RedirectResponse("/watch/")),
            Mount("/watch", Files(options.watch_directory, policy=POLICY_WATCH, html=True)),
        ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(SecurityHeaders), Middleware(CountRequests, metrics=metrics)],
        exception_handlers={Exception: _show_error},
        lifespan=lifespan,
        max_body_size=options.max_body_bytes,
    )


async def _execute(
    schema: Schema, context: Context, query: str, name: str | None, variables: dict[str, Any] | None
) -> bytes:
    """Execute a query or mutation and return its result as JSON."""
    result = await schema.execute(query, variables, context, operation_name=name)
    answer: dict[str, Any] = {"data": result.data}
    if result.errors:
        answer["errors"] = [error.formatted for error in result.errors]
    return msgspec.json.encode(answer)


async def _stream(
    schema: Schema, context: Context, query: str, name: str | None, variables: dict[str, Any] | None
) -> AsyncIterator[tuple[bytes, bool]]:
    """Execute a subscription and yield its results as JSON, errors that end it last."""
    results = await schema.stream(query, variables, context, operation_name=name)
    async with aclosing(results):
        async for result in results:
            errors = [error.formatted for error in getattr(result, "errors", None) or ()]
            if isinstance(result, PreExecutionError):
                yield msgspec.json.encode(errors), True
                return
            answer: dict[str, Any] = {"data": getattr(result, "data", None)}
            yield msgspec.json.encode(answer | {"errors": errors} if errors else answer), False


async def _keep_running(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Run background work for ever; whatever it raises, begin it anew after a moment."""
    while True:
        try:
            await work()
        except BusError as error:
            log.warning("waiting for NATS", work=name, reason=str(error))
        except Exception:
            log.exception("background work failed, beginning anew", work=name)
        await asyncio.sleep(_RETRY_S)


async def _show_error(request: Request, error: Exception) -> Response:
    reference = make_reference()
    log.error("internal error", reference=reference, path=request.url.path, exc_info=error)
    body = {
        "message": f"internal error; quote the reference {reference}",
        "extensions": {"code": "INTERNAL", "reference": reference},
    }
    return JSONResponse({"errors": [body]}, status_code=500)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

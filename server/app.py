"""The app: routes, middleware, and the background tasks that its lifespan owns."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from bus.client import Bus
from bus.errors import BusError
from bus.registry import Registry
from resolvers.alerts import Alerts
from resolvers.directory import Directory
from resolvers.history import History
from resolvers.live import Live
from resolvers.meters import Meters
from resolvers.rejections import Rejections
from resolvers.statements import Statements
from schema.build import build_schema, make_reference
from schema.context import Context
from schema.operations import Operations
from schema.plans import Planner
from server.addresses import Proxies
from server.bodies import LimitBodies
from server.desk import Desk
from server.documents import Documents
from server.drain import Drain
from server.endpoint import Endpoint
from server.errands import Work
from server.execution import Executor
from server.files import Files
from server.frames import text_head
from server.gate import Gate
from server.headers import POLICY_GRAPHIQL, POLICY_WATCH, SecurityHeaders, cross_origin
from server.health import Readiness, show_health
from server.http import Answers
from server.hub import Hub
from server.links import Links
from server.metrics import CountRequests, Metrics
from server.options import ServerOptions
from server.oversight import COMMUNITY, community_routes
from server.pages import home_page
from server.pairing import DEVICE, build_pairing
from server.requests import LimitRequests
from server.signin import Guard, SignIn
from server.sockets import Sockets
from server.sse import Streams
from server.statements import StatementEndpoint

log = structlog.get_logger(__name__)

_RETRY_S: Final = 1.0
_LOAD_S: Final = 5.0
_PACKED: Final = [Middleware(GZipMiddleware, minimum_size=512)]


def create_app(bus: Bus, options: ServerOptions) -> Starlette:
    """Return the app; raise DocumentError. It uses `bus` until its lifespan ends and leaves it open."""
    registry = Registry()
    directory = Directory(registry, now_ms=_now_ms)
    live = Live(bus, now_ms=_now_ms, took=lambda seconds: metrics.frame_seconds.observe(seconds))
    alerts = Alerts(bus)
    pairing, pairing_routes = build_pairing(
        bus,
        options.tokens,
        now_ms=_now_ms,
        token_life_s=options.device_token_life_s,
        public_url=options.public_url,
    )
    history, links = History(bus), Links(options.tokens, now_ms=_now_ms, public_url=options.public_url)
    statements = Statements(history, registry, links.make)
    schema = build_schema()
    everything = Context(
        directory,
        live,
        alerts,
        pairing=pairing,
        history=history,
        statements=statements,
        rejections=Rejections(bus, now_ms=_now_ms),
        meters=Meters(bus, live, now_ms=_now_ms),
    )
    sign_in = SignIn(options.tokens, everything, directory)
    guard = Guard(directory, now_ms=_now_ms, is_revoked=sign_in.is_revoked)
    executor = Executor(schema)
    documents = Documents(
        Operations(schema.core, options.limits.documents, suggestions=options.development),
        (DEVICE, COMMUNITY, *options.document_directories),
        trusted_only=options.trusted_only,
        development=options.development,
    )
    hub = Hub(Planner(schema.core, everything, make_reference), live.follow, text_head)
    for operation in documents.trusted:
        hub.planner.prepare(operation)
    proxies = Proxies(options.trusted_proxies)
    gate = Gate(options.limits, proxies)
    metrics = Metrics(bus, directory, live, hub, gate.census)
    desk = Desk(
        documents=documents,
        hub=hub,
        sign_in=sign_in,
        guard=guard,
        work=Work(executor.execute, executor.stream),
        max_operations=options.limits.operations,
        init_timeout_s=options.limits.init_timeout_s,
        opened=metrics.websockets.inc,
        closed=metrics.websockets.dec,
        tallied=partial(metrics.tallied, "websocket"),
    )
    streams = Streams(hub, executor, guard, options.keep_alive_s, partial(metrics.tallied, "event-stream"))
    drain = Drain(options.drain_s)
    endpoint = Endpoint(
        sign_in,
        Answers(schema.core, documents, executor),
        streams,
        Sockets(desk, options.allowed_origins, gate.census),
        options,
        drain,
        gate.census,
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            revocations = options.tokens.revocations if options.tokens else None

            async def follow_registry() -> None:
                if revocations is not None:  # until it is known who may not ask, nobody is answered
                    await revocations.wait_loaded()
                await directory.follow(bus)

            tasks = [
                group.create_task(_keep_running("registry", follow_registry)),
                group.create_task(_keep_running("live", live.run)),
                group.create_task(_keep_running("alerts", alerts.run)),
                group.create_task(_keep_running("guard", guard.run)),
            ]
            if revocations is not None:
                revocations.on_change(guard.revoked)
                tasks.append(group.create_task(_keep_running("revocations", partial(revocations.follow, bus))))
            try:
                # Clients wait in the backlog. An answer that the registry is not read would end their subscriptions.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOAD_S):
                        await directory.wait_loaded()
                yield
            finally:
                for task in tasks:
                    task.cancel()

    async def show_home(_: Request) -> Response:
        return home_page(
            graphiql=options.development,
            watch=options.watch_directory is not None,
            pairing=options.tokens is not None,
        )

    routes: list[BaseRoute] = [
        Route("/", show_home),
        Route("/graphql", endpoint),
        WebSocketRoute("/graphql", endpoint),
        WebSocketRoute("/{path:path}", _show_no_socket),
        Route("/health", show_health),
        Route("/ready", Readiness(bus, directory, live, options.frame_age_s, drain).show),
        Route("/metrics", metrics.show),
        Mount("/static", Files(options.static_directory, policy=POLICY_GRAPHIQL), middleware=_PACKED),
        *pairing_routes,
        *community_routes(),
        *StatementEndpoint(statements, links, sign_in, directory, everything.turns, now_ms=_now_ms).routes,
    ]
    if options.watch_directory is not None:
        routes += [
            Route("/watch", lambda _: RedirectResponse("/watch/")),
            Mount("/watch", Files(options.watch_directory, policy=POLICY_WATCH, html=True), middleware=_PACKED),
        ]
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(CountRequests, metrics=metrics),
            *cross_origin(options.allowed_origins),
            Middleware(LimitRequests, most=options.limits.requests_per_second, uncounted=proxies),
            Middleware(LimitBodies, most=options.limits.body_bytes),
        ],
        exception_handlers={Exception: _show_error},
        lifespan=lifespan,
    )
    app.middleware_stack = SecurityHeaders(app.build_middleware_stack())  # around what answers errors, too
    app.state.gate = gate  # for whoever runs the app: its connections come through it
    app.state.drain, app.state.streams = drain, streams  # and these end it
    return app


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


async def _show_no_socket(socket: WebSocket) -> None:
    """Say that a WebSocket is not at this address: left alone, Starlette says 403, as if a token were refused."""
    await socket.send_denial_response(Response(status_code=404))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

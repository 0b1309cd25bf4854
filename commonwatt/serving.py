"""The server, wired: connected to NATS, in one process or in several on one port."""

import asyncio
import gc
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import structlog

from commonwatt.files import allow_files
from commonwatt.running import connected
from commonwatt.settings import Settings, SettingsError
from commonwatt.signing import tokens_of
from commonwatt.supervisor import Child, Supervisor
from commonwatt.waiting import answering
from server.options import ServerOptions
from server.run import listen, serve

log = structlog.get_logger(__name__)

_END_S: Final = 6.0
WATCH: Final = Path(__file__).resolve().parent.parent / "watch" / "web"


async def serve_by_workers(settings: Settings, workers: int) -> None:
    """Run several servers on one port, each on its own; the system spreads connections over them.

    A port that is taken, or 0, is refused: all of them must know it. So is a key for tokens that is not usable.
    """
    if settings.port == 0:
        raise SettingsError("port 0 with several workers: they need one port to share, choose it with --port")
    if settings.sign_in == "required":
        tokens_of(settings)
    listen(settings.host, settings.port).close()
    command = [sys.executable, "-m", "commonwatt", "serve", "--shared-port"]
    children = [Child(f"serve-{number}", command, environment=settings.environment) for number in range(1, workers + 1)]
    log.info("serving", workers=workers, url=f"http://{settings.host}:{settings.port}")
    await Supervisor(children, end_s=settings.drain + _END_S).run()


async def serve_graphql(settings: Settings, *, shared: bool = False) -> None:
    """Run the server; with `shared` others may listen on its port."""
    tokens = tokens_of(settings) if settings.sign_in == "required" else None
    if tokens is not None and settings.token_secret:
        log.warning("whoever knows the development secret can sign in as anybody")
    options = ServerOptions(
        development=settings.development,
        watch_directory=WATCH if WATCH.is_dir() else None,
        allowed_origins=settings.allowed_origins,
        document_directories=(WATCH.parent, *settings.documents),
        trusted_only=not settings.development if settings.trusted_only is None else settings.trusted_only,
        trusted_proxies=settings.trusted_proxies,
        limits=settings.limits,
        tokens=tokens,
        drain_s=settings.drain,
        device_token_life_s=settings.device_token_days * 86_400,
        public_url=settings.public_url,
    )
    allow_files(settings.max_connections)
    async with AsyncExitStack() as stack:
        async with answering(settings.host, settings.port, shared=shared):
            bus = await stack.enter_async_context(connected(settings, "serve"))
        # What is there by now stays; a full collection of a large heap would stop the world for long.
        gc.collect()
        gc.freeze()
        gc.set_threshold(100_000, 50, 100)
        if tokens is not None:
            keys = asyncio.create_task(tokens.follow_keys())
            stack.callback(keys.cancel)
        await serve(
            bus,
            options,
            settings.host,
            settings.port,
            on_started=lambda url: log.info("serving", url=url),
            shared=shared,
        )

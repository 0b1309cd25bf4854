"""Logging: lines for people on a terminal, JSON for machines; to stderr, never with a secret."""

import logging
import sys
from typing import Literal

import structlog


def configure(process: str, level: str, form: Literal["auto", "json", "text"]) -> None:
    """Send this process's log to stderr; `process` stands in every line."""
    text = form == "text" or (form == "auto" and sys.stderr.isatty())
    renderer: structlog.types.Processor
    if text:
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), pad_event_to=32, exception_formatter=structlog.dev.plain_traceback
        )
    else:
        renderer = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S" if text else "iso", utc=not text),
            structlog.processors.format_exc_info if not text else _as_it_is,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
    # Libraries log through the standard module; only what goes wrong in them matters here.
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    logging.getLogger("nats").setLevel(logging.CRITICAL)
    # It warns of each request that is none, of which a stranger can send any number.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)


def _as_it_is(_: structlog.types.WrappedLogger, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    return event

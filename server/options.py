"""What a server can be told: frozen, validated by whoever reads the configuration."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from server.tokens import Tokens

STATIC: Final = Path(__file__).parent / "static"


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How a server behaves."""

    development: bool = False
    """Show GraphiQL."""
    static_directory: Path = STATIC
    """Where the built assets lie; served below /static/. GraphiQL's page is graphiql/index.html."""
    watch_directory: Path | None = None
    """Where the watch page lies; served below /watch/."""
    allowed_origins: tuple[str, ...] = ()
    """Origins, beside the server's own, whose pages may open a WebSocket; "*" allows all."""
    frame_age_s: float = 60.0
    """How old the latest frame of a followed community may be for the server to be ready."""
    max_body_bytes: int = 64 * 1024
    """The largest HTTP request body, and the largest WebSocket message, in bytes."""
    max_operations: int = 100
    """How many operations one WebSocket may have open."""
    init_timeout_s: float = 10.0
    """How long a WebSocket may take to send connection_init."""
    document_directories: tuple[Path, ...] = ()
    """Folders of trusted documents, `*.graphql`, which clients may ask for by their id."""
    trusted_only: bool = False
    """Refuse all other documents."""
    tokens: Tokens | None = None
    """Says who asks; None: sign-in is off, everybody sees everything."""
    keep_alive_s: float = 12.0
    """How long an event stream may be silent before a comment is sent."""
    drain_s: int = 2
    """How long the end of the server waits for connections, in whole seconds."""

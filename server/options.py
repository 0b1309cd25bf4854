"""What a server can be told: frozen, validated by whoever reads the configuration."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from server.limits import Limits
from server.tokens import Tokens

STATIC: Final = Path(__file__).parent / "static"


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How a server behaves."""

    development: bool = False
    """Show GraphiQL, and the schema to everybody."""
    static_directory: Path = STATIC
    """Where the built assets lie; served below /static/. GraphiQL's page is graphiql/index.html."""
    watch_directory: Path | None = None
    """Where the watch page lies; served below /watch/."""
    allowed_origins: tuple[str, ...] = ()
    """Origins, beside the server's own, whose pages may open a WebSocket and read answers; "*" allows all."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks of proxies in front, which say whose requests they bring."""
    frame_age_s: float = 60.0
    """How old the latest frame of a followed community may be for the server to be ready."""
    document_directories: tuple[Path, ...] = ()
    """Folders of trusted documents, `*.graphql`, which clients may ask for by their id."""
    trusted_only: bool = False
    """Refuse all other documents, but to operators."""
    limits: Limits = field(default_factory=Limits)
    """The most that clients may ask for."""
    tokens: Tokens | None = None
    """Says who asks; None: sign-in is off, everybody sees everything."""
    device_token_life_s: int = 365 * 86_400
    """How long the token of a paired device lasts."""
    public_url: str | None = None
    """The address under which people reach the server; None: that which they asked at."""
    keep_alive_s: float = 12.0
    """How long an event stream may be silent before a comment is sent."""
    drain_s: int = 2
    """How long the end of the server waits for connections, in whole seconds."""

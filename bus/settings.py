"""How to reach NATS: what a connection needs to know."""

import ssl
from pathlib import Path

from pydantic import BaseModel, ConfigDict


class NatsSettings(BaseModel):
    """How to reach NATS: address, TLS files, and one of credentials file, nkey seed or user."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = "nats://127.0.0.1:4222"
    credentials: Path | None = None
    nkey_seed: Path | None = None
    user: str | None = None
    password: str | None = None
    inbox_prefix: str | None = None
    """Below which answers come; None: an nkey has an inbox of its own, others `_INBOX`."""
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None

    def tls(self) -> ssl.SSLContext | None:
        """Return the TLS context that the settings ask for; raise OSError when a file is not readable."""
        if not (self.tls_ca or self.tls_cert or self.url.startswith("tls://")):
            return None
        context = ssl.create_default_context(cafile=self.tls_ca)
        if self.tls_cert:
            context.load_cert_chain(self.tls_cert, self.tls_key)
        return context

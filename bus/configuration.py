"""The configuration of a nats-server that is not embedded: where it listens, TLS, MQTT, JetStream, accounts."""

import json
from dataclasses import dataclass
from typing import Final

_HEAD: Final = """\
# nats-server for Commonwatt. Written by `commonwatt nats config`, then yours to change; what may be
# changed and why is in docs/nats.md. Who may sign in, and do what, is in accounts/.

server_name: commonwatt
"""

_TLS_EXAMPLE: Final = """\
# Without TLS whoever is on the way reads everything: do without on this machine or its containers' own network only.
# tls {
#   cert_file: "/etc/nats/tls/server.pem"
#   key_file: "/etc/nats/tls/server.key"
#   # With these two, clients must show a certificate of that authority, beside their key or password.
#   ca_file: "/etc/nats/tls/clients-ca.pem"
#   verify: true
# }
"""

_MQTT_HEAD: Final = """\
# Meters that speak MQTT: topic readings/<community>/<meter>, user and password of `commonwatt meter add`.
"""

_MQTT_EXAMPLE: Final = """\
# mqtt { listen: "0.0.0.0:8883", tls { cert_file: "/etc/nats/tls/server.pem", key_file: "/etc/nats/tls/server.key" } }
"""

_JETSTREAM: Final = """\
jetstream {{
  store_dir: {store}
  # Acknowledged means on disk: the default of two minutes loses messages on power loss.
  sync_interval: always
}}
"""

_ACCOUNTS: Final = """\
system_account: SYSTEM
accounts {{ include {path} }}
"""


@dataclass(frozen=True, slots=True)
class Tls:
    """Files as nats-server sees them. With `client_ca` clients must show a certificate of that authority."""

    cert: str
    key: str
    client_ca: str | None = None

    def block(self, name: str = "tls", indent: str = "") -> str:
        """Return them as nats-server's configuration has them."""
        lines = [f"cert_file: {json.dumps(self.cert)}", f"key_file: {json.dumps(self.key)}"]
        if self.client_ca is not None:
            lines += [f"ca_file: {json.dumps(self.client_ca)}", "verify: true"]
        return f"{indent}{name} {{\n" + "".join(f"{indent}  {line}\n" for line in lines) + f"{indent}}}\n"


def server_configuration(
    *,
    listen: str = "0.0.0.0:4222",
    monitor: str = "127.0.0.1:8222",
    store: str = "/data",
    accounts: str = "accounts/accounts.conf",
    tls: Tls | None = None,
    mqtt: str | None = None,
) -> str:
    """Return a whole configuration. `listen`, `monitor` and `mqtt` are host:port, `store` is a folder.

    `accounts` is relative to where the configuration will lie, as nats-server reads it.
    """
    parts = [
        f"{_HEAD}listen: {json.dumps(listen)}\n",
        f"# Health and monitoring, for this machine alone.\nhttp: {json.dumps(monitor)}\n",
        _TLS_EXAMPLE if tls is None else tls.block(),
    ]
    if mqtt is None:
        parts.append(_MQTT_HEAD + _MQTT_EXAMPLE)
    else:
        parts.append(_MQTT_HEAD + mqtt_block(mqtt, tls))
    return "\n".join([*parts, jetstream(store), include(accounts)])


def mqtt_block(listen: str, tls: Tls | None = None) -> str:
    """Return the block that has nats-server listen for MQTT at host:port."""
    return f"mqtt {{\n  listen: {json.dumps(listen)}\n{tls.block(indent='  ') if tls else ''}}}\n"


def jetstream(store: str) -> str:
    """Return the block that turns JetStream on, durable as Commonwatt promises."""
    return _JETSTREAM.format(store=json.dumps(store))


def include(path: str) -> str:
    """Return what includes the accounts; nats-server takes `path` as relative to the including file."""
    return _ACCOUNTS.format(path=json.dumps(path))

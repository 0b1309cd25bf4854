"""How devices get in: users, their credentials, having nats-server know them, and what to enter in a device."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table

from bus.accounts import FOLDER, Accounts, Login
from bus.client import Bus
from bus.settings import NatsSettings
from commonwatt.running import connect
from commonwatt.settings import Settings, SettingsError

_PATIENCE_S: Final = 10.0
_PLAIN_PORT: Final = 1883
_TLS_PORT: Final = 8883
_LISTEN: Final = re.compile(r'^mqtt \{\s*listen: "[^"]*:(\d+)"', re.MULTILINE)


class Address(NamedTuple):
    """Where devices connect."""

    host: str
    port: int


class Access:
    """The users of one nats-server, and how to sign in to it as one who may register meters."""

    def __init__(self, settings: Settings, directory: Path | None) -> None:
        """`directory` of the users; None: that in the data directory."""
        self.settings = settings
        self.accounts = Accounts(directory or settings.data_dir / FOLDER)

    async def connect(self) -> Bus:
        """Connect as the settings say; where they name nobody, with the operator's key among the users."""
        nats = self.settings.nats
        seed = self.accounts.seed("operator")
        settings = self.settings
        if not (nats.nkey_seed or nats.credentials or nats.user) and seed.is_file():
            settings = settings.model_copy(update={"nats_nkey_seed": seed})
        return await connect(settings, "registry", patience_s=_PATIENCE_S)

    def as_meter(self, login: Login) -> NatsSettings:
        """Return how a meter signs in that may use NATS's own protocol."""
        plain = self.settings.nats.model_copy(update={"nkey_seed": None, "credentials": None})
        return plain.model_copy(update={"user": login.user, "password": login.password, "inbox_prefix": login.inbox})

    def has(self, user: str) -> bool:
        """Say whether there is a user of this name."""
        return any(known.name == user for known in self.accounts.users)

    async def reload(self) -> bool:
        """Have nats-server know its users; return False where there is no key with which to ask it."""
        from bus.administration import reload_server

        seed = self.accounts.seed("reloader")
        if not seed.is_file():
            return False
        nats = self.settings.nats.model_copy(update={"nkey_seed": seed, "credentials": None, "user": None})
        await reload_server(nats)
        return True

    async def must_reload(self) -> None:
        """Have nats-server know its users; raise SettingsError where there is no key with which to ask it."""
        if not await self.reload():
            raise SettingsError(
                f"there is no key {self.accounts.seed('reloader')}, with which nats-server is told of new credentials: "
                "name the data directory of its `up` with --data-dir, or the directory of its users with --dir"
            )

    def address(self, wanted: str | None) -> Address:
        """Return where devices connect: as asked for, as nats-server's configuration says, or where it usually is."""
        where = urlsplit(self.settings.nats_url.partition(",")[0])
        host = where.hostname or "127.0.0.1"
        if wanted is not None:
            named, _, port = wanted.rpartition(":")
            if not port.isdigit() or not 0 < int(port) < 65536:
                raise SettingsError(f"--mqtt {wanted!r}: expected HOST:PORT, such as nats.example.org:8883")
            return Address(named or host, int(port))
        users = self.accounts.directory
        for path in (users / "nats-server.conf", users.parent / "nats" / "nats-server.conf"):
            if path.is_file() and (found := _LISTEN.search(path.read_text("utf-8"))):
                return Address(host, int(found[1]))
        return Address(host, _TLS_PORT if where.scheme == "tls" else _PLAIN_PORT)


def entries(login: Login, address: Address, topic: str) -> dict[str, str]:
    """Return what to enter in a device that speaks MQTT, by the names of its fields."""
    return {
        "host": address.host,
        "port": str(address.port),
        "topic": topic,
        "user": login.user,
        "password": login.password,
    }


def show(rows: Mapping[str, str], sentences: Sequence[str], *, as_json: bool) -> None:
    """Print what to enter, and what to know; as JSON for programs."""
    if as_json:
        sys.stdout.write(json.dumps({**rows, "notes": list(sentences)}) + "\n")
        return
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if rows:
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        for name, value in rows.items():
            table.add_row(name.replace("_", " "), value)
        console.print("Enter in the device (the password is shown this once):\n")
        console.print(table)
        console.print()
    for sentence in sentences:
        console.print(sentence)

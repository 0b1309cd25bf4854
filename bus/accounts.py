"""Who may sign in to NATS: a directory of users, and the account files that nats-server includes.

    <directory>/<role>/nats.nk           the seed of a process of ours; move it to where that process runs
    <directory>/gateways/<name>/nats.nk  that of a gateway
    <directory>/accounts/users.json      every user, without secrets: public nkeys, hashes of passwords
    <directory>/accounts/accounts.conf   for nats-server: the accounts and our own processes
    <directory>/accounts/meters.conf     for nats-server: meters and gateways; it can be read again at any time

Nothing of it is readable by others. The two configurations are written from users.json and the
permissions of this version; passwords and seeds that exist are kept until renewed.
"""

import base64
import fcntl
import json
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import bcrypt
import msgspec

from bus.errors import ConfigurationError
from bus.identifiers import check_id
from bus.nkey import new_nkey, public_nkey
from bus.permissions import (
    METERS_IMPORTS,
    Account,
    Role,
    account_of,
    device_user,
    inbox_of,
    meter_user,
    permissions_of,
)
from bus.topics import check_prefix, subject_of, topic_of

FOLDER: Final = "nats-users"
"""What the directory is called in a data directory."""

ANYBODY: Final = "anybody"
"""Whom a client without credentials is taken for, where nats-server's `no_auth_user` says so."""

_GATEWAY: Final = "gateway-"
_PASSWORD_BYTES: Final = 16
_BCRYPT_COST: Final = 4
"""The least there is: passwords are 128 random bits, and all meters may come back in the same second."""

_MAX_PAYLOAD: Final = 64 * 1024
_MAX_SUBSCRIPTIONS: Final = 2000
"""Of one connection: a gateway has some for each of its devices."""
_HEAD: Final = "# Written by `commonwatt nats` from users.json: changes made here are lost.\n"


class AccountsError(ConfigurationError):
    """Raised when the directory of users cannot give what is asked of it."""


class User(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Someone who may sign in, by nkey or by password."""

    name: str
    role: Role
    communities: tuple[str, ...] = ()
    """Those that it is narrowed to; none: all."""
    nkey: str = ""
    """Its public key."""
    password: str = ""
    """The bcrypt hash of its password."""
    meter: str = ""
    mqtt_only: bool = False
    """May not use NATS's own protocol, whose headers say more than a reading needs."""
    below: tuple[str, ...] = ()
    """Of a device: the subjects below which it publishes."""

    @property
    def inbox(self) -> str:
        """The prefix of the subjects on which it gets answers."""
        return inbox_of(self.nkey or self.name)


class Login(NamedTuple):
    """What to enter in a meter; the password is not kept anywhere."""

    user: str
    password: str
    subject: str
    inbox: str


class Accounts:
    """The users of one NATS, in a directory. All of it may raise OSError, or AccountsError."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._folder = directory / "accounts"

    @property
    def configuration(self) -> Path:
        """The file that nats-server includes in its `accounts`."""
        return self._folder / "accounts.conf"

    @property
    def users(self) -> tuple[User, ...]:
        """All users, in the order in which they came."""
        path = self._folder / "users.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=tuple[User, ...])
        except FileNotFoundError:
            return ()
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise AccountsError(
                f"{path} is not readable ({error}): put a copy of it back, or delete it and give every meter "
                "new credentials"
            ) from None

    def seed(self, name: str) -> Path:
        """Return where the seed of a process lies; those of gateways in a folder of their own."""
        path = self.directory / name / "nats.nk"
        gateway = name.removeprefix(_GATEWAY)
        if gateway == name or path.is_file():  # one that was made before there was the folder
            return path
        return self.directory / "gateways" / gateway / "nats.nk"

    def keep(self, roles: Iterable[Role], *, simulate: Sequence[str] | None = None, renew: bool = False) -> list[str]:
        """Give each role a key if it has none, a new one with `renew`; return the names of those that got one.

        With `simulate` there is a simulator, for these communities or, without any, for all.
        """
        wanted = [User(name=role, role=role) for role in roles]
        if simulate is not None:
            wanted.append(User(name="simulator", role="simulator", communities=_checked(simulate)))
        with self._changing() as users:
            return [user.name for user in wanted if self._give_key(users, user, renew=renew)]

    def open(self, *, to_anybody: bool) -> None:
        """Have a user, or none, that clients without credentials may be taken for, with every right in COMMONWATT."""
        with self._changing() as users:
            users.pop(ANYBODY, None)
            if to_anybody:
                users[ANYBODY] = User(name=ANYBODY, role="anybody")

    def add_gateway(self, name: str, communities: Sequence[str], *, renew: bool = False) -> Path:
        """Give a gateway a key for the meters of some communities (none: all); return where its seed lies."""
        user = User(name=f"{_GATEWAY}{check_id(name)}", role="gateway", communities=_checked(communities))
        with self._changing() as users:
            self._give_key(users, user, renew=renew)
        return self.seed(user.name)

    def add_meter(self, community: str, meter: str, *, mqtt_only: bool = False, renew: bool = False) -> Login:
        """Give a meter a user name and a password, which is returned and not kept.

        Raises AccountsError where it has one, unless `renew` asks for another.
        """
        name = meter_user(community, meter)
        password, hashed = _new_password()
        with self._changing() as users:
            if name in users and not renew:
                raise AccountsError(
                    f"{name} has credentials, and the password was shown when they were made: --rotate makes new ones"
                )
            users[name] = User(
                name=name,
                role="meter",
                communities=(community,),
                meter=meter,
                password=hashed,
                mqtt_only=mqtt_only,
            )
        return Login(name, password, f"readings.{name}", users[name].inbox)

    def add_device(self, community: str, device: str, topics: Sequence[str], *, renew: bool = False) -> Login:
        """Give a device that publishes below MQTT topics of its own a user name and a password; MQTT alone.

        The gateways of its community hear it. Raises AccountsError where it has a password, unless
        `renew` asks for another, and where a topic lies above or below another device's.
        """
        name = device_user(community, device)
        below = tuple(subject_of(check_prefix(topic)) for topic in topics)
        password, hashed = _new_password()
        with self._changing() as users:
            if name in users and not renew:
                raise AccountsError(
                    f"{name} has credentials, and the password was shown when they were made: --rotate makes new ones"
                )
            for other in users.values():
                for theirs in other.below if other.name != name else ():
                    if any(f"{one}.".startswith(f"{theirs}.") or f"{theirs}.".startswith(f"{one}.") for one in below):
                        raise AccountsError(
                            f"device {other.name} publishes below {topic_of(theirs)!r}: enter another topic in this one"
                        )
            users[name] = User(
                name=name, role="device", communities=(community,), password=hashed, mqtt_only=True, below=below
            )
        return Login(name, password, below[0], users[name].inbox)

    def restrict(self, name: str, *, mqtt_only: bool) -> None:
        """Have a meter that has a password use MQTT alone, or NATS's own protocol, too."""
        with self._changing() as users:
            users[name] = msgspec.structs.replace(users[name], mqtt_only=mqtt_only)

    def remove(self, name: str) -> None:
        """Forget a user; raise AccountsError where there is none of this name."""
        with self._changing() as users:
            if users.pop(name, None) is None:
                raise AccountsError(f"there is no user {name!r} in {self._folder}")
            self.seed(name).unlink(missing_ok=True)

    def _give_key(self, users: dict[str, User], user: User, *, renew: bool) -> bool:
        """Put a user among the others with the key that it has, or a new one; return whether it is new."""
        path = self.seed(user.name)
        known = users.get(user.name)
        new = renew or not (path.is_file() or known)
        if new:
            seed, public = new_nkey()
            _write(path, seed + "\n")
        elif path.is_file():
            public = public_nkey(path)
        else:  # the seed was moved to where it is used
            assert known is not None
            public = known.nkey
        users[user.name] = msgspec.structs.replace(user, nkey=public)
        return new

    @contextmanager
    def _changing(self) -> Iterator[dict[str, User]]:
        """Hand out all users by name; write them, and the files for nats-server, at the end. One at a time."""
        _make(self._folder)
        with os.fdopen(os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600), "r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            users = {user.name: user for user in self.users}
            yield users
            _write(self._folder / "users.json", _lines(msgspec.to_builtins(user) for user in users.values()))
            _write(self.configuration, _accounts(users.values()))
            _write(self._folder / "meters.conf", _HEAD + _users("METERS", users.values()))


def _new_password() -> tuple[str, str]:
    """Return a new password, and its hash."""
    password = base64.b32encode(secrets.token_bytes(_PASSWORD_BYTES)).decode("ascii").rstrip("=").lower()
    return password, bcrypt.hashpw(password.encode("ascii"), bcrypt.gensalt(_BCRYPT_COST)).decode("ascii")


def _accounts(users: Iterable[User]) -> str:
    exports = [{"service": subject, "accounts": ["METERS"]} for subject in METERS_IMPORTS]
    imports = [{"service": {"account": "COMMONWATT", "subject": subject}} for subject in METERS_IMPORTS]
    users = tuple(users)
    return (
        f"{_HEAD}\nSYSTEM {{\n{_users('SYSTEM', users)}}}\n\n"
        f"COMMONWATT {{\njetstream: enabled\nexports: {_lines(exports)}"
        f"{_users('COMMONWATT', users)}}}\n\n"
        # JetStream is there for MQTT, whose sessions nats-server keeps in the account of the device.
        f"METERS {{\njetstream: {{max_memory: 64MB, max_file: 256MB, max_streams: 8}}\n"
        f"limits: {{max_payload: {_MAX_PAYLOAD}, max_subscriptions: {_MAX_SUBSCRIPTIONS}}}\n"
        f'imports: {_lines(imports)}include "meters.conf"\n}}\n'
    )


def _users(account: Account, users: Iterable[User]) -> str:
    users = tuple(users)
    lines = [
        f"  # {user.name}\n  {json.dumps(_entry(user, users))}\n" for user in users if account_of(user.role) == account
    ]
    return f"users: [\n{''.join(lines)}]\n"


def _below(user: User, users: Iterable[User]) -> tuple[str, ...]:
    """Return the subjects below which a device publishes, or a gateway hears the devices of its communities."""
    if user.role != "gateway":
        return user.below
    return tuple(
        subject
        for other in users
        if other.role == "device" and (not user.communities or set(other.communities) <= set(user.communities))
        for subject in other.below
    )


def _entry(user: User, users: Iterable[User]) -> dict[str, Any]:
    entry: dict[str, Any] = {"nkey": user.nkey} if user.nkey else {"user": user.name}
    if user.password:
        kinds = ["MQTT"] if user.mqtt_only else ["STANDARD", "MQTT"]
        entry |= {"password": user.password, "allowed_connection_types": kinds}
    permissions = permissions_of(user.role, user.inbox, user.communities, user.meter, _below(user, users))
    if permissions is not None:
        entry["permissions"] = {
            "publish": {"allow": permissions.publish},
            "subscribe": {"allow": permissions.subscribe},
        }
        if permissions.answers:
            entry["permissions"]["allow_responses"] = {"max": 1, "expires": "2m"}
    return entry


def _checked(communities: Sequence[str]) -> tuple[str, ...]:
    return tuple(check_id(community) for community in communities)


def _lines(values: Iterable[Any]) -> str:
    """Return a JSON array with each value on a line of its own."""
    return "[" + ",".join(f"\n  {json.dumps(value)}" for value in values) + "\n]\n"


def _make(folder: Path) -> None:
    """Have a folder, and the one above, that nobody else may look into; one that there is stays as it is."""
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.mkdir(exist_ok=True, mode=0o700)


def _write(path: Path, text: str) -> None:
    """Write a file that nobody else may read, at once or not at all."""
    _make(path.parent)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise

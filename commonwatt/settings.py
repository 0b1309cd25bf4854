"""Settings: one frozen value, read once, from COMMONWATT_* and an optional TOML file.

The environment is stronger than the file, a command's options are stronger than both. An
unknown key or a bad value stops the start, naming the key and the form expected.
"""

import ipaddress
import json
import os
import re
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import platformdirs
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from bus.community import describe
from bus.errors import ConfigurationError
from bus.settings import NatsSettings
from bus.streams import Retention
from commonwatt.limits import LimitSettings

_PREFIX: Final = "COMMONWATT_"
_FILE: Final = "COMMONWATT_CONFIG"
_OTHERS: Final = {_FILE, "COMMONWATT_TOKEN"}
"""Variables that are no settings: where the file is, and what `commonwatt watch` signs in with."""
_NEAR: Final = 0.85
_ORIGIN: Final = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/?#@\s]+")
_FILES: Final = ("nats_credentials", "nats_nkey_seed", "nats_tls_ca", "nats_tls_cert", "nats_tls_key", "token_key")


class SettingsError(ConfigurationError):
    """Raised when a setting is unknown or not usable; one line per fault."""


def _list(value: Any) -> Any:
    """Read a list that comes as JSON, as it does from the environment."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError("not JSON") from None


def _origins(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not _ORIGIN.fullmatch(value):
            raise ValueError(f"{value!r} is no origin, such as https://watch.example, nor *")
    return values


def _servers(value: str) -> str:
    for one in value.split(","):
        scheme, _, rest = one.strip().rpartition("://")
        if scheme not in ("", "nats", "tls") or not rest:
            raise ValueError(f"{one.strip()!r} is no address of NATS")
    return value


class Settings(LimitSettings):
    """All that can be configured. Each key is an environment variable, too: COMMONWATT_ and the key in capitals."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="forbid")

    nats_url: Annotated[
        str,
        AfterValidator(_servers),
        Field(description="NATS, as nats://host:port or tls://host:port; several with commas"),
    ] = "nats://127.0.0.1:4222"
    nats_credentials: Annotated[Path | None, Field(description="credentials file (JWT and seed)")] = None
    nats_nkey_seed: Annotated[Path | None, Field(description="file with an nkey seed")] = None
    nats_user: Annotated[str | None, Field(description="user name")] = None
    nats_password: Annotated[str | None, Field(description="password of nats_user", repr=False)] = None
    nats_inbox_prefix: Annotated[
        str | None,
        Field(
            pattern=r"^[A-Za-z0-9_.-]{1,128}$",
            description="subject below which NATS's answers come; default: an nkey's own inbox, else _INBOX",
        ),
    ] = None
    nats_tls_ca: Annotated[Path | None, Field(description="certificate of the authority that signed NATS's")] = None
    nats_tls_cert: Annotated[Path | None, Field(description="client certificate")] = None
    nats_tls_key: Annotated[Path | None, Field(description="key of the client certificate")] = None
    nats_open: Annotated[
        bool, Field(description="let clients without credentials do everything on the NATS of `up`, on this machine")
    ] = True
    replicas: Annotated[int, Field(ge=1, le=5, description="copies of every stream in a NATS cluster")] = 1
    readings_days: Annotated[
        float, Field(ge=17, le=3660, description="days that readings are kept; over the finality delay")
    ] = 35
    host: Annotated[str, Field(description="address that the server listens on")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="port of the server; 0: any free one")] = 8000
    development: Annotated[bool, Field(description="show GraphiQL, take any document")] = False
    device_token_days: Annotated[
        int, Field(ge=1, le=400, description="days that the token of a paired device lasts")
    ] = 365
    public_url: Annotated[
        str | None,
        Field(pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$", description="address of the server as people reach it"),
    ] = None
    drain: Annotated[
        int, Field(ge=0, le=300, description="seconds over which clients are told to come back when the server ends")
    ] = 2
    allowed_origins: Annotated[
        tuple[str, ...],
        NoDecode,
        BeforeValidator(_list),
        AfterValidator(_origins),
        Field(description="further origins whose pages may open a WebSocket and read answers, a JSON list"),
    ] = ()
    documents: Annotated[
        tuple[Path, ...],
        NoDecode,
        BeforeValidator(_list),
        Field(description="folders of trusted documents beside the watch's own, a JSON list"),
    ] = ()
    trusted_only: Annotated[
        bool | None,
        Field(description="take trusted documents only, but of operators any; default: unless `development`"),
    ] = None
    sign_in: Annotated[
        Literal["required", "off"],
        Field(description="off: whoever reaches the server sees everything; on a loopback address only"),
    ] = "required"
    token_key: Annotated[
        Path | None,
        Field(description="file with the key that signs tokens; default: token-key.pem in `data_dir`, made if absent"),
    ] = None
    token_secret: Annotated[
        str | None,
        Field(
            min_length=32, repr=False, description="secret for HS256 tokens, 32 characters at least; for development"
        ),
    ] = None
    token_issuer: Annotated[str | None, Field(description="issuer whose tokens count, too; needs the next two")] = None
    token_audience: Annotated[str | None, Field(description="audience that its tokens are for")] = None
    token_jwks: Annotated[str | None, Field(description="its JSON Web Key Set: a file or an https address")] = None
    metrics_port: Annotated[
        int, Field(ge=0, le=65535, description="port of the aggregator's metrics on `host`; 0: none")
    ] = 0
    history_file: Annotated[
        Path | None, Field(description="the history's file; default: history/history.duckdb in `data_dir`")
    ] = None
    history_memory: Annotated[int, Field(ge=100, description="MB that the history's database may take in memory")] = 400
    history_metrics_port: Annotated[
        int, Field(ge=0, le=65535, description="port of the history's metrics on `host`; 0: none")
    ] = 0
    gateway_buffer_readings: Annotated[
        int,
        Field(ge=1000, description="readings that a gateway keeps on disk while NATS is away; beyond, the oldest go"),
    ] = 2_000_000
    gateway_buffer_mb: Annotated[int, Field(ge=1, description="MB that they may take")] = 512
    gateway_metrics_port: Annotated[
        int, Field(ge=0, le=65535, description="port of a gateway's metrics on `host`; 0: none")
    ] = 0
    data_dir: Annotated[Path, Field(description="where `up` keeps its state, and the key for tokens lies")] = Path(
        platformdirs.user_data_dir("commonwatt", appauthor=False)
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Field(description="least level logged")] = "info"
    log_format: Annotated[
        Literal["auto", "json", "text"], Field(description="auto: text on a terminal, JSON elsewhere")
    ] = "auto"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Options first, then the environment, then the file that COMMONWATT_CONFIG names."""
        sources: list[PydanticBaseSettingsSource] = [init_settings, env_settings]
        if path := os.environ.get(_FILE):
            sources.append(TomlConfigSettingsSource(settings_cls, Path(path)))
        return tuple(sources)

    @property
    def nats(self) -> NatsSettings:
        """How to reach NATS."""
        return NatsSettings(
            url=self.nats_url,
            credentials=self.nats_credentials,
            nkey_seed=self.nats_nkey_seed,
            user=self.nats_user,
            password=self.nats_password,
            inbox_prefix=self.nats_inbox_prefix,
            tls_ca=self.nats_tls_ca,
            tls_cert=self.nats_tls_cert,
            tls_key=self.nats_tls_key,
        )

    @property
    def environment(self) -> dict[str, str]:
        """The same settings as environment variables, for child processes: secrets stay out of command lines."""
        values = self.model_dump(mode="json", exclude_none=True)
        texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}
        return {f"{_PREFIX}{name.upper()}": text for name, text in texts.items()}

    @property
    def retention(self) -> Retention:
        """How long streams keep what."""
        return Retention(readings_days=self.readings_days, replicas=self.replicas)


def read_settings(**options: Any) -> Settings:
    """Return the settings; `options` that are not None win. Raises SettingsError."""
    known = {f"{_PREFIX}{name.upper()}" for name in Settings.model_fields} | _OTHERS
    unknown = sorted(name for name in os.environ if name.startswith(_PREFIX) and name not in known)
    if unknown:
        near = "".join(f", but {name} is" for name in get_close_matches(unknown[0], known, 1, _NEAR))
        raise SettingsError(f"{unknown[0]} is no setting{near}; known are {', '.join(sorted(known))}")
    path = os.environ.get(_FILE)
    if path and not Path(path).is_file():
        raise SettingsError(f"{_FILE} names {path!r}, which is no file")
    try:
        settings = Settings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        raise SettingsError("\n".join(_named(line) for line in describe(error))) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not TOML: {error}") from None
    for name in _FILES:
        file: Path | None = getattr(settings, name)
        if file is not None and not file.is_file():
            raise SettingsError(f"{name} names {str(file)!r}, which is no file")
    _check_sign_in(settings)
    return settings


def _check_sign_in(settings: Settings) -> None:
    if settings.sign_in == "off" and not _is_loopback(settings.host):
        raise SettingsError(
            f"sign_in is off and host is {settings.host!r}: whoever reaches that address would see everything; "
            "leave sign-in on (commonwatt token issue makes tokens), or listen on 127.0.0.1"
        )
    issuer = {name: getattr(settings, name) for name in ("token_issuer", "token_audience", "token_jwks")}
    absent = [name for name, value in issuer.items() if not value]
    if 0 < len(absent) < len(issuer):
        raise SettingsError(f"setting {absent[0]} is missing: {', '.join(issuer)} are given together")
    jwks = settings.token_jwks
    if jwks and "://" not in jwks and not Path(jwks).is_file():
        raise SettingsError(f"token_jwks names {jwks!r}, which is no file and no address")
    if jwks and "://" in jwks and not _is_safe(jwks):
        raise SettingsError(
            "token_jwks must be an https address without a user, or http on a loopback address: "
            "who changes the keys on their way here signs in as anybody"
        )


def _is_safe(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return False
    if not host or "@" in parts.netloc:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _named(line: str) -> str:
    key = line.partition(":")[0]
    field = Settings.model_fields.get(key)
    if field and not field.repr:  # a secret
        line = line.partition(" (got ")[0]
    expected = f"; expected: {field.description}" if field else ""
    return f"setting {line}{expected} ({_PREFIX}{key.upper()})"

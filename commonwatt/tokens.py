"""`commonwatt token`: issue, show and revoke the tokens with which people, devices and scripts sign in."""

import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from commonwatt.options import with_logging, with_nats
from commonwatt.running import connect, run
from commonwatt.settings import Settings, SettingsError

token = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Issue, show and revoke tokens to sign in with.",
)

Role = Literal["member", "operator", "device"]

_PATIENCE_S = 10.0
_MAX_GIVEN: Final = 16 * 1024
_MEMBER: Final = re.compile(r"[A-Za-z0-9._@-]{1,128}")
_DataDir = Annotated[
    Path | None,
    typer.Option(help="Where the key for tokens lies, made if absent.", show_default="the user's data directory"),
]
_MAX_ID: Final = 255


@token.command(
    "issue",
    help=(
        "Print a token, alone on one line. It needs the deployment's key and no NATS.\n\n"
        "Without --member it is for the community's operator, for whoever lives in --home, or without a home for "
        "anybody of the community, who sees its totals. With --member it is for that member of the registry, and "
        "--home only narrows.\n\n**Examples**\n\n"
        "    commonwatt token issue --role operator --community demo\n\n"
        "    commonwatt token issue --role member --community demo --home home-01 --ttl P30D\n\n"
        "    commonwatt token issue --role device --community demo --home home-01 --ttl P400D\n\n"
        "    commonwatt token issue --role member --community demo --member anna@example.org"
    ),
)
@with_logging
def issue(
    settings: Settings,
    role: Annotated[Role, typer.Option(help="What the bearer may be at most.")],
    community: Annotated[str, typer.Option(help="Id of the community.", metavar="ID")],
    home: Annotated[
        str | None, typer.Option(help="Home, as home-01 or demo.home-01: nothing of others.", metavar="ID")
    ] = None,
    member: Annotated[str | None, typer.Option(help="Member of the registry whose token it is.", metavar="ID")] = None,
    ttl: Annotated[str, typer.Option(help="How long it lasts: 1 s to 400 days.", metavar="DURATION")] = "PT1H",
    data_dir: _DataDir = None,
) -> None:
    """Print a token."""

    async def work() -> None:
        from commonwatt.signing import tokens_of

        subject, homes = _whose(role, community, home, member)
        lasts_s = _seconds(ttl)
        text = tokens_of(settings).issue(subject=subject, role=role, community=community, homes=homes, ttl_s=lasts_s)
        sys.stdout.write(text + "\n")

    run("token", settings, work)


@token.command(
    "show",
    help=(
        "Print what a token says, and whether it counts here; exit code 1 if not.\n\n"
        "Whether it was revoked is not looked up: that needs NATS.\n\n**Examples**\n\n"
        "    commonwatt token show\n\n    commonwatt token show eyJhbGciOi"
    ),
)
@with_logging
def show(
    settings: Settings,
    text: Annotated[str, typer.Argument(help="The token, or - for stdin.", metavar="TOKEN")] = "-",
    data_dir: _DataDir = None,
) -> None:
    """Print what a token says."""
    refused = ""

    async def work() -> None:
        nonlocal refused
        from commonwatt.signing import tokens_of
        from server.tokens import TokenError

        given = _given(text)
        header, claims = _said(given)
        tokens = tokens_of(settings)
        await tokens.fetch_keys()
        try:
            tokens.verify(given)
        except TokenError as error:
            refused = error.reason
        said = {"header": header, "claims": claims, "ends": _time(claims.get("exp")), "valid": not refused}
        if refused:
            said["reason"] = refused
        sys.stdout.write(json.dumps(said, indent=2) + "\n")

    run("token", settings, work)
    raise typer.Exit(1 if refused else 0)


@token.command(
    "revoke",
    help=(
        "Revoke a token for good, within 2 seconds on every server and on open connections too.\n\n"
        "**Examples**\n\n    commonwatt token revoke\n\n"
        "    commonwatt token revoke 9ca3a6473151504c2f33a358b914838f"
    ),
)
@with_nats
def revoke(
    settings: Settings,
    text: Annotated[
        str, typer.Argument(help="The token or its id (jti), or - for stdin.", metavar="TOKEN_OR_ID")
    ] = "-",
) -> None:
    """Revoke a token."""

    async def work() -> None:
        from bus.revocations import revoke
        from commonwatt.signing import now_ms
        from server.tokens import LEEWAY_S, MAX_LIFE_S

        given = _given(text)
        token_id: object = given
        if given.count(".") == 2:
            token_id = _said(given)[1].get("jti")
        if not isinstance(token_id, str):
            raise SettingsError("the token has no id (jti), so it cannot be revoked: it counts until it ends")
        if not 0 < len(token_id) <= _MAX_ID:
            raise SettingsError(f"{token_id[:40]!r} is no id of a token: 1 to {_MAX_ID} characters")
        bus = await connect(settings, "token", patience_s=_PATIENCE_S)
        try:
            # When it ends is taken from no text that might be forged: it is remembered for as long as any may last.
            await revoke(bus, token_id, now_ms() + (MAX_LIFE_S + LEEWAY_S) * 1000)
        finally:
            await bus.close()
        sys.stdout.write(f"revoked {token_id}\n")

    run("token", settings, work)


def _whose(role: Role, community: str, home: str | None, member: str | None) -> tuple[str, tuple[str, ...]]:
    """Return the subject of a token and the homes that it is narrowed to."""
    from bus.identifiers import InvalidIdError, check_id
    from resolvers.access import COMMUNITY, HOUSEHOLD, OPERATOR
    from server.tokens import home_of

    check_id(community)
    try:
        homes = () if home is None else (home_of(community, home),)
    except InvalidIdError:
        raise
    except ValueError as error:
        raise SettingsError(str(error)) from None
    if role == "device" and not homes:
        raise SettingsError("a device shows one home: say which with --home")
    if member is not None:
        if _MEMBER.fullmatch(member) is None:
            raise SettingsError(f"{member[:80]!r} is no id of a member: 1 to 128 of A-Z, a-z, 0-9 and . _ @ -")
        return member, homes
    if role == "operator":
        return OPERATOR, homes
    return (HOUSEHOLD + homes[0], ()) if homes else (COMMUNITY, ())


def _seconds(ttl: str) -> int:
    from schema.scalars import parse_duration
    from server.tokens import MAX_LIFE_S

    try:
        seconds = parse_duration(ttl).total_seconds()
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= MAX_LIFE_S:
        raise SettingsError(f"ttl is {ttl[:40]!r}; expected 1 s to {MAX_LIFE_S // 86_400} days, such as PT1H or P30D")
    return int(seconds)


def _given(text: str) -> str:
    """Return what was given as an argument, or on stdin: there no list of processes shows it."""
    return (sys.stdin.read(_MAX_GIVEN) if text == "-" else text).strip()


def _said(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    from server.tokens import TokenError, read_unverified

    try:
        return read_unverified(text)
    except TokenError as error:
        raise SettingsError(f"this is not a token: {error.reason}") from None


def _time(seconds: object) -> str | None:
    try:
        return datetime.fromtimestamp(float(str(seconds)), UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return None

"""Pairing over HTTP: the endpoints at which devices get tokens (RFC 8628, RFC 6749), and the page /device.

Requests are forms, answers JSON, refusals those of RFC 6749, 5.2. What a member does on the page
goes through /graphql like everything else.
"""

import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from bus.client import Bus
from bus.pairing import Pairings
from bus.revocations import revoke
from resolvers.allowance import Allowance
from resolvers.errors import GrantError, NotReadyError
from resolvers.grants import INTERVAL_S, LIFE_S, TOKEN_LIFE_S, Grants
from resolvers.pairing import Pairing
from server.addresses import client_key
from server.files import Files
from server.headers import POLICY_NOTHING
from server.tokens import Tokens

DEVICE: Final = Path(__file__).parent / "device"
"""The page's files, and its trusted documents."""

GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:device_code"
MAX_CLIENT: Final = 64
"""Characters of a client_id."""
BEGIN_AT_ONCE: Final = 20
BEGIN_EVERY_S: Final = 6.0
"""How many pairings an address may begin at once, and then one more in so many seconds, for each process."""

_MAX_FORM: Final = 4096
_MAX_FIELDS: Final = 16
_ADDRESSES: Final = 10_000
_FORM: Final = "application/x-www-form-urlencoded"
_CLIENT: Final = re.compile(rf"[\x20-\x7e]{{1,{MAX_CLIENT}}}")
_NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_POLICY: Final = f"{POLICY_NOTHING}; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:"


class FormError(Exception):
    """Raised when a request is not what RFC 6749 asks for; `code` is one of its errors."""

    def __init__(self, code: str, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.code = code
        self.status = status


class DeviceEndpoints:
    """The two endpoints. `public_url` is where the page is for people; None: where the request went to."""

    def __init__(self, grants: Grants, *, now_ms: Callable[[], int], public_url: str | None = None) -> None:
        self._grants = grants
        self._public_url = public_url
        self._begun = Allowance(BEGIN_AT_ONCE, refill_s=BEGIN_EVERY_S, keys=_ADDRESSES, now_ms=now_ms)

    async def begin(self, request: Request) -> Response:
        """Answer /oauth/device_authorization (RFC 8628, 3.1 and 3.2)."""
        try:
            form = await _read_form(request)
            client = _client_of(form)
            if form.get("scope"):
                raise FormError("invalid_scope", "there are no scopes; leave it out")
            retry_s = self._begun.take(client_key(request.client.host if request.client else None))
            if retry_s:
                return _busy(429, retry_s, "this address begins too many pairings; try again later")
            begun = await self._grants.begin(client)
        except FormError as error:
            return _refusal(error.status, error.code, str(error))
        except GrantError as error:
            return _refusal(400, error.code, str(error))
        except NotReadyError as error:
            return _busy(503, INTERVAL_S, str(error))
        page = f"{self._public_url or _origin_of(request)}/device"
        body = {
            "device_code": begun.device_code,
            "user_code": begun.user_code,
            "verification_uri": page,
            "verification_uri_complete": f"{page}?code={begun.user_code}",
            "expires_in": LIFE_S,
            "interval": INTERVAL_S,
        }
        return JSONResponse(body, headers=_NO_STORE)

    async def redeem(self, request: Request) -> Response:
        """Answer /oauth/token (RFC 8628, 3.4 and 3.5)."""
        try:
            form = await _read_form(request)
            if not form.get("grant_type"):
                raise FormError("invalid_request", "grant_type is missing")
            if form["grant_type"] != GRANT_TYPE:
                raise FormError("unsupported_grant_type", f"grant_type must be {GRANT_TYPE}")
            client = _client_of(form)
            if not form.get("device_code"):
                raise FormError("invalid_request", "device_code is missing")
            granted = await self._grants.redeem(form["device_code"], client)
        except FormError as error:
            return _refusal(error.status, error.code, str(error))
        except GrantError as error:
            return _refusal(400, error.code, str(error))
        except NotReadyError as error:
            return _busy(503, INTERVAL_S, str(error))
        body = {
            "access_token": granted.token,
            "token_type": "Bearer",
            "expires_in": granted.expires_in_s,
            "home": granted.home,
        }
        return JSONResponse(body, headers=_NO_STORE)


def build_pairing(
    bus: Bus,
    tokens: Tokens | None,
    *,
    now_ms: Callable[[], int],
    token_life_s: int = TOKEN_LIFE_S,
    public_url: str | None = None,
) -> tuple[Pairing | None, list[BaseRoute]]:
    """Return what pairs devices for members, None while sign-in is off, and the routes of devices and of the page."""
    pairings = Pairings(bus)
    issue, pairing = None, None
    if tokens is not None:
        issue = tokens.issue
        pairing = Pairing(pairings, revoke=partial(revoke, bus), now_ms=now_ms, token_life_s=token_life_s)
    grants = Grants(pairings, issue=issue, now_ms=now_ms, token_life_s=token_life_s)
    return pairing, device_routes(DeviceEndpoints(grants, now_ms=now_ms, public_url=public_url))


def device_routes(endpoints: DeviceEndpoints) -> list[BaseRoute]:
    """Return the routes of the endpoints, and of the page with its files."""
    return [
        Route("/oauth/device_authorization", endpoints.begin, methods=["POST"]),
        Route("/oauth/token", endpoints.redeem, methods=["POST"]),
        Route("/device", _show_page),
        Mount("/device", Files(DEVICE, policy=_POLICY)),
    ]


async def _show_page(_: Request) -> Response:
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"}
    return FileResponse(DEVICE / "index.html", headers=headers)


async def _read_form(request: Request) -> Mapping[str, str]:
    """Return the fields of a form that have a value; raise FormError."""
    if request.headers.get("authorization", "")[:6].lower() == "basic ":
        raise FormError("invalid_client", "clients have no passwords here; send client_id in the form", 401)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise FormError("invalid_request", f"the content type must be {_FORM}")
    body = await request.body()
    if len(body) > _MAX_FORM:
        raise FormError("invalid_request", f"the form has {len(body)} bytes; at most {_MAX_FORM} are allowed", 413)
    try:
        fields = parse_qsl(body.decode("ascii"), errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise FormError(
            "invalid_request", f"the body must be a form of at most {_MAX_FIELDS} fields, in UTF-8"
        ) from None
    form: dict[str, str] = {}
    for name, value in fields:
        if name in form:
            raise FormError("invalid_request", "a parameter is given twice")
        form[name] = value
    return form


def _client_of(form: Mapping[str, str]) -> str:
    client = form.get("client_id", "")
    if not client:
        raise FormError("invalid_request", "client_id is missing: what the device calls itself")
    if _CLIENT.fullmatch(client) is None:
        raise FormError("invalid_request", f"client_id must be 1 to {MAX_CLIENT} printable characters of ASCII")
    return client


def _origin_of(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}"


def _refusal(status: int, code: str, text: str) -> Response:
    headers: dict[str, Any] = dict(_NO_STORE)
    if status == 401:
        headers["WWW-Authenticate"] = "Basic"
    return JSONResponse({"error": code, "error_description": text}, status_code=status, headers=headers)


def _busy(status: int, retry_s: float, text: str) -> Response:
    headers = {"Retry-After": str(math.ceil(retry_s))} | _NO_STORE
    body = {"error": "temporarily_unavailable", "error_description": text}
    return JSONResponse(body, status_code=status, headers=headers)

"""Lines over HTTP: a conditional GET, an event stream, and the two requests of pairing.

Each is one request, whose answer is told as events (docs/protocol.md). Bodies are bounded; nothing is repeated.
"""

import json
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp

from watch import events as on
from watch.address import is_loopback
from watch.blocks import Block, BlockError, Blocks
from watch.commands import Get, Stream
from watch.failure import lost, lost_by_status, retry_ms
from watch.line import NOT_FOUND, Party, Tell
from watch.text import printable
from watch.transport import Limits, parameters

_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
_JSON: Final = "application/graphql-response+json"
_STREAM: Final = "text/event-stream"
_NO_SERVER: Final = "no GraphQL there"
_CHUNK: Final = 16 * 1024
_LINE: Final = 4
"""Bytes of a header beside its name and value; of a head, beside its lines."""


class _Request:
    """One request; what comes back is counted."""

    def __init__(self, party: Party, tell: Tell) -> None:
        self._party = party
        self._tell = tell

    async def run(self) -> None:
        """Ask, and tell what is answered."""
        try:
            async with _session(self._party.address.graphql, self._party.limits) as session:
                await self._ask(session)
        except (aiohttp.ClientError, OSError, BlockError) as error:
            self._tell(lost(error))

    async def _ask(self, session: aiohttp.ClientSession) -> None:
        raise NotImplementedError

    def _headers(self, accept: str, etag: str | None = None) -> dict[str, str]:
        headers = {"Accept": accept}
        if self._party.token:
            headers["Authorization"] = f"Bearer {self._party.token}"
        if etag is not None:
            headers["If-None-Match"] = etag
        return headers

    def _url(self, document: str, variables: Mapping[str, Any]) -> str:
        party = self._party
        asked = parameters(party.documents[document], variables, by_text=party.by_text)
        flat = {name: value if isinstance(value, str) else _compact(value) for name, value in asked.items()}
        separator = "&" if "?" in party.address.graphql else "?"
        return f"{party.address.graphql}{separator}{urlencode(flat)}"

    def _count(self, response: aiohttp.ClientResponse, sent: int = 0) -> None:
        request = response.request_info
        asked = f"{request.method} {request.url.raw_path_qs} HTTP/1.1"
        head = sum(len(name) + len(value) + _LINE for name, value in request.headers.items())
        answer = sum(len(name) + len(value) + _LINE for name, value in response.raw_headers)
        self._party.meter.count(went=len(asked) + head + _LINE + sent, messages=1)
        self._party.meter.count(came=len("HTTP/1.1 200 OK") + answer + _LINE, messages=1)

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        most = self._party.limits.message_bytes
        body = b""
        async for chunk in response.content.iter_chunked(_CHUNK):
            self._party.meter.count(came=len(chunk))
            body += chunk
            if len(body) > most:
                raise BlockError(f"an answer of over {most} bytes")
        return body

    def _read(self, body: str | bytes) -> dict[str, Any] | None:
        with self._party.meter.parsing():
            try:
                answer = json.loads(body)
            except (ValueError, RecursionError):
                return None
        return answer if isinstance(answer, dict) else None


class GetLine(_Request):
    """A query by GET, conditional where there is a tag."""

    def __init__(self, party: Party, tell: Tell, command: Get) -> None:
        super().__init__(party, tell)
        self._command = command

    async def _ask(self, session: aiohttp.ClientSession) -> None:
        asked = self._command
        headers = self._headers(f"{_JSON}, application/json;q=0.9", asked.etag)
        async with session.get(self._url(asked.document, asked.variables), headers=headers) as response:
            self._count(response)
            date = _date(response)
            if response.status == 304:
                self._tell(on.Unchanged(asked.id, date))
                return
            answer = self._read(await self._body(response))
        errors = answer.get("errors") if answer is not None else None
        if self._party.learns(errors):
            await self._ask(session)
            return
        data = answer.get("data") if answer is not None else None
        etag = response.headers.get("ETag")
        if isinstance(data, dict):
            self._tell(on.Result(asked.id, data, errors if isinstance(errors, list) else (), etag, date))
        elif response.status in (401, 403, 429) or response.status >= 500 or not isinstance(errors, list):
            self._tell(_lost(response, _NO_SERVER))
        else:
            self._tell(on.Errors(asked.id, errors))


class StreamLine(_Request):
    """A subscription by event stream, one connection for the one operation."""

    def __init__(self, party: Party, tell: Tell, command: Stream) -> None:
        super().__init__(party, tell)
        self._command = command
        self._retry = 0

    async def _ask(self, session: aiohttp.ClientSession) -> None:
        asked = self._command
        url = self._url(asked.document, asked.variables)
        async with session.get(url, headers=self._headers(_STREAM)) as response:
            self._count(response)
            if response.status != 200 or response.content_type != _STREAM:
                self._tell(_lost(response, "no event stream there"))
                return
            self._tell(on.Opened())
            again = await self._follow(response)
        if again:
            await self._ask(session)

    async def _follow(self, response: aiohttp.ClientResponse) -> bool:
        """Tell what the stream says to its end; return whether to ask again, by text."""
        blocks = Blocks(self._party.limits.message_bytes)
        async for chunk in response.content.iter_any():
            self._party.meter.count(came=len(chunk))
            for block in blocks.feed(chunk):
                if self._learns(block):
                    return True
                if self._take(block):
                    return False
        self._tell(on.Lost(reason="the stream ended", retry=self._retry))
        return False

    def _learns(self, block: Block) -> bool:
        if block.event != "next" or self._party.by_text or NOT_FOUND not in block.data:
            return False
        answer = self._read(block.data)
        return answer is not None and self._party.learns(answer.get("errors"))

    def _take(self, block: Block) -> bool:
        """Tell what a block says; return whether it was the last."""
        if block.retry is not None:
            self._retry = block.retry
        if block.event == "complete":
            self._tell(on.Ended(self._command.id))
            return True
        if block.event != "next":
            self._tell(on.Heard())
            return False
        self._party.meter.count(messages=1)
        answer = self._read(block.data)
        data = None if answer is None else answer.get("data")
        errors = None if answer is None else answer.get("errors")
        if isinstance(data, dict):
            self._tell(on.Result(self._command.id, data, errors if isinstance(errors, list) else ()))
        elif isinstance(errors, list) and errors:
            self._tell(on.Errors(self._command.id, errors))
        else:
            self._tell(on.Lost(garbage=True, reason=f"not a GraphQL result: {printable(block.data)}"))
            return True
        return False


class AuthorizeLine(_Request):
    """Asks for a code; `client` is what the watch calls itself."""

    def __init__(self, party: Party, tell: Tell, client: str) -> None:
        super().__init__(party, tell)
        self._client = client

    async def _ask(self, session: aiohttp.ClientSession) -> None:
        await self._post(session, self._party.address.authorization, {"client_id": self._client})

    async def _post(self, session: aiohttp.ClientSession, url: str, form: dict[str, str]) -> None:
        body = urlencode(form).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        async with session.post(url, data=body, headers=headers) as response:
            self._count(response, len(body))
            answer = self._read(await self._body(response))
        error = answer.get("error") if answer is not None else None
        if isinstance(error, str):
            self._tell(on.Denied(error, _retry(response)))
        elif response.status == 429 or response.status >= 500:
            self._tell(_lost(response, _NO_SERVER))
        elif response.status != 200 or answer is None:
            self._tell(on.Denied(f"HTTP status {response.status}"))
        else:
            self._tell(self._answered(answer))

    def _answered(self, answer: dict[str, Any]) -> on.Event:
        texts = [answer.get(name) for name in ("device_code", "user_code", "verification_uri")]
        complete, interval, life = (answer.get(n) for n in ("verification_uri_complete", "interval", "expires_in"))
        if not all(isinstance(text, str) for text in texts) or not isinstance(life, int):
            return on.Denied("the answer has no code")
        device_code, user_code, uri = (str(text) for text in texts)
        return on.Code(
            device_code=device_code,
            user_code=printable(user_code, 40),
            verification_uri=printable(uri),
            verification_uri_complete=printable(complete) if isinstance(complete, str) else None,
            interval=min(60, max(1, interval)) if isinstance(interval, int) else 5,
            expires_in=min(3600, max(1, life)),
        )


class PollLine(AuthorizeLine):
    """Asks for the token."""

    def __init__(self, party: Party, tell: Tell, client: str, device_code: str) -> None:
        super().__init__(party, tell, client)
        self._device_code = device_code

    async def _ask(self, session: aiohttp.ClientSession) -> None:
        form = {"grant_type": _GRANT, "device_code": self._device_code, "client_id": self._client}
        await self._post(session, self._party.address.token, form)

    def _answered(self, answer: dict[str, Any]) -> on.Event:
        token, home = answer.get("access_token"), answer.get("home")
        if isinstance(token, str) and token and isinstance(home, str) and home:
            return on.Paired(token, home)
        return on.Denied("the answer has no token")


def _session(url: str, limits: Limits) -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=limits.connect_s)
    return aiohttp.ClientSession(timeout=timeout, trust_env=not is_loopback(url), max_line_size=8190)


def _lost(response: aiohttp.ClientResponse, instead: str) -> on.Lost:
    if response.status == 200:
        return on.Lost(garbage=True, reason=instead)
    return lost_by_status(response.status, instead, _retry(response))


def _retry(response: aiohttp.ClientResponse) -> int:
    return retry_ms(response.headers.get("Retry-After", ""))


def _date(response: aiohttp.ClientResponse) -> int | None:
    try:
        return round(parsedate_to_datetime(response.headers["Date"]).timestamp() * 1000)
    except (KeyError, ValueError, OverflowError):
        return None


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))

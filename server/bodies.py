"""Bodies of requests, bounded: what is too large is answered with 413, as early as that is known."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.refusals import body_too_large


class BodyError(Exception):
    """Raised by `receive` where a body goes on over the limit; not to be caught by who reads it."""


class LimitBodies:
    """Refuses bodies over `most` bytes, by what the request says of them or by what has come."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _announced(scope) > self._most:
            await body_too_large(self._most).send(send)
            return
        taken, answered = 0, False

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            if message["type"] == "http.request":
                taken += len(message.get("body", b""))
                if taken > self._most:
                    raise BodyError
            return message

        async def note(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self._app(scope, bounded, note)
        except BodyError:
            if not answered:
                await body_too_large(self._most).send(send)


def _announced(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and len(value) <= 20:
            return int(value)
    return 0

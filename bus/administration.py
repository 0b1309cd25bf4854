"""What nats-server is told as its system account: to read its configuration again."""

import json
from typing import Final

from nats.aio.client import Client
from nats.errors import Error, NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError

from bus.connection import Connection, connect_options, user_of
from bus.errors import BusError, RefusedError, UnavailableError
from bus.settings import NatsSettings

_PATIENCE_S: Final = 10.0
_PERMISSION: Final = "permissions violation"


class ReloadError(BusError):
    """Raised when nats-server did not take its configuration: it goes on with the one before; the text says why."""


async def reload_server(settings: NatsSettings) -> str:
    """Have the nats-server at the address of the settings read its configuration again; return its name.

    Raises ReloadError, UnavailableError, or RefusedError where the settings may not ask for it.
    """
    said: list[Exception] = []

    async def remember(error: Exception) -> None:
        said.append(error)

    client = Connection()
    try:
        try:
            await client.connect(**connect_options(settings, "reload", remember), allow_reconnect=False)
            answer = await _ask(client)
        except (Error, OSError, NatsTimeoutError) as error:
            reason = str(said[-1] if said else error)
            if _PERMISSION in reason or "authorization violation" in reason.lower():
                raise RefusedError(
                    f"{user_of(settings)} may not have nats-server reload: the key of the role reloader may "
                    "(docs/nats.md)",
                    "",
                ) from None
            raise UnavailableError(f"no nats-server that reloads at {settings.url}: {reason or repr(error)}") from None
    finally:
        await client.close()
    if "error" in answer:
        raise ReloadError(f"nats-server kept the configuration that it had: {answer['error'].get('description')}")
    return str(answer["server"]["name"])


async def _ask(client: Client) -> dict[str, dict[str, str]]:
    subject = f"$SYS.REQ.SERVER.{client._server_info['server_id']}.RELOAD"
    try:
        reply = await client.request(subject, b"", timeout=_PATIENCE_S)
    except NoRespondersError:
        raise Error("it does not take this from the account that signed in") from None
    answer: dict[str, dict[str, str]] = json.loads(reply.data)
    return answer

"""What nats-server is told as its system account: to read its configuration again."""

import asyncio
import json
from typing import Any, Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error, NoRespondersError

from bus.connection import Connection, connect_options
from bus.errors import BusError, UnavailableError
from bus.refusals import Refusals
from bus.settings import NatsSettings

_PATIENCE_S: Final = 10.0


class ReloadError(BusError):
    """Raised when nats-server did not take its configuration: it goes on with the one before; the text says why."""


async def reload_server(settings: NatsSettings) -> str:
    """Have the nats-server at the address of the settings read its configuration again; return its name.

    Raises ReloadError, UnavailableError, or RefusedError where the settings may not ask for it.
    """
    refusals = Refusals(settings)
    why = ""

    async def remember(error: Exception) -> None:
        nonlocal why
        if not refusals.take(error):
            why = str(error)

    client = Connection()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await client.connect(**connect_options(settings, "reload", remember) | {"allow_reconnect": False})
            answer = await _ask(client, refusals)
    except (Error, OSError, TimeoutError) as error:
        raise UnavailableError(f"no nats-server at {settings.url} that reloads: {why or error!r}") from None
    finally:
        await client.close()
    if "error" in answer:
        raise ReloadError(f"nats-server kept the configuration that it had: {answer['error'].get('description')}")
    return str(answer["server"]["name"])


async def _ask(client: Client, refusals: Refusals) -> dict[str, Any]:
    subject = f"$SYS.REQ.SERVER.{client._server_info['server_id']}.RELOAD"
    with refusals.watch([subject]) as refused:
        asking: asyncio.Task[Msg] = asyncio.ensure_future(client.request(subject, b"", timeout=_PATIENCE_S))
        waiting: set[asyncio.Future[Any]] = {asking, refused}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise refused.result()
            answer: dict[str, Any] = json.loads(asking.result().data)
        except NoRespondersError:
            raise Error("nobody in the account that signed in may ask for it") from None
        finally:
            asking.cancel()
    return answer

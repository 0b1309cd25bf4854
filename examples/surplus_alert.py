"""Say when a community has surplus to use, and when it is over. Reconnects by itself.

python examples/surplus_alert.py --community demo --on 1000 --off 200

The server must know the document beside this script (COMMONWATT_DOCUMENTS='["examples"]'): only its id is sent. The
token is that of a member or an operator, from --token or COMMONWATT_TOKEN.
"""

import argparse
import asyncio
import os
import random
import sys
from contextlib import aclosing
from hashlib import sha256
from pathlib import Path
from typing import Any

from gql import Client, GraphQLRequest
from gql.transport.exceptions import TransportConnectionFailed, TransportError, TransportQueryError
from gql.transport.websockets import WebsocketsTransport

DOCUMENT = Path(__file__).with_suffix(".graphql").read_text("utf-8")


class TrustedDocument(GraphQLRequest):
    """A document of which the id is sent, not the text."""

    @property
    def payload(self) -> dict[str, Any]:
        """What goes over the wire."""
        return {"documentId": sha256(DOCUMENT.rstrip("\n").encode()).hexdigest(), "variables": self.variable_values}


class Alarm:
    """On at `on_w` and more, off at `off_w` and less; in between it stays, so that it does not flutter."""

    def __init__(self, on_w: float, off_w: float) -> None:
        self.on_w, self.off_w, self.on = on_w, off_w, False

    def turns(self, surplus_w: float) -> bool:
        """Take a new value; tell whether the alarm went on or off with it."""
        before = self.on
        self.on = surplus_w > self.off_w if before else surplus_w >= self.on_w
        return self.on is not before


def socket_url(url: str) -> str:
    """http://host:8000 → ws://host:8000/graphql"""
    base = url.removeprefix("http").removeprefix("ws").rstrip("/").removesuffix("/graphql")
    return f"ws{base}/graphql"


async def alert(url: str, community: str, token: str | None, count: int, alarm: Alarm) -> None:
    """Print each turn of `alarm`, over `count` messages, or without end for 0."""
    request = TrustedDocument(DOCUMENT, variable_values={"community": community})
    while True:
        transport = WebsocketsTransport(
            socket_url(url),
            subprotocols=["graphql-transport-ws"],
            init_payload={"authorization": f"Bearer {token}"} if token else {},
        )
        try:
            async with Client(transport=transport) as session, aclosing(session.subscribe(request)) as results:
                async for result in results:
                    state = result["community"]
                    if alarm.turns(state["surplusPower"]):
                        word = "use it now" if alarm.on else "over"
                        print(f"{state['measuredAt']}  {state['surplusPower']} W  {word}", flush=True)
                    count -= 1
                    if count == 0:
                        return
        except TransportConnectionFailed as error:
            print(f"{url}: {error.__cause__ or error}, trying again", file=sys.stderr, flush=True)
        await asyncio.sleep(random.uniform(0, 5))  # noqa: S311 - spreads the watchers, keeps no secret


def main() -> None:
    arguments = argparse.ArgumentParser(description="Say when a community has surplus, and when it is over.")
    arguments.add_argument("--url", default="http://127.0.0.1:8000", help="the server (default: %(default)s)")
    arguments.add_argument("--community", default="demo", help="its id (default: %(default)s)")
    arguments.add_argument("--token", default=os.environ.get("COMMONWATT_TOKEN"), help="or COMMONWATT_TOKEN")
    arguments.add_argument("--count", type=int, default=0, metavar="N", help="end after N messages")
    arguments.add_argument("--on", type=float, default=500, metavar="W", help="alert from here (default: %(default)s)")
    arguments.add_argument("--off", type=float, default=100, metavar="W", help="over from here (default: %(default)s)")
    given = arguments.parse_args()
    if given.off > given.on:
        arguments.error("--off must not be above --on")
    try:
        asyncio.run(alert(given.url, given.community, given.token, given.count, Alarm(given.on, given.off)))
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:  # whoever reads has had enough; flushed at the end, it would fail once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except TransportQueryError as error:
        sys.exit(f"{given.community}: {error.errors[0]['message'] if error.errors else error}")
    except TransportError as error:
        sys.exit(f"{given.url}: {error.__cause__ or error}")


if __name__ == "__main__":
    main()

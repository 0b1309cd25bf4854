"""Print a home live, one line per change.

python examples/live_home.py --home demo.home-01

The server must know the document beside this script (COMMONWATT_DOCUMENTS='["examples"]'): only its id is sent. The
token is that of a member or a device, from --token or COMMONWATT_TOKEN.
"""

import argparse
import asyncio
import os
import sys
from contextlib import aclosing
from hashlib import sha256
from pathlib import Path
from typing import Any

from gql import Client, GraphQLRequest
from gql.transport.exceptions import TransportError, TransportQueryError
from gql.transport.websockets import WebsocketsTransport

DOCUMENT = Path(__file__).with_suffix(".graphql").read_text("utf-8")


class TrustedDocument(GraphQLRequest):
    """A document of which the id is sent, not the text."""

    @property
    def payload(self) -> dict[str, Any]:
        """What goes over the wire."""
        return {"documentId": sha256(DOCUMENT.rstrip("\n").encode()).hexdigest(), "variables": self.variable_values}


def socket_url(url: str) -> str:
    """http://host:8000 → ws://host:8000/graphql"""
    base = url.removeprefix("http").removeprefix("ws").rstrip("/").removesuffix("/graphql")
    return f"ws{base}/graphql"


async def live(url: str, home: str, token: str | None, count: int) -> None:
    """Print `count` lines, or lines without end for 0."""
    transport = WebsocketsTransport(
        socket_url(url),
        subprotocols=["graphql-transport-ws"],
        init_payload={"authorization": f"Bearer {token}"} if token else {},
    )
    request = TrustedDocument(DOCUMENT, variable_values={"home": home})
    async with Client(transport=transport) as session, aclosing(session.subscribe(request)) as results:
        async for result in results:
            state = result["home"]
            print(
                f"{state['measuredAt']}  net {state['netPower']} W"
                f"  from neighbours {state['sharedPower']} W  {state['light']}",
                flush=True,
            )
            count -= 1
            if count == 0:
                return


def main() -> None:
    arguments = argparse.ArgumentParser(description="Print a home live, one line per change.")
    arguments.add_argument("--url", default="http://127.0.0.1:8000", help="the server (default: %(default)s)")
    arguments.add_argument("--home", default="demo.home-01", help="COMMUNITY.HOME (default: %(default)s)")
    arguments.add_argument("--token", default=os.environ.get("COMMONWATT_TOKEN"), help="or COMMONWATT_TOKEN")
    arguments.add_argument("--count", type=int, default=0, metavar="N", help="end after N lines")
    given = arguments.parse_args()
    try:
        asyncio.run(live(given.url, given.home, given.token, given.count))
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:  # whoever reads has had enough; flushed at the end, it would fail once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except TransportQueryError as error:
        sys.exit(f"{given.home}: {error.errors[0]['message'] if error.errors else error}")
    except TransportError as error:
        sys.exit(f"{given.url}: {error.__cause__ or error}")


if __name__ == "__main__":
    main()

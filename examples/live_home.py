"""Print a home live, one line per change.

python examples/live_home.py --home demo.home-01
"""

import argparse
import asyncio
import sys
from contextlib import aclosing
from pathlib import Path

from gql import Client, gql
from gql.transport.exceptions import TransportError, TransportQueryError
from gql.transport.websockets import WebsocketsTransport

DOCUMENT = Path(__file__).with_suffix(".graphql").read_text("utf-8")


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
    request = gql(DOCUMENT)
    request.variable_values = {"home": home}
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
    arguments.add_argument("--token", help="bearer token, where the server asks for one")
    arguments.add_argument("--count", type=int, default=0, metavar="N", help="end after N lines")
    given = arguments.parse_args()
    try:
        asyncio.run(live(given.url, given.home, given.token, given.count))
    except KeyboardInterrupt:
        pass
    except TransportQueryError as error:
        sys.exit(f"{given.home}: {error.errors[0]['message'] if error.errors else error}")
    except TransportError as error:
        sys.exit(f"{given.url}: {error.__cause__ or error}")


if __name__ == "__main__":
    main()

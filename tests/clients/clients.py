"""Published clients as an application sees them: operations, and what comes of each.

Those for JavaScript run in a Node process, as `driver.mjs` is told; gql runs here.
"""

import asyncio
import itertools
import json
import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from graphql import OperationDefinitionNode, parse

Event = dict[str, Any]
WAIT_S = 30


class Operation:
    """What an application sees of one operation."""

    def __init__(self, id: str) -> None:
        self.id = id
        self._events: asyncio.Queue[Event] = asyncio.Queue()

    def see(self, event: Event) -> None:
        self._events.put_nowait(event)

    async def data(self) -> Any:
        """Return the next data; fail if anything else comes."""
        return await self._expect("next")

    async def errors(self) -> list[dict[str, Any]]:
        """Return the GraphQL errors that come next."""
        errors: list[dict[str, Any]] = await self._expect("errors")
        return errors

    async def failure(self) -> str:
        """Return what the client says of a connection that it gave up."""
        return str(await self._expect("failure"))

    async def happens(self) -> Event:
        """Return what comes next, whatever it is."""
        return await self._event()

    async def refusal(self) -> str:
        """Return the code of the error that comes next, of whatever kind: of GraphQL, HTTP or the socket's close."""
        event = await self._event()
        if "errors" in event:
            return str(event["errors"][0]["extensions"]["code"])
        return str(event["code"] or event["failure"])

    async def completed(self) -> None:
        """Wait until nothing more comes."""
        assert await self._expect("complete")

    async def _expect(self, kind: str) -> Any:
        event = await self._event()
        assert kind in event, event
        return event[kind]

    async def _event(self) -> Event:
        async with asyncio.timeout(WAIT_S):
            return await self._events.get()


def operation_of(document: str) -> str:
    """Return the kind of the one operation of a document."""
    (node,) = parse(document).definitions
    assert isinstance(node, OperationDefinitionNode)
    return node.operation.value


class Known(NamedTuple):
    """A document that client and server know by its id; the kind of its operation."""

    id: str
    operation: str


class Client(Protocol):
    """One client, with the connections that it keeps."""

    async def start(self, document: str | Known, **variables: Any) -> Operation:
        """Start an operation."""

    async def stop(self, operation: Operation) -> None:
        """Have an operation ended by the application."""

    async def close(self) -> None:
        """End all, and wait for it."""


class NodeClient:
    """A client for JavaScript."""

    def __init__(self, say: Callable[..., Awaitable[None]]) -> None:
        self._say = say
        self._ids = map(str, itertools.count(1))
        self._operations: dict[str, Operation] = {}
        self.connection = Operation("")
        """What happens to the connection, where the client tells."""

    async def start(self, document: str | Known, **variables: Any) -> Operation:
        operation = Operation(next(self._ids))
        self._operations[operation.id] = operation
        if isinstance(document, Known):
            request, kind = {"documentId": document.id}, document.operation
        else:
            request, kind = {"query": document}, operation_of(document)
        await self._say(start=operation.id, request=request | {"variables": variables}, operation=kind)
        return operation

    async def stop(self, operation: Operation) -> None:
        await self._say(stop=operation.id)

    async def ping(self, payload: dict[str, Any]) -> None:
        """Send a ping of the protocol."""
        await self._say(ping=payload)

    async def close(self) -> None:
        await self._say(close=True)

    def see(self, event: Event) -> None:
        (self._operations[event["id"]] if "id" in event else self.connection).see(event)


class NodeProcess:
    """A process of clients for JavaScript."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._numbers = itertools.count(1)
        self._clients: dict[int, NodeClient] = {}
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def run(cls, folder: Path) -> "NodeProcess":
        """Run `driver.mjs` of a folder."""
        pipe = asyncio.subprocess.PIPE
        env = {"PATH": os.environ["PATH"], "NODE_ENV": "production"}
        return cls(
            await asyncio.create_subprocess_exec(
                "node", "driver.mjs", cwd=folder, stdin=pipe, stdout=pipe, limit=1 << 20, env=env
            )
        )

    async def open(self, script: str, settings: dict[str, Any]) -> NodeClient:
        """Open a client by a script of the folder."""
        number = next(self._numbers)
        client = self._clients[number] = NodeClient(partial(self._say, client=number))
        await self._say(client=number, open=script, settings=settings)
        return client

    async def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(WAIT_S):
                await self._reader
                assert await self._process.wait() == 0
        finally:
            if self._process.returncode is None:
                self._process.kill()
                await self._process.wait()

    async def _say(self, **command: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        await self._process.stdin.drain()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            event = json.loads(line)
            self._clients[event.pop("client")].see(event)

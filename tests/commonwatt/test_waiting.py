"""The server's port while NATS is awaited: it answers, and hands over to the server proper."""

import asyncio
from pathlib import Path

import httpx
import pytest

from bus.broker import free_port, is_free
from commonwatt.waiting import answering
from server.run import ListenError
from tests.commonwatt.tree import command, environment
from tests.conftest import NatsServer
from tests.resolvers.frames import eventually
from tests.server.served import until_ready


async def exchange(port: int, sent: bytes) -> bytes:
    """Send bytes and return all that comes back until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


async def test_it_lives_but_is_not_ready() -> None:
    port = free_port()
    async with answering("127.0.0.1", port), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        health = await http.get("/health")
        ready = await http.get("/ready?verbose")
        assert (health.status_code, health.json()) == (200, {"status": "ok"})
        assert ready.status_code == 503
        assert ready.json()["ready"] is False
        assert ready.json()["conditions"]["nats"] is False
        assert ready.json()["reasons"][0] == "NATS is not connected"


@pytest.mark.parametrize("path", ["/", "/graphql", "/metrics"])
async def test_all_else_is_unavailable_for_now(path: str) -> None:
    port = free_port()
    async with answering("127.0.0.1", port), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        answer = await http.post(path, json={"query": "{ communities { id } }"})
    assert (answer.status_code, answer.text) == (503, "waiting for NATS\n")
    assert answer.headers["Retry-After"] == "1"
    assert answer.headers["Connection"] == "close"


async def test_head_gets_the_head_alone() -> None:
    port = free_port()
    async with answering("127.0.0.1", port):
        answer = await exchange(port, b"HEAD /ready HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "sent",
    [b"\r\n\r\n", b"hello\r\n\r\n", b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\xff\r\n\r\n"],
    ids=["nothing", "a word", "a long line", "TLS"],
)
async def test_what_is_no_request_does_no_harm(sent: bytes) -> None:
    port = free_port()
    async with answering("127.0.0.1", port):
        try:
            answer = await exchange(port, sent)
        except ConnectionResetError:  # it was closed before all was read
            answer = b""
        assert answer == b"" or answer.startswith(b"HTTP/1.1 503 ")
        assert (await exchange(port, b"GET /health HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


async def test_the_port_is_free_afterwards() -> None:
    port = free_port()
    async with answering("127.0.0.1", port):
        assert not is_free(port)
    assert is_free(port)


async def test_a_port_in_use_is_an_error() -> None:
    port = free_port()
    async with answering("127.0.0.1", port):
        with pytest.raises(ListenError, match=f"port {port} on 127.0.0.1 is in use"):
            async with answering("127.0.0.1", port):
                pass


async def test_any_free_port_is_left_to_the_server() -> None:
    async with answering("127.0.0.1", 0):
        pass


@pytest.mark.slow
async def test_a_server_without_nats_says_so_and_takes_up_its_work_when_nats_comes(
    own_nats: NatsServer, tmp_path: Path
) -> None:
    own_nats.kill()
    port = free_port()
    words = ["serve", "--port", str(port), "--nats-url", own_nats.url, "--data-dir", str(tmp_path)]
    process = await asyncio.create_subprocess_exec(*command(*words), stderr=asyncio.subprocess.PIPE, env=environment())
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:

            async def answers() -> bool:
                try:
                    return (await http.get("/ready")).status_code == 503
                except httpx.ConnectError:
                    return False

            await eventually(answers)
            assert (await http.get("/health")).status_code == 200
        own_nats.start()

        async def is_taken_over() -> bool:
            try:
                await until_ready(f"http://127.0.0.1:{port}")
            except httpx.TransportError:  # between the two
                return False
            return True

        await eventually(is_taken_over, timeout=30)
    finally:
        process.terminate()
        async with asyncio.timeout(10):
            _, log = await process.communicate()
    assert process.returncode == 0
    assert b"waiting for NATS" in log
    assert b"Traceback" not in log

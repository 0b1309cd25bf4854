"""Ten thousand random requests and frames against one server process: it answers, and nobody notices."""

import asyncio
import base64
import json
import os
import re
import struct
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, Final
from urllib.parse import quote

import httpx
import pytest

from bus.client import Bus
from server.keys import ensure_signing_key
from tests.commonwatt.test_tokens import serving as process
from tests.resolvers.frames import Publisher, home_state, register
from tests.server.people import Signer, get, post, signed_in
from tests.server.test_security import LANE, STREET
from tests.server.world import Asker, make_places

SEED: Final = int(os.environ.get("FUZZ_SEED", "1"))
REQUESTS: Final = 4_000
SOCKETS: Final = 1_000
FRAMES: Final = 8
"""At the most, on one socket."""
AT_ONCE: Final = 16
SILENCE_S: Final = 1.0
"""After which whoever made the noise goes away."""
GROWTH_BYTES: Final = 64 * 1024 * 1024
"""What a process may keep: documents, tokens and plans are cached, each up to a bound."""
LIMITS: Final = {
    "COMMONWATT_MAX_REQUESTS_PER_SECOND": "1000000",
    "COMMONWATT_MAX_MESSAGES_PER_SECOND": "1000000",
    "COMMONWATT_MAX_CONNECTIONS_PER_TOKEN": "1000000",
}

# Where a field fails that must not be null, graphql-core drops what it has begun beside it, and Python says so.
DROPPED: Final = re.compile(r"Exception ignored in: <coroutine .*\nTraceback .*\n(?:  .*\n)*KeyError: '__import__'\n")

WORDS: Final = (
    b"{ communities { id } }",
    b'{ home(id: "street.a") { live { load } } }',
    b'subscription { home(id: "street.a") { load } }',
    b'subscription { alerts(home: "street.a", after: "0") { kind } }',
    b'subscription { community(id: "street", every: "PT0.1S") { load(step: 50) } }',
    b'mutation { revokeDevice(id: "street.a.0") }',
    b"{ __schema { types { name } } }",
    b'{"query":"{ communities { id } }","variables":{"id":"street.a"}}',
    b'{"documentId":"sha256:00","extensions":{"persistedQuery":{"version":1,"sha256Hash":"00"}}}',
    b'{"type":"connection_init","payload":{"token":"x"}}',
    b'{"type":"subscribe","id":"1","payload":{"query":"{ communities { id } }"}}',
    b'{"type":"complete","id":"1"}',
    b'{"type":"ping","payload":{"token":"x"}}',
    b'{"type":"pong"}',
)
BITS: Final = (
    b"{", b"}", b"[", b"]", b"(", b")", b'"', b"\\", b"\\u0000", b"\\ud800", b"\0", b"\xff", b"\xc3", b"\xef\xbb\xbf",
    b"null", b"true", b"-0", b"1e999", b"9" * 400, b"[" * 200, b'{"a":' * 200, b"...", b"@include(if: $x)", b"$", b"#",
    b'"""', b"\r\n", b"\n\n", b" ", b"\t", "é🌍".encode(), b"%00", b"&", b"=", b";", b",", b":", b"__typename",
    b"x" * 3000,
)  # fmt: skip


class Noise:
    """Makes what nobody should send, and some that is nearly right."""

    def __init__(self, seed: int, tokens: list[str]) -> None:
        self.random = Random(seed)
        self._tokens = tokens
        places = make_places(self.random)
        self._queries = [Asker(self.random, places).query().encode() for _ in range(100)]

    def some(self, most: int = 200) -> bytes:
        return self.random.randbytes(self.random.randint(0, most))

    def spoilt(self, data: bytes) -> bytes:
        """Return bytes with some taken out, put in, doubled, or turned."""
        for _ in range(self.random.choice((0, 0, 0, 1, 1, 2, 5))):
            at = self.random.randint(0, len(data))
            end = min(len(data), at + self.random.randint(0, 12))
            kind = self.random.randrange(4)
            if kind == 0:
                data = data[:at] + data[end:]
            elif kind == 1:
                data = data[:at] + self.random.choice(BITS) + data[at:]
            elif kind == 2:
                data = data[:end] + data[at:]
            elif data:
                place = at % len(data)
                data = data[:place] + bytes([data[place] ^ (1 << self.random.randrange(8))]) + data[place + 1 :]
        return data

    def document(self) -> str:
        """Return a document: one of any query, a known one, or either one spoilt."""
        text = self.random.choice(self._queries if self.random.random() < 0.3 else WORDS[:7])
        return self.spoilt(text).decode(errors="replace")

    def token(self) -> str:
        return self.random.choice((*self._tokens * 6, "x", "", "a.b.c"))

    def parameters(self) -> bytes:
        """Return the parameters of a request as JSON, more or less."""
        random = self.random
        value: dict[str, Any] = {"query": self.document()}
        if random.random() < 0.3:
            value["variables"] = random.choice(({}, [], None, "x", {"id": "street.a"}, {"id": [[]]}, {"v0": 2**70}))
        if random.random() < 0.2:
            value["operationName"] = random.choice((None, "", "A", 5, "x" * 500))
        if random.random() < 0.2:
            value["extensions"] = random.choice(({}, {"persistedQuery": {"version": 1, "sha256Hash": "0"}}, [], 5))
        if random.random() < 0.1:
            value["documentId"] = random.choice(("x", "sha256:" + "0" * 64, 5, None))
        data = json.dumps(value).encode()
        return self.spoilt(data) if random.random() < 0.25 else data

    def header(self) -> bytes:
        random = self.random
        names = (
            b"Accept", b"Accept-Encoding", b"If-None-Match", b"Last-Event-ID", b"Origin", b"Cookie", b"X-Forwarded-For",
            b"Content-Type", b"Transfer-Encoding", b"Content-Length", b"Expect", b"Upgrade", b"Connection", b"Range",
        )  # fmt: skip
        values = (
            b"*/*", b"text/event-stream", b"application/json;q=0.1", b"application/graphql-response+json", b"gzip, br",
            b"*", b'W/"x"', b"chunked", b"identity", b"-1", b"0", b"5", b"9" * 30, b"100-continue", b"websocket",
            b"h2c", b"keep-alive, Upgrade", b"multipart/form-data; boundary=x", b"bytes=0-1", b"\xff\xfe", b"",
            b"a" * 2000,
        )  # fmt: skip
        name = self.random.choice(names) if random.random() < 0.9 else self.some(20)
        value = random.choice(values) if random.random() < 0.9 else self.some(60)
        return name + b": " + value

    def request(self) -> bytes:
        """Return an HTTP request, or what looks a little like one."""
        random = self.random
        kind = random.random()
        if kind < 0.08:
            return self.some(2000)
        method = random.choice((b"GET",) * 6 + (b"POST",) * 9 + (b"HEAD", b"PUT", b"OPTIONS", b"DELETE", b"get", b""))
        path = random.choice((b"/graphql",) * 24 + (b"/", b"/watch/../x", b"/static/%2e%2e/x", b"*", b"//", b"/device"))
        body = self.parameters() if kind < 0.9 else self.some(3000)
        if method in (b"GET", b"HEAD"):
            asked = quote(self.document() if kind < 0.7 else self.some(100)).encode()
            more = random.choice((b"", b"", b"&variables={}", b"&query=x", b"&%ff=%"))
            path, body = path + b"?query=" + asked + more, b""
        version = random.choice((1,) * 20 + (0, 2))
        lines = [b"%s %s HTTP/1.%d" % (method, path, version), b"Host: x", b"Connection: close"]
        if random.random() < 0.9:
            lines.append(b"Authorization: Bearer " + self.token().encode())
        if body:
            kinds = (b"application/json",) * 20 + (b"text/plain", b"")
            length = max(0, len(body) - random.choice((0,) * 40 + (-5, 5)))
            lines += [b"Content-Type: " + random.choice(kinds), b"Content-Length: %d" % length]
        lines += [self.header() for _ in range(random.choice((0, 0, 0, 0, 0, 0, 1, 1, 3)))]
        data = b"\r\n".join([*lines, b"", body])
        return self.spoilt(data) if kind < 0.2 else data

    def message(self) -> bytes:
        """Return a message of the protocol, more or less."""
        random = self.random
        kind = random.random()
        if kind < 0.5:
            id = random.choice(("1", "2", "3", "4", "é", "x" * 300) * 6 + ("", 5))
            return b'{"type":"subscribe","id":%s,"payload":%s}' % (json.dumps(id).encode(), self.parameters())
        if kind < 0.6:
            return json.dumps({"type": "ping", "payload": {"token": self.token()}}).encode()
        return self.spoilt(random.choice(WORDS))

    def frame(self) -> bytes:
        """Return a WebSocket frame: mostly a masked text, else any opcode, length, bits and mask."""
        random = self.random
        if random.random() < 0.85:
            return frame(1, self.message(), random)
        opcode = random.randrange(16)
        data = self.some(random.choice((10, 130, 300)))
        if opcode == 8 and random.random() < 0.7:
            code = random.choice((0, 999, 1000, 1001, 1005, 1006, 1015, 3000, 4999, 5000, 65535))
            data = struct.pack("!H", code) + self.some(130)
        made = frame(opcode, data, random, fin=random.random() < 0.7, masked=random.random() < 0.9)
        kind = random.random()
        if kind < 0.1:
            return bytes([made[0] | random.choice((0x10, 0x20, 0x40, 0x70))]) + made[1:]
        if kind < 0.2:
            return made[:1] + bytes([0xFF]) + struct.pack("!Q", random.choice((0, 2**16, 2**31, 2**63, 2**64 - 1)))
        return made[: random.randint(0, len(made))] if kind < 0.3 else made


def frame(opcode: int, data: bytes, random: Random, *, fin: bool = True, masked: bool = True) -> bytes:
    """Return a frame as a client sends it."""
    head = bytes([fin << 7 | opcode])
    bit = masked << 7
    if len(data) < 126:
        head += bytes([bit | len(data)])
    elif len(data) < 65536:
        head += bytes([bit | 126]) + struct.pack("!H", len(data))
    else:
        head += bytes([bit | 127]) + struct.pack("!Q", len(data))
    if not masked:
        return head + data
    mask = random.randbytes(4)
    return head + mask + bytes(one ^ mask[at % 4] for at, one in enumerate(data))


class Attack:
    """Noise against one server, and what it answered."""

    def __init__(self, url: str, noise: Noise) -> None:
        self._host, _, port = url.removeprefix("http://").partition(":")
        self._port = int(port)
        self._noise = noise
        self._gate = asyncio.Semaphore(AT_ONCE)
        self.sent = 0
        self.statuses: dict[int, int] = {}
        self.codes: dict[int, int] = {}

    async def ask(self) -> None:
        """Send one request; note the status of the answer."""
        data = self._noise.request()
        async with self._gate:
            self.sent += 1
            answer = await self._exchange([data])
        for status in re.findall(rb"^HTTP/1\.\d (\d+)", answer):
            self.statuses[int(status)] = self.statuses.get(int(status), 0) + 1

    async def talk(self) -> None:
        """Open a WebSocket, send some frames, note the code with which it is closed."""
        noise, random = self._noise, self._noise.random
        key = base64.b64encode(random.randbytes(16)).decode()
        head = (
            "GET /graphql HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
        ).encode()
        if random.random() < 0.1:
            head = noise.spoilt(head)
        frames = [noise.frame() for _ in range(random.randint(1, FRAMES))]
        if random.random() < 0.9:
            greeting = {"type": "connection_init", "payload": {"token": noise.token()}}
            frames.insert(0, frame(1, json.dumps(greeting).encode(), random))
        frames.append(frame(8, struct.pack("!H", 1000), random))
        async with self._gate:
            self.sent += len(frames)
            pieces = [head, *frames] if random.random() < 0.5 else [head, b"".join(frames)]
            answer = await self._exchange(pieces, waiting=random.random() < 0.95)
        for code in closes(answer.partition(b"\r\n\r\n")[2]):
            self.codes[code] = self.codes.get(code, 0) + 1

    async def _exchange(self, pieces: list[bytes], *, waiting: bool = False) -> bytes:
        """Send pieces, and nothing more; return all that comes back. `waiting`: for an answer to the first one."""
        reader, writer = await asyncio.open_connection(self._host, self._port)
        answer = b""
        with suppress(ConnectionError, TimeoutError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                if waiting and not answer:
                    async with asyncio.timeout(SILENCE_S):
                        answer = await reader.read(65536)
            for _ in range(20):
                async with asyncio.timeout(SILENCE_S):
                    more = await reader.read(65536)
                if not more:
                    break
                answer += more
        writer.transport.abort()
        return answer


def closes(data: bytes) -> list[int]:
    """Return the codes of the close frames among the frames of a server."""
    found = []
    while len(data) >= 2:
        length, start = data[1], 2
        if length == 126:
            length, start = int.from_bytes(data[2:4], "big"), 4
        elif length == 127:
            length, start = int.from_bytes(data[2:10], "big"), 10
        if data[0] & 15 == 8:
            found.append(int.from_bytes(data[start : start + 2], "big"))
        data = data[start + length :]
    return found


async def resident_bytes(url: str) -> int:
    """Return how much memory the server's process has."""
    async with httpx.AsyncClient(base_url=url, verify=False) as http:
        text = (await http.get("/metrics")).text
    (line,) = [line for line in text.splitlines() if line.startswith("process_resident_memory_bytes ")]
    return int(float(line.split()[1]))


@pytest.mark.slow
async def test_ten_thousand_random_requests_and_frames_leave_no_trace(bus: Bus, nats_url: str, tmp_path: Path) -> None:
    await register(bus, STREET, LANE)
    publisher = Publisher(bus, "street")
    await publisher.publish(*(home_state(home.id) for home in STREET.homes))
    signer = Signer(key=ensure_signing_key(tmp_path / "token-key.pem"))
    tokens = [signer.token("anna"), signer.token("olga"), signer.token("bert", role="device", community="street")]
    async with process(tmp_path, nats_url, "--development", **LIMITS) as (url, log):
        assert (await post(url, tokens[1], "{ communities { id } }")).status_code == 200
        # What one attack of each kind leaves behind is warm; what grows with their number is not.
        warm = Attack(url, Noise(SEED + 1, tokens))
        await asyncio.gather(*(warm.ask() for _ in range(500)), *(warm.talk() for _ in range(100)))
        before = await resident_bytes(url)
        attack = Attack(url, Noise(SEED, tokens))
        await asyncio.gather(*(attack.ask() for _ in range(REQUESTS)), *(attack.talk() for _ in range(SOCKETS)))
        after = await resident_bytes(url)
        async with signed_in(url, tokens[0]) as socket:
            await socket.subscribe("1", 'subscription { home(id: "street.a") { load } }')
            assert (await socket.hear())["type"] == "next"
            await publisher.publish(home_state("a", load_w=77.0))
            assert (await socket.hear())["payload"] == {"data": {"home": {"load": 77}}}
        assert (await get(url, tokens[0], "{ communities { id } }")).status_code == 200
        print(f"seed {SEED}: {attack.sent} sent, {attack.statuses}, {attack.codes}, {(after - before) >> 20} MiB more")
        said = DROPPED.sub("", log.read_text())
    assert not {status for status in attack.statuses if status >= 500}, attack.statuses
    assert {200, 400, 401, 405, 415} <= attack.statuses.keys(), attack.statuses
    assert {1002, 4400, 4403} <= attack.codes.keys(), attack.codes
    assert not {1011, 4500} & attack.codes.keys(), attack.codes
    for word in ("Traceback", "internal error", "Exception"):
        assert word not in said, said[max(0, said.index(word) - 500) : said.index(word) + 3000]
    assert after - before < GROWTH_BYTES

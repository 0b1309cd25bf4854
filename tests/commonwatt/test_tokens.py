"""`commonwatt token`, and a server that asks for tokens: as people and scripts use them."""

import asyncio
import json
import os
import re
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from bus.broker import free_port
from bus.client import Bus
from bus.community import Member
from commonwatt.cli import app
from commonwatt.settings import read_settings
from commonwatt.signing import now_ms, tokens_of
from resolvers.access import Viewer
from server.tokens import TokenError
from tests.bus.stream import stored
from tests.commonwatt.tree import command, environment, last_word
from tests.resolvers.frames import community, eventually, register
from tests.server.issuing import FOREIGN, ed25519, jwk, key_set, ours, rsa, signed, theirs
from tests.server.site import Site

Token = Callable[..., subprocess.CompletedProcess[str]]
SECRET = "open-sesame-open-sesame-open-sesame"
NOWHERE = "nats://127.0.0.1:1"


@pytest.fixture
def process(tmp_path: Path) -> Token:
    """Run `commonwatt token` as a process with the test's own data directory, and no NATS."""

    def run(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        changes = {"COMMONWATT_DATA_DIR": str(tmp_path), "COMMONWATT_NATS_URL": NOWHERE}
        return subprocess.run(
            command("token", *words),
            input=given,
            capture_output=True,
            text=True,
            timeout=30,
            env=environment(**changes),
        )

    return run


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Token:
    """Run `commonwatt token` in this process, with its log left as it is; else the same."""
    monkeypatch.setattr("commonwatt.running.configure", lambda *_: None)
    for name in list(os.environ):
        if name.startswith("COMMONWATT_"):
            monkeypatch.delenv(name)
    runner = CliRunner(env={"COLUMNS": "200", "TERM": "dumb", "COMMONWATT_DATA_DIR": str(tmp_path)})

    def run(*words: str, given: str = "", **changes: str) -> subprocess.CompletedProcess[str]:
        with capture_logs():
            done = runner.invoke(app, ["token", *words], given, env=changes, prog_name="commonwatt")
        return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)

    return run


@pytest.fixture
def viewer(tmp_path: Path) -> Callable[[str], Viewer]:
    """Return who the bearer of a printed token is."""
    return lambda text: tokens_of(read_settings(data_dir=tmp_path)).verify(text)


def issued(token: Token, *words: str) -> str:
    """Issue a token and return it: all that stdout holds is one line."""
    done = token("issue", *words)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+\n", done.stdout, re.ASCII)
    return done.stdout.strip()


# --- issue ---


def test_a_script_gets_a_token_and_nothing_else_on_stdout(process: Token, viewer: Callable[[str], Viewer]) -> None:
    done = process("issue", "--role", "operator", "--community", "demo")
    assert done.returncode == 0
    assert "made a key for tokens" in done.stderr
    assert viewer(done.stdout.removesuffix("\n")).subject == "operator:"
    again = process("issue", "--role", "operator", "--community", "demo")
    assert (again.stdout.count("\n"), again.stderr) == (1, "")
    assert json.loads(process("show", given=again.stdout).stdout)["valid"] is True


@pytest.mark.parametrize(
    ("words", "subject", "role", "homes"),
    [
        ("--role operator", "operator:", "operator", None),
        ("--role operator --home home-01", "operator:", "operator", ["home-01"]),
        ("--role operator --member anna@example.org", "anna@example.org", "operator", None),
        ("--role member", "community:", "member", None),
        ("--role member --home home-01", "home:home-01", "member", None),
        ("--role member --home demo.home-01", "home:home-01", "member", None),
        ("--role member --member Anna.1", "Anna.1", "member", None),
        ("--role member --member anna --home home-01", "anna", "member", ["home-01"]),
        ("--role device --home demo.home-01", "home:home-01", "device", None),
        ("--role device --home home-01 --member anna", "anna", "device", ["home-01"]),
    ],
)
def test_a_token_is_for_whom_the_options_say(
    token: Token, viewer: Callable[[str], Viewer], words: str, subject: str, role: str, homes: list[str] | None
) -> None:
    found = viewer(issued(token, *words.split(), "--community", "demo"))
    expected = None if homes is None else frozenset(homes)
    assert (found.subject, found.role, found.community, found.homes, found.own) == (
        subject,
        role,
        "demo",
        expected,
        True,
    )


@pytest.mark.parametrize(
    ("words", "seconds"),
    [([], 3600), (["--ttl", "PT1S"], 1), (["--ttl", "P400D"], 400 * 86_400), (["--ttl", "P1DT2H"], 93_600)],
)
def test_a_token_lasts_as_long_as_asked(token: Token, words: list[str], seconds: int) -> None:
    text = issued(token, "--role", "operator", "--community", "demo", *words)
    claims = json.loads(token("show", given=text).stdout)["claims"]
    assert claims["exp"] - claims["iat"] == seconds


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--role device --community demo", "a device shows one home: say which with --home"),
        ("--role device --community demo --member anna", "a device shows one home: say which with --home"),
        ("--role member --community demo --home other.home-01", "home 'other.home-01' is not of the community 'demo'"),
        ("--role member --community demo --home Home", "'Home' is not an identifier: "),
        ("--role member --community DEMO", "'DEMO' is not an identifier: "),
        ("--role member --community demo --member operator:", "'operator:' is no id of a member: "),
        ("--role member --community demo --member home:home-01", "'home:home-01' is no id of a member: "),
        ("--role member --community demo --ttl PT0S", "ttl is 'PT0S'; expected 1 s to 400 days"),
        ("--role member --community demo --ttl P401D", "ttl is 'P401D'; expected 1 s to 400 days"),
        ("--role member --community demo --ttl 1h", "ttl is '1h'; expected 1 s to 400 days, such as PT1H or P30D"),
    ],
)
def test_what_is_no_token_to_issue_is_one_line(token: Token, words: str, said: str) -> None:
    assert last_word(token("issue", *words.split())).startswith(said)


def test_an_option_that_is_missing_or_unknown_is_explained(token: Token) -> None:
    for words, said in (
        (("--community", "demo"), "--role"),
        (("--role", "boss", "--community", "demo"), "'boss' is not one of 'member', 'operator', 'device'"),
        (("--role", "member"), "--community"),
    ):
        done = token("issue", *words)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr


def test_the_key_is_made_by_whoever_comes_first_and_used_by_all(token: Token, tmp_path: Path) -> None:
    tokens = [issued(token, "--role", "operator", "--community", "demo") for _ in range(2)]
    assert {path.name for path in tmp_path.iterdir()} == {"token-key.pem"}
    for text in tokens:
        tokens_of(read_settings(data_dir=tmp_path)).verify(text)
    with pytest.raises(TokenError, match="its signature fits no key"):
        tokens_of(read_settings(data_dir=tmp_path / "another")).verify(tokens[0])


def test_a_key_that_is_named_is_used(token: Token, tmp_path: Path) -> None:
    issued(token, "--role", "operator", "--community", "demo")
    key = (tmp_path / "token-key.pem").rename(tmp_path / "other.pem")
    done = token("issue", "--role", "operator", "--community", "demo", COMMONWATT_TOKEN_KEY=str(key))
    assert done.returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {"other.pem"}
    tokens_of(read_settings(token_key=key)).verify(done.stdout.strip())


def test_a_key_that_cannot_be_used_is_one_line(token: Token, tmp_path: Path) -> None:
    words = ("issue", "--role", "operator", "--community", "demo")
    path = tmp_path / "token-key.pem"
    path.write_text("no key")
    path.chmod(0o600)
    assert f"the key for tokens, {path}, is no private key in PEM" in last_word(token(*words))
    path.chmod(0o644)
    assert "is open to every user of this machine (mode 0644)" in last_word(token(*words))
    absent = str(tmp_path / "absent")
    assert last_word(token(*words, COMMONWATT_TOKEN_KEY=absent)) == f"token_key names '{absent}', which is no file"


# --- show ---


def test_a_token_is_shown_with_what_it_says_and_until_when(token: Token) -> None:
    text = issued(token, "--role", "member", "--community", "demo", "--home", "home-01")
    for done in (token("show", text), token("show", given=text + "\n"), token("show", "-", given=text)):
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert said["valid"] is True
        assert said["claims"]["sub"] == "home:home-01"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", said["ends"])


def test_a_token_that_does_not_count_is_shown_with_the_reason(token: Token) -> None:
    done = token("show", given=signed(ed25519(), {"alg": "EdDSA", "x": "\x1b[31m"}, ours(exp="x")))
    assert done.returncode == 1
    said = json.loads(done.stdout)
    assert (said["valid"], said["reason"], said["ends"]) == (False, "its signature fits no key", None)
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize("text", ["", "hello", "a.b.c", "x" * 20_000, "e30.W10.AAAA"])
def test_what_is_no_token_is_said_to_be_none(token: Token, text: str) -> None:
    assert last_word(token("show", given=text)).startswith("this is not a token: ")


def test_a_token_of_another_issuer_is_shown(token: Token, tmp_path: Path) -> None:
    key = ed25519()
    path = tmp_path / "keys.json"
    path.write_bytes(key_set(jwk(key, "k")))
    changes = {"ISSUER": FOREIGN, "AUDIENCE": "watches", "JWKS": str(path)}
    text = signed(key, {"alg": "EdDSA", "kid": "k"}, theirs(exp=now_ms() // 1000 + 60))
    done = token("show", given=text, **{f"COMMONWATT_TOKEN_{name}": value for name, value in changes.items()})
    assert (done.returncode, json.loads(done.stdout)["claims"]["sub"]) == (0, "anna")
    assert token("show", given=text).returncode == 1


# --- revoke ---


async def test_a_token_is_revoked_by_itself_or_by_its_id(process: Token, bus: Bus, nats_url: str) -> None:
    text = issued(process, "--role", "operator", "--community", "demo")
    token_id = json.loads(process("show", text).stdout)["claims"]["jti"]
    for words, given in (((text,), ""), ((), text), (("another-id",), "")):
        done = process("revoke", *words, "--nats-url", nats_url, given=given)
        assert (done.returncode, done.stdout) == (0, f"revoked {words[0] if words == ('another-id',) else token_id}\n")
    revoked = [json.loads(message.data) for message in await stored(bus, "KV_revoked")]
    assert {one["id"] for one in revoked} == {token_id, "another-id"}
    long_ms = 399 * 86_400_000 + now_ms()
    assert all(one["expires_ms"] > long_ms for one in revoked)


def test_what_cannot_be_revoked_is_one_line(token: Token) -> None:
    nameless = signed(ed25519(), {"alg": "EdDSA"}, ours(jti=None))
    assert "has no id (jti), so it cannot be revoked" in last_word(token("revoke", nameless))
    assert "1 to 255 characters" in last_word(token("revoke", given=""))
    assert "1 to 255 characters" in last_word(token("revoke", "x" * 256))
    assert "this is not a token" in last_word(token("revoke", "a.b.c"))


# --- a server ---


@asynccontextmanager
async def serving(folder: Path, nats_url: str, *options: str, **changes: str) -> AsyncIterator[tuple[str, Path]]:
    """Run `commonwatt serve` as a process; the value is its URL and its log."""
    port = free_port()
    words = ("serve", "--port", str(port), "--nats-url", nats_url, "--data-dir", str(folder), *options)
    log = folder / f"serve-{port}.log"
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *command(*words), stdout=file, stderr=file, env=environment(**changes)
        )
    try:
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=url) as http:

            async def is_ready() -> bool:
                assert process.returncode is None, log.read_text()
                try:
                    return (await http.get("/ready")).status_code == 200
                except httpx.TransportError:
                    return False

            await eventually(is_ready, timeout=30)
        yield url, log
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        async with asyncio.timeout(15):
            await process.wait()


def keys_in(folder: Path) -> list[Path]:
    return list(folder.glob("*.pem"))


async def answer(url: str, text: str | None) -> httpx.Response:
    headers = {} if text is None else {"Authorization": f"Bearer {text}"}
    async with httpx.AsyncClient(base_url=url, headers=headers) as http:
        return await http.post("/graphql", json={"query": "{ communities { id homes { id } } }"})


async def homes(url: str, text: str) -> Sequence[str]:
    """Return the homes that the bearer of a token sees."""
    response = await answer(url, text)
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["data"]["communities"]
    return [home["id"] for one in found for home in one["homes"]]


@pytest.mark.slow
async def test_a_server_lets_in_whom_a_token_names_until_it_is_revoked(
    process: Token, bus: Bus, nats_url: str, tmp_path: Path
) -> None:
    await register(bus, community("demo"))
    operator = issued(process, "--role", "operator", "--community", "demo")
    member = issued(process, "--role", "member", "--community", "demo", "--home", "home-1")
    async with serving(tmp_path, nats_url, "--development", "--workers", "2") as (url, log):
        assert (await answer(url, None)).status_code == 401
        assert (await answer(url, operator[:-4] + "AAAA")).status_code == 401
        assert await homes(url, operator) == ["demo.home-1", "demo.home-2"]
        assert await homes(url, member) == ["demo.home-1"]
        done = process("revoke", "--nats-url", nats_url, given=member)
        assert done.returncode == 0, done.stderr

        async def is_refused_by_all() -> bool:
            return {(await answer(url, member)).status_code for _ in range(8)} == {401}

        await eventually(is_refused_by_all, timeout=2)
        assert len(await homes(url, operator)) == 2
    assert "Traceback" not in log.read_text()


@pytest.mark.slow
async def test_no_log_holds_a_token_or_a_secret(process: Token, bus: Bus, nats_url: str, tmp_path: Path) -> None:
    await register(bus, community("demo"))
    operator = issued(process, "--role", "operator", "--community", "demo")
    by_secret = signed(SECRET.encode(), {"alg": "HS256"}, ours(exp=now_ms() // 1000 + 60, iat=None, sub="operator:"))
    forged = operator[:-8] + "AAAAAAAA"
    options = ("--log-level", "debug", "--development")
    async with serving(tmp_path, nats_url, *options, COMMONWATT_TOKEN_SECRET=SECRET) as (url, log):
        assert (await answer(url, by_secret)).status_code == 200
        assert (await answer(url, operator)).status_code == 200
        for bad in (forged, forged + ".x", "x" * 9000):
            assert (await answer(url, bad)).status_code in (401, 431)
    said = log.read_text()
    assert "whoever knows the development secret can sign in as anybody" in said
    key = (tmp_path / "token-key.pem").read_text().splitlines()[1]
    for secret in (SECRET, key, operator, by_secret, forged, *operator.split("."), *by_secret.split(".")[1:]):
        assert secret not in said
    assert "eyJ" not in said


@pytest.mark.slow
async def test_members_sign_in_with_tokens_of_an_issuer_that_changes_its_keys(
    bus: Bus, nats_url: str, tmp_path: Path
) -> None:
    members = (Member(id="anna", homes=("home-2",)), Member(id="otto", role="operator"))
    await register(bus, community("demo", members=members))
    first, second = ed25519(), rsa()
    claims = theirs(exp=now_ms() // 1000 + 600)
    anna = signed(first, {"alg": "EdDSA", "kid": "1"}, claims)
    otto = signed(second, {"alg": "RS256", "kid": "2"}, {**claims, "sub": "otto"})
    impostor = signed(first, {"alg": "EdDSA", "kid": "1"}, {**claims, "sub": "operator:", "community": "demo"})
    with Site() as site:
        site.data = key_set(jwk(first, "1"))
        issuer = {"ISSUER": FOREIGN, "AUDIENCE": "watches", "JWKS": site.url}
        changes = {f"COMMONWATT_TOKEN_{name}": value for name, value in issuer.items()}
        async with serving(tmp_path, nats_url, "--development", **changes) as (url, _):

            async def counts() -> bool:
                return (await answer(url, otto if site.data == second_set else anna)).status_code == 200

            second_set = key_set(jwk(second, "2"))
            await eventually(counts)
            assert await homes(url, anna) == ["demo.home-2"]
            assert await homes(url, impostor) == []
            assert (await answer(url, otto)).status_code == 401
            site.data = second_set
            await eventually(counts, timeout=25)
            assert await homes(url, otto) == ["demo.home-1", "demo.home-2"]
            assert (await answer(url, anna)).status_code == 401


@pytest.mark.slow
async def test_without_sign_in_everybody_sees_everything_and_no_key_is_made(
    bus: Bus, nats_url: str, tmp_path: Path
) -> None:
    await register(bus, community("demo"))
    async with serving(tmp_path, nats_url, "--sign-in", "off", "--development") as (url, _):
        assert (await answer(url, None)).status_code == 200
    assert keys_in(tmp_path) == []


@pytest.mark.slow
async def test_documents_that_are_not_trusted_are_refused_outside_development(
    process: Token, bus: Bus, nats_url: str, tmp_path: Path
) -> None:
    await register(bus, community("demo"))
    member = issued(process, "--role", "member", "--community", "demo", "--home", "home-1")
    async with serving(tmp_path, nats_url) as (url, _):
        refused = (await answer(url, member)).json()["errors"][0]
        assert refused["extensions"]["code"] == "DOCUMENT_NOT_TRUSTED"
    async with serving(tmp_path, nats_url, COMMONWATT_TRUSTED_ONLY="false") as (url, _):
        assert await homes(url, member) == ["demo.home-1"]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_whose_key_cannot_be_used_ends_with_one_line(tmp_path: Path, workers: str) -> None:
    path = tmp_path / "token-key.pem"
    path.touch(0o644)
    words = ["serve", "--port", str(free_port()), "--data-dir", str(tmp_path), "--workers", workers]
    done = subprocess.run(command(*words), capture_output=True, text=True, timeout=30, env=environment())
    assert "is open to every user of this machine" in last_word(done)

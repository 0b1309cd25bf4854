"""Keys: the deployment's own in its file, and which members of a key set can be used."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from server.keys import KeysError, SigningKey, ensure_signing_key, parse_key_set, read_signing_key, secret_key
from tests.server.issuing import Private, ed25519, integer, jwk, key_set, pem, text
from tests.server.issuing import rsa as new_rsa

RSA = new_rsa()


def private(key: Private | ec.EllipticCurvePrivateKey, password: bytes | None = None) -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def written(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


# --- the key file ---


def test_a_key_is_made_once_and_readable_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "token-key.pem"
    with capture_logs() as logs:
        first, again = ensure_signing_key(path), ensure_signing_key(path)
    assert first.public == again.public
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]
    assert [line["event"] for line in logs] == ["made a key for tokens"]
    assert "PRIVATE" not in str(logs)


@pytest.mark.parametrize("umask", [0o000, 0o077], ids=oct)
def test_its_mode_does_not_depend_on_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        ensure_signing_key(tmp_path / "key.pem")
    finally:
        os.umask(before)
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600


def test_of_several_processes_at_once_all_get_the_same_key(tmp_path: Path) -> None:
    path = tmp_path / "token-key.pem"
    script = (
        "import sys; from pathlib import Path; from server.keys import ensure_signing_key as ensure\n"
        "print('here', flush=True); sys.stdin.readline(); print(ensure(Path(sys.argv[1])).public.id)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(6)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "here\n"
        for process in processes:  # all are ready: now they race
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        ids = {process.communicate(timeout=30)[0].splitlines()[-1] for process in processes}
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert ids == {read_signing_key(path).public.id}
    assert list(tmp_path.iterdir()) == [path]


def test_its_id_is_the_thumbprint_of_the_standard() -> None:
    # RFC 8037, A.3: the thumbprint of the key of A.1.
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    key = SigningKey(Ed25519PrivateKey.from_private_bytes(seed))
    assert key.public.id == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o666, 0o602])
def test_a_key_that_everybody_may_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    path = written(tmp_path / "key.pem", private(ed25519()), mode)
    with pytest.raises(KeysError, match=rf"is open to every user of this machine \(mode 0{mode:o}\).*chmod 600"):
        ensure_signing_key(path)


def test_a_key_that_a_group_may_read_is_used(tmp_path: Path) -> None:
    key = ed25519()
    path = written(tmp_path / "key.pem", private(key), 0o640)
    assert read_signing_key(path).public == SigningKey(key).public


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is no private key in PEM"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "is no private key in PEM"),
        (pem(ed25519()), "is no private key in PEM"),
        (private(RSA), "is of another kind than Ed25519"),
        (private(ec.generate_private_key(ec.SECP256R1())), "is of another kind than Ed25519"),
        (private(ed25519(), b"open-sesame"), "is encrypted with a password"),
    ],
    ids=["empty", "broken", "public", "RSA", "another curve", "encrypted"],
)
def test_what_is_no_such_key_is_refused_with_the_way_out(tmp_path: Path, data: bytes, said: str) -> None:
    path = written(tmp_path / "key.pem", data)
    with pytest.raises(KeysError) as raised:
        ensure_signing_key(path)
    line = str(raised.value)
    assert f"the key for tokens, {path}, {said}" in line
    assert "openssl genpkey -algorithm ed25519" in line
    assert "BEGIN" not in line


def test_a_key_that_is_not_there_is_refused_where_none_is_to_be_made(tmp_path: Path) -> None:
    with pytest.raises(KeysError, match=r"is not readable \(No such file or directory\)"):
        read_signing_key(tmp_path / "key.pem")


def test_where_none_can_be_made_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KeysError, match=r"cannot be made \(.*choose another folder with --data-dir"):
        ensure_signing_key(tmp_path / "file" / "key.pem")


def test_neither_key_nor_secret_show() -> None:
    secret = "open-sesame-open-sesame-open-sesame"
    assert secret not in repr(secret_key(secret))
    assert "material" not in repr(SigningKey(ed25519()).public)


# --- the secret ---


def test_a_secret_has_32_bytes_at_least() -> None:
    assert secret_key("x" * 32).algorithm == "HS256"
    with pytest.raises(KeysError, match="has 31 bytes; it must have 32 at least"):
        secret_key("x" * 31)


def test_a_public_key_is_no_secret() -> None:
    with pytest.raises(KeysError, match="which is no secret"):
        secret_key(pem(RSA).decode())


# --- key sets ---


def test_each_key_has_the_algorithm_of_its_kind() -> None:
    keys = parse_key_set(key_set(jwk(ed25519(), "a"), jwk(RSA, "b")))
    assert {id: key.algorithm for id, key in keys.items()} == {"a": "EdDSA", "b": "RS256"}


def test_a_private_member_gives_no_more_than_its_public_half() -> None:
    key = ed25519()
    found = parse_key_set(key_set(jwk(key, "a", d=text(key.private_bytes_raw()))))["a"]
    assert found.material == key.public_key()


@pytest.mark.parametrize(
    "member",
    [
        {"kty": "oct", "k": text(b"x" * 32)},
        jwk(RSA, alg="HS256"),
        jwk(RSA, alg="PS256"),
        jwk(RSA, alg="none"),
        jwk(RSA, use="enc"),
        jwk(RSA, key_ops=["sign"]),
        jwk(RSA) | {"kid": 7},
        jwk(RSA, kid="k" * 257),
        jwk(RSA, n=integer(rsa.generate_private_key(65537, 1024).public_key().public_numbers().n)),
        jwk(RSA, n=integer(2**8193 + 1)),
        jwk(RSA, e=integer(1)),
        jwk(RSA, e=integer(2)),
        jwk(RSA, n="!"),
        {"kty": "RSA"},
        jwk(ed25519(), alg="RS256"),
        jwk(ed25519(), crv="Ed448"),
        jwk(ed25519(), x=text(b"x" * 31)),
        jwk(ed25519(), x=None),
        {"kty": "EC", "crv": "P-256", "x": text(b"x" * 32), "y": text(b"y" * 32)},
        {},
        [],
        None,
        "key",
    ],
    ids=lambda member: str(member)[:7],
)
def test_what_cannot_verify_a_token_is_left_out(member: object) -> None:
    keys = parse_key_set(key_set(member, jwk(ed25519(), "good")))
    assert list(keys) == ["good"]
    with pytest.raises(KeysError, match="it holds no key that could be used"):
        parse_key_set(key_set(member))


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b'{"keys": {}}', b"\xff", b'{"keys": ' + b"[" * 60_000], ids=lambda data: str(data[:12])
)
def test_what_is_no_key_set_is_refused(data: bytes) -> None:
    with pytest.raises(KeysError, match="it is no JSON Web Key Set"):
        parse_key_set(data)


def test_a_set_has_a_bound() -> None:
    with pytest.raises(KeysError, match="it is larger than 65536 bytes"):
        parse_key_set(key_set(*[jwk(RSA, f"k{number}") for number in range(300)]))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                name: _JSON | st.sampled_from(["RSA", "OKP", "Ed25519", "RS256", "EdDSA", "AQAB", "sig"])
                for name in ("kty", "crv", "x", "n", "e", "alg", "use", "key_ops", "kid")
            },
        ),
        max_size=3,
    )
)
def test_no_set_does_more_than_be_refused(members: list[object]) -> None:
    try:
        keys = parse_key_set(key_set(*members))
    except KeysError:
        return
    assert keys

"""Tokens: who they say asks, and every way in which one must not count."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.identifiers import InvalidIdError
from bus.revocations import Revocations
from bus.stored import Stored
from resolvers.access import Viewer
from server.keys import SigningKey, secret_key
from server.keysets import KeyFile
from server.tokens import (
    ISSUER,
    LEEWAY_S,
    MAX_LIFE_S,
    MAX_TOKEN_BYTES,
    Issuer,
    TokenError,
    Tokens,
    home_of,
    read_unverified,
)
from tests.server.issuing import (
    NOW,
    Clock,
    ed25519,
    encoded,
    jwk,
    key_set,
    ours,
    pem,
    rsa,
    signed,
    text,
    theirs,
    tokens,
)

OWN = ed25519()
KID = SigningKey(OWN).public.id
THEIR_ED, THEIR_RSA = ed25519(), rsa()
SECRET = "a secret for development, not for anything else"
HEADER = {"alg": "EdDSA", "kid": KID}
DAY_S = 86_400


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyFile:
    """The other issuer's."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    path.write_bytes(key_set(jwk(THEIR_ED, "ed"), jwk(THEIR_RSA, "rsa")))
    return KeyFile(path)


@pytest.fixture
def verifying(clock: Clock, keys: KeyFile) -> Tokens:
    return tokens(OWN, clock, keys)


def refused(verifying: Tokens, token: str) -> str:
    """Return why a token is refused, twice for the same reason."""
    reasons = []
    for _ in range(2):
        with pytest.raises(TokenError) as raised:
            verifying.verify(token)
        reasons.append(raised.value.reason)
    assert reasons[0] == reasons[1]
    return reasons[0]


def revoke(verifying: Tokens, token_id: str, ends_ms: int) -> None:
    value = json.dumps({"id": token_id, "expires_ms": ends_ms}).encode()
    verifying.revocations.take(Stored(f"$KV.revoked.{token_id}", 1, 0, value))


# --- ours ---


def test_what_is_issued_is_verified(verifying: Tokens) -> None:
    token = verifying.issue(
        subject="home:home-1", role="device", community="demo", homes=("demo.home-1",), ttl_s=60, token_id="watch"
    )
    homes = frozenset({"home-1"})
    expected = Viewer("home:home-1", "device", "demo", homes, own=True, token="watch", expires_ms=(NOW + 60) * 1000)
    assert verifying.verify(token) == expected
    assert verifying.verify(token) == expected  # remembered


def test_without_homes_a_token_is_not_narrowed_to_any(verifying: Tokens) -> None:
    token = verifying.issue(subject="operator:", role="operator", community="demo", ttl_s=60)
    assert verifying.verify(token).homes is None
    assert "homes" not in read_unverified(token)[1]


def test_every_token_has_an_id_of_its_own(verifying: Tokens) -> None:
    issued = [verifying.issue(subject="anna", role="member", community="demo", ttl_s=60) for _ in range(50)]
    assert len({verifying.verify(token).token for token in issued}) == 50


@pytest.mark.parametrize("ttl_s", [0, -1, MAX_LIFE_S + 1])
def test_a_token_that_lasts_too_short_or_too_long_is_not_issued(verifying: Tokens, ttl_s: int) -> None:
    with pytest.raises(ValueError, match="1 s to 400 days"):
        verifying.issue(subject="anna", role="member", community="demo", ttl_s=ttl_s)


def test_the_longest_token_counts_at_once(verifying: Tokens) -> None:
    verifying.verify(verifying.issue(subject="anna", role="member", community="demo", ttl_s=MAX_LIFE_S))


def test_ids_that_are_none_are_not_issued(verifying: Tokens) -> None:
    with pytest.raises(InvalidIdError):
        verifying.issue(subject="anna", role="member", community="De mo", ttl_s=60)
    with pytest.raises(InvalidIdError):
        verifying.issue(subject="anna", role="member", community="demo", homes=("*",), ttl_s=60)
    with pytest.raises(ValueError, match="is not of the community 'demo'"):
        verifying.issue(subject="anna", role="member", community="demo", homes=("other.home-1",), ttl_s=60)


def test_a_home_has_one_id_within_its_community() -> None:
    assert home_of("demo", "home-1") == home_of("demo", "demo.home-1") == "home-1"


# --- the other issuer's ---


@pytest.mark.parametrize(("key", "alg", "kid"), [(THEIR_ED, "EdDSA", "ed"), (THEIR_RSA, "RS256", "rsa")])
def test_a_token_of_the_other_issuer_counts_and_is_not_our_own(verifying: Tokens, key: Any, alg: str, kid: str) -> None:
    claims = theirs(role="member", community="demo", homes=["home-1", "demo.home-2"], jti="x", nbf=NOW, iat=NOW)
    viewer = verifying.verify(signed(key, {"alg": alg, "kid": kid, "typ": "JWT"}, claims))
    homes = frozenset({"home-1", "home-2"})
    assert viewer == Viewer("anna", "member", "demo", homes, own=False, token="x", expires_ms=(NOW + 60) * 1000)


def test_it_need_say_no_more_than_who_and_until_when(verifying: Tokens) -> None:
    viewer = verifying.verify(signed(THEIR_ED, {"alg": "EdDSA", "kid": "ed"}, theirs(aud=["others", "watches"])))
    assert viewer == Viewer("anna", expires_ms=(NOW + 60) * 1000)


@pytest.mark.parametrize("subject", ["operator:", "home:home-1", "community:"])
def test_subjects_of_our_own_mean_nothing_in_it(verifying: Tokens, subject: str) -> None:
    claims = theirs(sub=subject, community="demo", role="operator")
    assert verifying.verify(signed(THEIR_ED, {"alg": "EdDSA", "kid": "ed"}, claims)).own is False


def test_it_does_not_become_our_own_by_naming_us(verifying: Tokens) -> None:
    claims = ours(sub="operator:")
    assert refused(verifying, signed(THEIR_ED, {"alg": "EdDSA", "kid": "ed"}, claims)) == "it is of another issuer"
    assert refused(verifying, signed(THEIR_ED, HEADER, claims)) == "its signature fits no key"


def test_an_issuer_that_has_our_name_is_another_still(clock: Clock, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(key_set(jwk(THEIR_ED, "ed"), jwk(THEIR_RSA, KID)))
    issuer = Issuer(ISSUER, ISSUER, KeyFile(path))
    verifying = Tokens(SigningKey(OWN), Revocations(now_ms=clock), now_ms=clock, issuer=issuer)
    assert verifying.verify(signed(THEIR_ED, {"alg": "EdDSA", "kid": "ed"}, ours(sub="operator:"))).own is False
    # Not even where its set names a key as ours is named.
    assert refused(verifying, signed(THEIR_RSA, {"alg": "RS256", "kid": KID}, ours())) == "its signature fits no key"


def test_our_key_does_not_speak_for_the_other_issuer(verifying: Tokens) -> None:
    assert refused(verifying, signed(OWN, HEADER, theirs())) == "it is of another issuer"


def test_without_another_issuer_its_tokens_do_not_count(clock: Clock) -> None:
    token = signed(THEIR_ED, {"alg": "EdDSA", "kid": "ed"}, theirs())
    assert refused(tokens(OWN, clock), token) == "its signature fits no key"


def test_a_token_that_names_no_key_counts_where_there_is_one_only(clock: Clock, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(key_set(jwk(THEIR_RSA)))
    verifying = tokens(OWN, clock, KeyFile(path))
    assert verifying.verify(signed(THEIR_RSA, {"alg": "RS256"}, theirs())).subject == "anna"
    assert verifying.verify(signed(OWN, {"alg": "EdDSA"}, ours())).own


def test_of_several_keys_one_must_be_named(verifying: Tokens) -> None:
    assert refused(verifying, signed(THEIR_ED, {"alg": "EdDSA"}, theirs())) == "its signature fits no key"


# --- forged ---


def test_a_forged_token_is_refused(verifying: Tokens) -> None:
    good = signed(OWN, HEADER, ours())
    head, claims, signature = good.split(".")
    verifying.verify(good)
    forged = {
        "signed by another": signed(ed25519(), HEADER, ours()),
        "other claims": f"{head}.{encoded(ours(sub='operator:'))}.{signature}",
        "other header": f"{encoded({**HEADER, 'typ': 'x'})}.{claims}.{signature}",
        "no signature": f"{head}.{claims}.",
        "half a signature": f"{head}.{claims}.{signature[:43]}",
        "zeros": f"{head}.{claims}.{text(bytes(64))}",
        "two parts": f"{head}.{claims}",
        "four parts": f"{good}.{signature}",
        "unknown key": signed(OWN, {"alg": "EdDSA", "kid": "other"}, ours()),
    }
    for name, token in forged.items():
        assert refused(verifying, token), name


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", None, 0, ["EdDSA"], {"EdDSA": 1}], ids=str)
@pytest.mark.parametrize("signature", ["", text(b"x" * 64)], ids=["unsigned", "signed"])
def test_no_algorithm_is_none_that_counts(verifying: Tokens, alg: object, signature: str) -> None:
    token = f"{encoded({'alg': alg, 'kid': KID})}.{encoded(ours())}.{signature}"
    assert refused(verifying, token)
    assert refused(verifying, f"{encoded({'kid': KID})}.{encoded(ours())}.{signature}")


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512", "RS256", "EdDSA"])
def test_a_public_key_is_no_secret_whatever_the_header_says(clock: Clock, keys: KeyFile, alg: str) -> None:
    """Key confusion: what everybody knows, the public key, used as a secret of HMAC."""
    for verifying in (tokens(OWN, clock, keys), tokens(OWN, clock, keys, secret=secret_key(SECRET))):
        for key, kid, claims in ((OWN, KID, ours()), (THEIR_ED, "ed", theirs()), (THEIR_RSA, "rsa", theirs())):
            raw = key.public_key().public_bytes_raw() if not hasattr(key, "key_size") else b""
            known = [pem(key), pem(key).strip(), json.dumps(jwk(key)).encode(), raw, b"", kid.encode()]
            for secret in known:
                for header in ({"alg": alg, "kid": kid}, {"alg": alg}):
                    assert refused(verifying, signed(secret, header, claims))


@pytest.mark.parametrize("alg", ["RS384", "RS512", "PS256", "ES256", "HS256", "EdDSA", "rs256"])
def test_a_key_counts_for_its_own_algorithm_alone(verifying: Tokens, alg: str) -> None:
    token = signed(THEIR_RSA, {"alg": alg, "kid": "rsa"}, theirs())
    assert refused(verifying, token) == "its signature fits no key"


@pytest.mark.parametrize(
    "extra",
    [
        {"jwk": jwk(THEIR_ED)},
        {"jku": "https://evil.example/keys"},
        {"x5u": "https://evil.example/cert"},
        {"x5c": ["AAAA"]},
        {"kid": "../../dev/null"},
        {"kid": "' OR 1=1"},
    ],
    ids=lambda extra: str(extra)[:6],
)
def test_a_header_brings_no_key_along(verifying: Tokens, extra: dict[str, Any]) -> None:
    stranger = ed25519()
    assert refused(verifying, signed(stranger, {**HEADER, "jwk": jwk(stranger), **extra}, ours()))


@pytest.mark.parametrize("extra", [{"jku": "https://evil.example/keys"}, {"x5u": "https://evil.example"}], ids=str)
def test_what_a_good_header_says_beside_is_ignored(verifying: Tokens, extra: dict[str, Any]) -> None:
    assert verifying.verify(signed(OWN, {**HEADER, **extra}, ours())).own


@pytest.mark.parametrize(
    "extra",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": ["b64"], "b64": True},
        {"crit": []},
        {"crit": None},
        {"b64": False},
        {"b64": 0},
    ],
    ids=str,
)
def test_an_extension_that_must_be_understood_is_not(verifying: Tokens, extra: dict[str, Any]) -> None:
    assert refused(verifying, signed(OWN, {**HEADER, **extra}, ours()))


@pytest.mark.parametrize("kid", [None, 7, [], {}, True], ids=str)
def test_a_key_is_named_by_text(verifying: Tokens, kid: object) -> None:
    assert refused(verifying, signed(THEIR_ED, {"alg": "EdDSA", "kid": kid}, theirs()))


# --- the secret ---


def test_with_a_secret_tokens_of_our_own_can_be_signed_with_it(clock: Clock) -> None:
    verifying = tokens(OWN, clock, secret=secret_key(SECRET))
    token = signed(SECRET.encode(), {"alg": "HS256"}, ours())
    assert verifying.verify(token).own
    assert refused(tokens(OWN, clock), token) == "its signature fits no key"
    assert refused(verifying, signed(b"another", {"alg": "HS256"}, ours())) == "its signature fits no key"
    for alg in ("HS384", "HS512", "EdDSA", "none"):
        assert refused(verifying, signed(SECRET.encode(), {"alg": alg}, ours()))


# --- form ---


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "a.b.c", "a" * 100, "Bearer x", "\0", "é.é.é", "a.b.c\n", " a.b.c", "\ud800.a.b", "a.b.c.d.e"],
    ids=repr,
)
def test_what_is_no_token_is_refused(verifying: Tokens, token: str) -> None:
    assert refused(verifying, token)


def test_a_token_that_is_too_large_is_refused_before_it_is_read(verifying: Tokens) -> None:
    padding = "x" * MAX_TOKEN_BYTES
    token = signed(OWN, HEADER, ours(padding=padding))
    assert refused(verifying, token) == f"it has {len(token)} characters; 8192 are allowed"
    assert refused(verifying, "." * 1_000_000) == "it has 1000000 characters; 8192 are allowed"
    below = signed(OWN, HEADER, ours(padding="x" * 5000))
    assert len(below) < MAX_TOKEN_BYTES
    verifying.verify(below)


def test_deeply_nested_parts_are_refused(verifying: Tokens) -> None:
    deep = b"[" * 2500
    assert refused(verifying, signed(OWN, deep, ours()))
    assert refused(verifying, signed(OWN, HEADER, b'{"x":' + deep))
    assert refused(verifying, signed(OWN, HEADER, deep))


# --- time, issuer, audience ---


def test_a_token_ends(verifying: Tokens, clock: Clock) -> None:
    token = signed(OWN, HEADER, ours(exp=NOW + 60))
    verifying.verify(token)
    clock.now_ms = (NOW + 60) * 1000 - 1
    verifying.verify(token)
    clock.now_ms += 1
    assert refused(verifying, token) == "it has ended"
    assert refused(tokens(OWN, clock), token) == "it has ended"


@pytest.mark.parametrize("claim", ["nbf", "iat"])
def test_a_token_does_not_count_before_its_time(verifying: Tokens, clock: Clock, claim: str) -> None:
    token = signed(OWN, HEADER, ours(**{claim: NOW + LEEWAY_S + 1, "exp": NOW + 1000}))
    assert refused(verifying, token) == "it does not hold yet"
    clock.now_ms += 1000
    verifying.verify(token)  # a clock that is a minute ahead is borne


def test_a_token_must_end_within_400_days(verifying: Tokens) -> None:
    assert refused(verifying, signed(OWN, HEADER, ours(exp=None))).startswith("its claims are not usable")
    long = signed(OWN, HEADER, ours(exp=NOW + MAX_LIFE_S + LEEWAY_S + 1))
    assert refused(verifying, long) == "it lasts longer than 400 days"


@pytest.mark.parametrize(
    "aud", ["watches", "", ["watches"], [], None, 7, ["commonwatt", 7], {"commonwatt": 1}], ids=str
)
def test_a_token_for_another_audience_is_refused(verifying: Tokens, aud: object) -> None:
    assert refused(verifying, signed(OWN, HEADER, ours(aud=aud)))


@pytest.mark.parametrize("iss", ["https://issuer.example", "Commonwatt", "", None, 7, ["commonwatt"]], ids=str)
def test_a_token_of_another_issuer_is_refused(verifying: Tokens, iss: object) -> None:
    assert refused(verifying, signed(OWN, HEADER, ours(iss=iss)))


# --- claims ---


@pytest.mark.parametrize(
    "changes",
    [
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "x" * 256},
        {"role": "admin"},
        {"role": ["operator"]},
        {"role": ""},
        {"community": "De mo"},
        {"community": "*"},
        {"community": 7},
        {"community": ["demo"]},
        {"homes": "home-1"},
        {"homes": [7]},
        {"homes": ["*"]},
        {"homes": ["demo."]},
        {"homes": ["other.home-1"]},
        {"homes": {"home-1": True}},
        {"community": None, "homes": ["demo.home-1", "other.home-1"]},
        {"jti": 7},
        {"jti": "x" * 256},
        {"exp": "1800000060"},
        {"exp": True},
        {"exp": -1},
        {"exp": 1e300},
        {"nbf": "now"},
        {"iat": []},
    ],
    ids=str,
)
def test_claims_that_cannot_be_meant_are_refused(verifying: Tokens, changes: dict[str, Any]) -> None:
    refused(verifying, signed(OWN, HEADER, ours(**changes)))


def test_no_home_is_another_thing_than_no_word_of_homes(verifying: Tokens) -> None:
    assert verifying.verify(signed(OWN, HEADER, ours(homes=[]))).homes == frozenset()


def test_homes_as_clients_see_them_name_their_community(verifying: Tokens) -> None:
    viewer = verifying.verify(signed(OWN, HEADER, ours(community=None, homes=["demo.home-1"])))
    assert (viewer.community, viewer.homes) == ("demo", frozenset({"home-1"}))


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
_WORDS = st.sampled_from(["commonwatt", "demo", "home-1", "demo.home-1", "member", "operator:", NOW, NOW + 60, 1e400])
_VALUES = st.recursive(
    _LEAVES | _WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=5,
)
_NAMES = st.sampled_from(["iss", "aud", "sub", "exp", "nbf", "iat", "jti", "role", "community", "homes"])


@given(st.dictionaries(_NAMES | st.text(max_size=6), _VALUES, max_size=4) | _VALUES | st.binary(max_size=60))
def test_whatever_the_claims_they_name_a_viewer_or_are_refused(changes: Any) -> None:
    verifying = tokens(OWN, Clock())
    claims = {**ours(), **changes} if isinstance(changes, dict) else changes
    try:
        viewer = verifying.verify(signed(OWN, HEADER, claims))
    except TokenError:
        return
    assert viewer.own
    assert isinstance(viewer.subject, str)
    assert viewer.role in (None, "member", "operator", "device")
    assert viewer.expires_ms > NOW * 1000


@given(st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "cty"]), _VALUES) | _VALUES)
def test_whatever_the_header_it_verifies_or_is_refused(header: Any) -> None:
    verifying = tokens(OWN, Clock())
    merged = {**HEADER, **header} if isinstance(header, dict) else header
    try:
        viewer = verifying.verify(signed(OWN, merged, ours()))
    except TokenError:
        return
    assert viewer.own
    assert merged["alg"] == "EdDSA"


@given(st.text(max_size=200) | st.from_regex(r"\A[\w-]{1,40}\.[\w-]{1,40}\.[\w-]{1,40}\Z"))
def test_whatever_the_text_it_is_refused(token: str) -> None:
    with pytest.raises(TokenError):
        tokens(OWN, Clock()).verify(token)
    with pytest.raises(TokenError):
        read_unverified(token)


# --- revoked, remembered ---


def test_a_revoked_token_is_refused_though_it_is_remembered(verifying: Tokens) -> None:
    token, other = (signed(OWN, HEADER, ours(jti=id)) for id in ("one", "two"))
    viewer = verifying.verify(token)
    assert not verifying.is_revoked(viewer)
    revoke(verifying, "one", (NOW + 60) * 1000)
    assert refused(verifying, token) == "it was revoked"
    assert verifying.is_revoked(viewer)
    verifying.verify(other)


def test_a_token_without_an_id_is_not_revoked_with_another(verifying: Tokens) -> None:
    revoke(verifying, "", (NOW + 60) * 1000)
    assert verifying.verify(signed(OWN, HEADER, ours(jti=None))).token == ""


def test_no_more_tokens_are_remembered_than_allowed(clock: Clock) -> None:
    verifying = tokens(OWN, clock, cached=3)
    issued = [verifying.issue(subject="anna", role="member", community="demo", ttl_s=60) for _ in range(9)]
    for token in issued:
        verifying.verify(token)
        verifying.verify(issued[0])  # asked for again and again, it stays
    assert len(verifying._verified) == 3
    kept = [verifying._verified[key][0].token for key in verifying._verified]
    assert kept[-1] == verifying.verify(issued[0]).token
    for token in issued:
        verifying.verify(token)


def test_what_is_refused_is_not_remembered(verifying: Tokens, clock: Clock) -> None:
    token = signed(OWN, HEADER, ours())
    verifying.verify(token)
    clock.now_ms += 61_000
    for refusable in (token, signed(ed25519(), HEADER, ours()), "a.b.c"):
        refused(verifying, refusable)
    assert not verifying._verified


def test_what_is_remembered_holds_no_token(verifying: Tokens) -> None:
    token = verifying.issue(subject="anna", role="member", community="demo", ttl_s=60)
    verifying.verify(token)
    assert token not in repr(vars(verifying))


def test_a_reason_holds_no_more_of_a_token_than_a_line(verifying: Tokens) -> None:
    for claims in (ours(role="x" * 4000), ours(homes=["x" * 4000]), ours(homes=[f"{'x' * 60}.home-1"])):
        assert len(refused(verifying, signed(OWN, HEADER, claims))) < 150
    assert len(refused(verifying, signed(OWN, {**HEADER, "crit": ["x" * 4000]}, ours()))) < 150


def test_what_a_token_says_can_be_read_without_a_key() -> None:
    assert read_unverified(signed(ed25519(), {"alg": "EdDSA"}, {"sub": "anna"})) == ({"alg": "EdDSA"}, {"sub": "anna"})
    with pytest.raises(TokenError, match="no JSON object"):
        read_unverified(signed(ed25519(), {"alg": "EdDSA"}, []))

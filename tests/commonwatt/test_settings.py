"""Settings: where they come from, which is stronger, and what a wrong one says."""

import os
from pathlib import Path

import pytest

from bus.settings import NatsSettings
from commonwatt.settings import Settings, SettingsError, read_settings


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take Commonwatt's variables out of the environment."""
    for name in list(os.environ):
        if name.startswith("COMMONWATT_"):
            monkeypatch.delenv(name)


def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    path = tmp_path / "commonwatt.toml"
    path.write_text(text, "utf-8")
    monkeypatch.setenv("COMMONWATT_CONFIG", str(path))


def test_without_anything_the_defaults_hold() -> None:
    settings = read_settings()
    assert settings == Settings()
    assert (settings.nats_url, settings.host, settings.port) == ("nats://127.0.0.1:4222", "127.0.0.1", 8000)
    assert settings.development is False


def test_the_environment_is_stronger_than_the_file_and_options_are_stronger_than_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file(tmp_path, monkeypatch, 'port = 1001\nhost = "10.0.0.1"\nreplicas = 3\n')
    monkeypatch.setenv("COMMONWATT_HOST", "10.0.0.2")
    monkeypatch.setenv("COMMONWATT_PORT", "1002")
    settings = read_settings(port=1003, log_level=None)
    assert (settings.replicas, settings.host, settings.port, settings.log_level) == (3, "10.0.0.2", 1003, "info")


def test_settings_are_frozen() -> None:
    settings = read_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1  # type: ignore[misc]  # what must not be done


def test_a_list_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMONWATT_ALLOWED_ORIGINS", '["https://a.example", "https://b.example"]')
    assert read_settings().allowed_origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("PORT", "eight", "setting port: "),
        ("PORT", "65536", "setting port: "),
        ("REPLICAS", "0", "setting replicas: "),
        ("READINGS_DAYS", "3", "setting readings_days: "),
        ("LOG_LEVEL", "loud", "setting log_level: "),
        ("LOG_FORMAT", "xml", "setting log_format: "),
        ("DEVELOPMENT", "maybe", "setting development: "),
        ("ALLOWED_ORIGINS", "https://a.example", "setting allowed_origins: "),
        ("SIGN_IN", "no", "setting sign_in: "),
        ("NATS_URL", "http://127.0.0.1:4222", "setting nats_url: "),
        ("NATS_URL", "nats://one:4222,", "setting nats_url: "),
    ],
)
def test_a_bad_value_names_its_key_and_what_is_expected(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, line: str
) -> None:
    monkeypatch.setenv(f"COMMONWATT_{name}", value)
    with pytest.raises(SettingsError) as raised:
        read_settings()
    (said,) = str(raised.value).splitlines()
    assert said.startswith(line)
    assert repr(value) in said
    assert f"expected: {Settings.model_fields[name.lower()].description}" in said
    assert said.endswith(f"(COMMONWATT_{name})")


def test_each_fault_has_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMONWATT_PORT", "eight")
    monkeypatch.setenv("COMMONWATT_REPLICAS", "none")
    with pytest.raises(SettingsError) as raised:
        read_settings()
    assert [line.split(":")[0] for line in str(raised.value).splitlines()] == ["setting replicas", "setting port"]


def test_an_unknown_variable_is_an_error_that_lists_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMONWATT_NATS_ADDRESS", "nats://127.0.0.1:4222")
    with pytest.raises(SettingsError, match=r"^COMMONWATT_NATS_ADDRESS is no setting; known are .*COMMONWATT_NATS_URL"):
        read_settings()


def test_a_slip_of_the_pen_is_told_what_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMONWATT_DATADIR", "/srv")
    with pytest.raises(SettingsError, match=r"^COMMONWATT_DATADIR is no setting, but COMMONWATT_DATA_DIR is; known"):
        read_settings()


def test_the_token_of_the_watch_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMONWATT_TOKEN", "open-sesame")
    read_settings()


def test_an_unknown_key_of_the_file_is_an_error_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file(tmp_path, monkeypatch, "prot = 8000\n")
    with pytest.raises(SettingsError, match="setting prot: unknown key"):
        read_settings()


def test_a_file_that_is_not_toml_is_an_error_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file(tmp_path, monkeypatch, "port: 8000\n")
    with pytest.raises(SettingsError, match=r"commonwatt\.toml: not TOML: .*line 1"):
        read_settings()


def test_a_file_that_is_not_there_is_an_error_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMONWATT_CONFIG", str(tmp_path / "absent.toml"))
    with pytest.raises(SettingsError, match=r"COMMONWATT_CONFIG names '.*absent\.toml', which is no file"):
        read_settings()


@pytest.mark.parametrize(
    "name", ["nats_credentials", "nats_nkey_seed", "nats_tls_ca", "nats_tls_cert", "nats_tls_key", "token_key"]
)
def test_a_file_that_is_needed_and_not_there_is_an_error_that_names_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} names .*, which is no file"):
        read_settings(**{name: tmp_path / "absent"})


def test_nats_gets_its_settings_under_its_own_names(tmp_path: Path) -> None:
    paths = {name: tmp_path / name for name in ("credentials", "nkey_seed", "tls_ca", "tls_cert", "tls_key")}
    for path in paths.values():
        path.touch()
    texts = {"url": "tls://nats.example:4222", "user": "meter", "password": "secret", "inbox_prefix": "_INBOX_meter"}
    given = {f"nats_{name}": value for name, value in {**paths, **texts}.items()}
    nats = read_settings(**given).nats
    assert nats == NatsSettings(**{**paths, **texts})
    assert set(NatsSettings.model_fields) == {*paths, *texts}


def test_a_password_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMONWATT_NATS_PASSWORD", "open-sesame")
    assert "open-sesame" not in repr(read_settings())


def test_retention_follows_the_settings() -> None:
    keep = read_settings(readings_days=40, replicas=3).retention
    assert (keep.readings_days, keep.replicas) == (40, 3)


def test_every_setting_has_a_description() -> None:
    assert not [name for name, field in Settings.model_fields.items() if not field.description]


# --- signing in ---


def test_sign_in_is_required_unless_told_otherwise() -> None:
    assert read_settings().sign_in == "required"
    assert read_settings(host="0.0.0.0").sign_in == "required"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
def test_sign_in_can_be_off_where_nobody_else_comes(host: str) -> None:
    assert read_settings(sign_in="off", host=host).sign_in == "off"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", "localhost.example.org", ""])
def test_sign_in_is_not_off_where_others_come(host: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read_settings(sign_in="off", host=host)
    line = str(raised.value)
    assert line.startswith(f"sign_in is off and host is {host!r}: whoever reaches that address would see everything")
    assert line.endswith("or listen on 127.0.0.1")


@pytest.mark.parametrize("secret", ["open-sesame", "x" * 31])
def test_a_secret_that_is_too_short_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.setenv("COMMONWATT_TOKEN_SECRET", secret)
    with pytest.raises(SettingsError) as raised:
        read_settings()
    (line,) = str(raised.value).splitlines()
    assert line.startswith("setting token_secret: String should have at least 32 characters; expected: ")
    assert secret not in line
    assert raised.value.__cause__ is None


def test_a_secret_of_the_wrong_type_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file(tmp_path, monkeypatch, "token_secret = 12345678901234567890123456789012345678\n")
    with pytest.raises(SettingsError) as raised:
        read_settings()
    assert "12345" not in str(raised.value)


def test_a_secret_does_not_show_and_reaches_child_processes() -> None:
    settings = read_settings(token_secret="open-sesame-" * 3)
    assert "sesame" not in repr(settings)
    assert settings.environment["COMMONWATT_TOKEN_SECRET"] == "open-sesame-" * 3


def test_child_processes_get_all_that_sign_in_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = tmp_path / "keys.json"
    keys.touch()
    given = {"token_issuer": "https://issuer.example", "token_audience": "watches", "token_jwks": str(keys)}
    settings = read_settings(**given, token_key=keys, data_dir=tmp_path, sign_in="off", trusted_only=False)
    for name, value in settings.environment.items():
        monkeypatch.setenv(name, value)
    assert read_settings() == settings


@pytest.mark.parametrize("absent", ["token_issuer", "token_audience", "token_jwks"])
def test_another_issuer_is_named_whole(absent: str) -> None:
    given = {"token_issuer": "a", "token_audience": "b", "token_jwks": "https://issuer.example/keys"}
    with pytest.raises(SettingsError, match=f"^setting {absent} is missing: token_issuer, token_audience, token_jwks"):
        read_settings(**(given | {absent: None}))
    assert read_settings(**given).token_jwks == given["token_jwks"]
    assert read_settings(**dict.fromkeys(given, "")).token_jwks == ""


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:80/keys", "http://localhost/keys", "http://[::1]:8080/", "https://a.b"]
)
def test_keys_come_from_an_address_that_nobody_else_can_speak_for(url: str) -> None:
    assert read_settings(token_issuer="a", token_audience="b", token_jwks=url).token_jwks == url


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.example/keys",
        "http://127.0.0.1.example/keys",
        "https://user:pass@issuer.example/keys",
        "https://user@issuer.example/keys",
        "ftp://issuer.example/keys",
        "file:///etc/passwd",
        "https://",
        "https://[",
        "https://a:port/",
    ],
)
def test_keys_come_from_no_other_address(url: str) -> None:
    with pytest.raises(
        SettingsError, match="token_jwks must be an https address without a user, or http on a loopback"
    ):
        read_settings(token_issuer="a", token_audience="b", token_jwks=url)


def test_a_file_of_keys_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = str(tmp_path / "absent.json")
    with pytest.raises(SettingsError, match=f"token_jwks names '{path}', which is no file and no address"):
        read_settings(token_issuer="a", token_audience="b", token_jwks=path)

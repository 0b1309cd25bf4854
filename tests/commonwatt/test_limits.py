"""Settings of limits: each reaches the server under its own name."""

from dataclasses import fields
from typing import Any

import pytest

from commonwatt.limits import LimitSettings
from commonwatt.settings import SettingsError, read_settings
from schema.limits import DocumentLimits
from server.limits import Limits


def setting(name: str) -> str:
    return name.removesuffix("_s") if name.endswith("_timeout_s") else f"max_{name}"


def test_the_defaults_are_those_of_the_server() -> None:
    assert read_settings().limits == Limits()


@pytest.mark.parametrize("name", [one.name for one in fields(Limits) if one.name != "documents"])
def test_each_limit_of_the_server_is_a_setting(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"COMMONWATT_{setting(name).upper()}", "12345")
    assert getattr(read_settings().limits, name) == 12345
    assert getattr(read_settings(**{setting(name): 54321}).limits, name) == 54321


@pytest.mark.parametrize("name", [one.name for one in fields(DocumentLimits)])
def test_each_limit_of_documents_is_a_setting(name: str) -> None:
    assert getattr(read_settings(**{setting(name): 7}).limits.documents, name) == 7


def test_no_setting_is_without_its_limit() -> None:
    named = {setting(one.name) for kind in (Limits, DocumentLimits) for one in fields(kind)} - {"max_documents"}
    assert set(LimitSettings.model_fields) == named | {"trusted_proxies"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_connections", 0),
        ("max_depth", -1),
        ("max_cost", "many"),
        ("max_header_bytes", 100),
        ("idle_timeout", 0),
        ("request_timeout", "PT5S"),
        ("trusted_proxies", ["10.0.0.0/33"]),
        ("trusted_proxies", ["proxy.example"]),
        ("trusted_proxies", "10.0.0.1"),
        ("allowed_origins", ["watch.example"]),
        ("allowed_origins", ["https://watch.example/page"]),
        ("allowed_origins", ["null"]),
    ],
)
def test_what_is_no_limit_stops_the_start_with_its_name(name: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=rf"setting {name}.*expected: .*COMMONWATT_{name.upper()}"):
        read_settings(**{name: value})


def test_proxies_are_a_list_of_addresses_and_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMONWATT_TRUSTED_PROXIES", '["10.0.0.0/8", "2001:db8::1"]')
    monkeypatch.setenv("COMMONWATT_ALLOWED_ORIGINS", '["*", "capacitor://localhost", "https://a.example:8443"]')
    settings = read_settings()
    assert settings.trusted_proxies == ("10.0.0.0/8", "2001:db8::1")
    assert len(settings.allowed_origins) == 3

"""Whatever a person types for a server means one WebSocket, or is refused with the form expected."""

import pytest

from watch.address import AddressError, is_loopback, read_address


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("http://127.0.0.1:8000", "ws://127.0.0.1:8000/graphql"),
        ("http://127.0.0.1:8000/", "ws://127.0.0.1:8000/graphql"),
        ("ws://127.0.0.1:8000/graphql", "ws://127.0.0.1:8000/graphql"),
        ("https://energy.example/graphql/", "wss://energy.example/graphql"),
        ("wss://energy.example", "wss://energy.example/graphql"),
        ("https://energy.example/village", "wss://energy.example/village/graphql"),
        (" http://[::1]:8000#home=x ", "ws://[::1]:8000/graphql"),
    ],
)
def test_an_address_means_a_socket(typed: str, meant: str) -> None:
    assert read_address(typed).socket == meant


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "127.0.0.1:8000",
        "ftp://host",
        "http://",
        "http://:8000",
        "http://host:0",
        "http://host:99999",
        "http://[::1",
    ],
)
def test_what_names_no_server_is_refused_with_the_form_expected(typed: str) -> None:
    with pytest.raises(AddressError, match=r"expected a form like http://127\.0\.0\.1:8000"):
        read_address(typed)


@pytest.mark.parametrize(
    ("url", "mine"),
    [("ws://localhost:1/", True), ("ws://127.9.9.9", True), ("ws://[::1]:8", True), ("ws://energy.example", False)],
)
def test_this_machine_is_known_by_its_names(url: str, mine: bool) -> None:
    assert is_loopback(url) is mine


def test_an_address_means_every_endpoint() -> None:
    address = read_address("wss://energy.example/village/graphql/")
    assert address.graphql == "https://energy.example/village/graphql"
    assert address.authorization == "https://energy.example/village/oauth/device_authorization"
    assert address.token == "https://energy.example/village/oauth/token"
    assert address.server == "https://energy.example/village"

import pytest

from server.addresses import Proxies, client_key


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("255.255.255.255", "255.255.255.255"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        (None, "unknown"),
        ("", "unknown"),
        ("x" * 5000, "unknown"),
        ("[::1]:80", "unknown"),
    ],
)
def test_clients_are_counted_by_what_one_customer_has(host: str | None, key: str) -> None:
    assert client_key(host) == key


def test_proxies_are_addresses_and_networks() -> None:
    proxies = Proxies(["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"])
    for host in ("10.1.2.3", "192.0.2.7", "2001:db8::5", "::ffff:10.0.0.1"):
        assert host in proxies, host
    for other in ("11.0.0.1", "192.0.2.8", "2001:db9::5", "nonsense", "", None):
        assert other not in proxies, other
    assert "10.1.2.3" not in Proxies()

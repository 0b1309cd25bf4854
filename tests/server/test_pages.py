import base64
import hashlib
import re

import pytest
from starlette.datastructures import Headers

from server.pages import home_page, message_page, prefers_html

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        (BROWSER, True),
        ("text/html", True),
        ("TEXT/HTML ; Q=0.5", True),
        ("text/html;q=0.5, application/json", False),
        ("text/html, application/json;q=0.5", True),
        ("application/graphql-response+json, application/json;q=0.9, text/html;q=0.8", False),
        ("application/json", False),
        ("*/*", False),
        ("", False),
        ("text/html;q=nonsense", False),
        (";;,,;q=", False),
    ],
)
def test_html_is_for_those_who_prefer_it(accept: str, html: bool) -> None:
    assert prefers_html(Headers({"Accept": accept})) is html


def test_several_accept_headers_count_as_one() -> None:
    raw = [(b"accept", b"application/json;q=0.1"), (b"accept", b"text/html")]
    assert prefers_html(Headers(raw=raw))


def test_the_home_page_links_only_what_there_is() -> None:
    full = bytes(home_page(graphiql=True, watch=True, pairing=True).body).decode()
    bare = bytes(home_page(graphiql=False, watch=False, pairing=False).body).decode()
    for href in ("/community/", "/health", "/ready", "/metrics"):
        assert f'href="{href}"' in full
        assert f'href="{href}"' in bare
    for href in ("/graphql", "/watch/", "/device"):
        assert f'href="{href}"' in full
        assert f'href="{href}"' not in bare


def test_a_message_is_shown_as_text() -> None:
    page = bytes(message_page("<b>", "<script>", 404).body).decode()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_the_policy_lets_the_page_have_its_own_style_and_nothing_else() -> None:
    page = home_page(graphiql=True, watch=True, pairing=True)
    (style,) = re.findall("<style>(.*?)</style>", bytes(page.body).decode())
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = page.headers["Content-Security-Policy"]
    assert f"style-src 'sha256-{digest}'" in policy
    assert "script-src" not in policy
    assert policy.startswith("default-src 'none'")

from pathlib import Path

import httpx
import pytest

from bus.client import Bus
from server.app import create_app
from server.options import ServerOptions
from tests.server.served import serving

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def static(tmp_path: Path) -> Path:
    (tmp_path / "graphiql").mkdir()
    return tmp_path


async def test_graphiql_is_shown_to_a_browser_in_development(bus: Bus, static: Path) -> None:
    (static / "graphiql" / "index.html").write_text("<p>GraphiQL", encoding="utf-8")
    (static / "graphiql" / "page-AB12CD34.js").write_text("1", encoding="utf-8")
    options = ServerOptions(development=True, static_directory=static)
    async with serving(bus, options) as url, httpx.AsyncClient(base_url=url) as http:
        page = await http.get("/graphql", headers=BROWSER)
        assert (page.status_code, page.text) == (200, "<p>GraphiQL")
        assert page.headers["cache-control"] == "no-cache"
        assert page.headers["vary"] == "Accept"
        script = await http.get("/static/graphiql/page-AB12CD34.js")
        assert "immutable" in script.headers["cache-control"]
        # Workers take their policy from their own response.
        assert script.headers["content-security-policy"] == page.headers["content-security-policy"]
        assert "script-src 'self'" in page.headers["content-security-policy"]
        query = await http.get("/graphql", params={"query": "{ __typename }"}, headers=BROWSER)
        assert query.json() == {"data": {"__typename": "Query"}}
        assert (await http.get("/graphql")).status_code == 400


async def test_graphiql_that_is_not_built_says_how_to_build_it(bus: Bus, static: Path) -> None:
    options = ServerOptions(development=True, static_directory=static / "missing")
    async with serving(bus, options) as url, httpx.AsyncClient(base_url=url) as http:
        page = await http.get("/graphql", headers=BROWSER)
        assert page.status_code == 503
        assert "make setup" in page.text
        assert (await http.get("/static/graphiql/index.html")).status_code == 404


async def test_there_is_no_graphiql_outside_development(bus: Bus, static: Path) -> None:
    (static / "graphiql" / "index.html").write_text("<p>GraphiQL", encoding="utf-8")
    async with serving(bus, ServerOptions(static_directory=static)) as url, httpx.AsyncClient(base_url=url) as http:
        page = await http.get("/graphql", headers=BROWSER)
        assert page.status_code == 404
        assert "<p>GraphiQL" not in page.text


async def test_the_watch_page_is_served_from_its_folder(bus: Bus, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<p>watch", encoding="utf-8")
    options = ServerOptions(watch_directory=tmp_path)
    async with serving(bus, options) as url, httpx.AsyncClient(base_url=url, follow_redirects=True) as http:
        page = await http.get("/watch")
        assert (page.url.path, page.text) == ("/watch/", "<p>watch")
        assert "script-src 'self'" in page.headers["content-security-policy"]
        assert "unsafe" not in page.headers["content-security-policy"]
        assert 'href="/watch/"' in (await http.get("/")).text


async def test_every_response_has_security_headers(bus: Bus) -> None:
    async with serving(bus) as url, httpx.AsyncClient(base_url=url) as http:
        for path in ("/", "/health", "/ready", "/metrics", "/graphql", "/watch/", "/static/x", "/nothing"):
            headers = (await http.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff", path
            assert headers["x-frame-options"] == "DENY", path
            assert headers["referrer-policy"] == "no-referrer", path
            assert headers["content-security-policy"].startswith("default-src 'none'"), path
            assert "frame-ancestors 'none'" in headers["content-security-policy"], path
            assert headers["cache-control"] in ("no-store", "no-cache"), path
            assert "server" not in headers, path


async def test_what_is_unexpected_is_masked(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object) -> bool:
        raise RuntimeError("password is hunter2")

    app = create_app(bus, ServerOptions())
    monkeypatch.setattr(Bus, "connected", property(fail))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        response = await http.get("/ready")
    assert response.status_code == 500
    (error,) = response.json()["errors"]
    assert error["extensions"]["code"] == "INTERNAL"
    assert error["extensions"]["reference"] in error["message"]
    assert "hunter2" not in response.text

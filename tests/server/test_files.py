from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from server.files import Files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text("<p>hello", encoding="utf-8")
    (folder / "page-AB12CD34.js").write_text("1", encoding="utf-8")
    (folder / "page.js").write_text("1", encoding="utf-8")
    (folder / "a-component.js").write_text("1", encoding="utf-8")
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    return folder


@pytest.fixture
async def http(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    routes = [
        Mount("/site", Files(folder, policy="default-src 'self'", html=True)),
        Mount("/missing", Files(folder / "missing", policy="", html=True)),
    ]
    transport = httpx.ASGITransport(Starlette(routes=routes))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def test_a_hashed_name_is_kept_for_good(http: httpx.AsyncClient) -> None:
    response = await http.get("/site/page-AB12CD34.js")
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert response.headers["content-security-policy"] == "default-src 'self'"
    assert response.headers["content-type"].startswith("text/javascript")


async def test_another_name_is_asked_for_each_time(http: httpx.AsyncClient) -> None:
    assert (await http.get("/site/a-component.js")).headers["cache-control"] == "no-cache"
    response = await http.get("/site/page.js")
    assert response.headers["cache-control"] == "no-cache"
    again = await http.get("/site/page.js", headers={"If-None-Match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == "no-cache"


async def test_a_folder_shows_its_index(http: httpx.AsyncClient) -> None:
    response = await http.get("/site/")
    assert response.text == "<p>hello"
    assert response.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "path",
    [
        "/site/nothing",
        "/site/..%2fsecret.txt",
        "/site/%2e%2e/secret.txt",
        "/site/link.txt",
        "/site/%00",
        "/missing/",
        "/missing/x",
    ],
)
async def test_what_is_not_in_the_folder_is_not_found(http: httpx.AsyncClient, path: str) -> None:
    response = await http.get(path)
    assert response.status_code == 404
    assert "secret" not in response.text

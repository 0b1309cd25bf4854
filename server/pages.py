"""The pages that the server writes itself: where things are, and why something is not there."""

import base64
import hashlib
from html import escape
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse

from server.headers import POLICY_NOTHING

_STYLE: Final = (
    ":root{color-scheme:light dark}body{font:1rem/1.6 system-ui,sans-serif;max-width:36rem;margin:12vh auto;"
    "padding:0 1.5rem}h1{font-size:1.5rem}li{margin:.4rem 0}a{color:inherit}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY: Final = f"{POLICY_NOTHING}; style-src 'sha256-{_STYLE_HASH}'"


def home_page(*, graphiql: bool, watch: bool, pairing: bool) -> HTMLResponse:
    """Return the page at /: what there is, with links."""
    links = [
        *([("/graphql", "GraphiQL", "try queries and subscriptions, and read the schema")] if graphiql else []),
        *([("/watch/", "The watch", "what shows on a wrist")] if watch else []),
        ("/community/", "The community", "what its operator looks at"),
        *([("/device", "Pair a device", "let in a watch that shows a code")] if pairing else []),
        ("/health", "Health", "whether the server answers"),
        ("/ready", "Ready", "whether NATS is connected and the data current"),
        ("/metrics", "Metrics", "for Prometheus"),
    ]
    items = "".join(f'<li><a href="{href}">{escape(name)}</a>: {escape(text)}</li>' for href, name, text in links)
    return _page("Commonwatt", f"<p>Live energy-community data.</p><ul>{items}</ul>")


def message_page(title: str, text: str, status: int) -> HTMLResponse:
    """Return a page with one paragraph."""
    return _page(title, f"<p>{escape(text)}</p>", status)


def _page(title: str, body: str, status: int = 200) -> HTMLResponse:
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{escape(title)}</h1>{body}</body></html>"
    )
    return HTMLResponse(html, status_code=status, headers={"Content-Security-Policy": _POLICY})


def prefers_html(headers: Headers) -> bool:
    """Say whether the Accept header asks for HTML rather than JSON (RFC 9110, 12.5.1)."""
    weights: dict[str, float] = {}
    for part in ",".join(headers.getlist("accept")).split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = float(parameter[2:])
                except ValueError:
                    weight = 0.0
        weights[kind] = max(weight, weights.get(kind, 0.0))
    json = max(weights.get("application/json", 0.0), weights.get("application/graphql-response+json", 0.0))
    return weights.get("text/html", 0.0) > json

"""The plot: wake-ups and bytes per hour of each way, as an SVG that is readable on a dark page and on a light one."""

from collections.abc import Sequence
from html import escape
from math import ceil, floor, log10
from typing import Final

from bench.watch_energy.figures import Row

_LEFT, _PANEL, _GAP, _LINE, _TOP = 300, 250, 70, 24, 56
_OURS: Final = frozenset({"step", "foreground", "low", "ambient", "background"})
_STYLE: Final = (
    "text{font:13px system-ui,sans-serif;fill:#57606a}.v{font-size:12px}.h{font-weight:600}"
    "line{stroke:#8b949e;stroke-opacity:.35}.them{fill:#8b949e}.ours{fill:#2da44e}"
    "@media(prefers-color-scheme:dark){text{fill:#adbac7}.ours{fill:#3fb950}}"
)


def draw(rows: Sequence[Row], title: str) -> str:
    """Return the SVG of some ways; both axes are logarithmic."""
    width, height = _LEFT + 2 * _PANEL + 2 * _GAP, _TOP + _LINE * len(rows) + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{escape(title)}">',
        f"<style>{_STYLE}</style>",
        f'<text class="h" x="8" y="20">{escape(title)}</text>',
    ]
    for number, one in enumerate(rows):
        y = _TOP + _LINE * number + 15
        parts.append(f'<text x="{_LEFT - 12}" y="{y}" text-anchor="end">{escape(_plain(one.title))}</text>')
    parts += _panel(_LEFT, "wake-ups per hour", [(one.name, one.wakeups) for one in rows], height)
    parts += _panel(_LEFT + _PANEL + _GAP, "bytes per hour", [(one.name, one.bytes) for one in rows], height)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(x: int, name: str, values: Sequence[tuple[str, float]], height: int) -> list[str]:
    low = floor(log10(min(value for _, value in values)))
    high = ceil(log10(max(value for _, value in values)))
    parts = [f'<text class="h" x="{x}" y="{_TOP - 12}">{name}</text>']
    for power in range(low, high + 1):
        at = x + _PANEL * (power - low) / (high - low)
        parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP - 4}" y2="{height - 12}"/>')
    for number, (way, value) in enumerate(values):
        long = max(2.0, _PANEL * (log10(value) - low) / (high - low))
        y = _TOP + _LINE * number
        kind = "ours" if way in _OURS else "them"
        parts.append(f'<rect class="{kind}" x="{x}" y="{y + 3}" width="{long:.1f}" height="{_LINE - 8}" rx="2"/>')
        parts.append(f'<text class="v" x="{x + long + 6:.1f}" y="{y + 15}">{_figure(value)}</text>')
    return parts


def _figure(value: float) -> str:
    if value >= 1_000_000:
        return f"{value / 1_000_000:.1f} M"
    return f"{value / 1000:.1f} k" if value >= 10_000 else f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _plain(title: str) -> str:
    return title.replace("`", "")

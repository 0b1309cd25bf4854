"""Health: whether the process answers, and whether what it answers is current."""

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse

from bus.client import Bus
from resolvers.directory import Directory
from resolvers.errors import ResolverError
from resolvers.live import Live
from server.drain import Drain

log = structlog.get_logger(__name__)


async def show_health(_: Request) -> JSONResponse:
    """Answer /health: 200 as soon as the process answers at all."""
    return JSONResponse({"status": "ok"})


class Readiness:
    """Ready: NATS is connected, the registry is read, frames are current, and the server is not about to end.

    Frames are current while every community that someone follows, and that ever had a frame, has
    one that is at most `frame_age_s` old. A community on event time (a replay) does not count:
    its frames end with its data. Whoever asks learns how many are not; which, the log says.
    """

    def __init__(self, bus: Bus, directory: Directory, live: Live, frame_age_s: float, drain: Drain) -> None:
        self._bus = bus
        self._directory = directory
        self._live = live
        self._frame_age_s = frame_age_s
        self._drain = drain
        self._said: list[str] = []

    async def show(self, _: Request) -> JSONResponse:
        """Answer /ready: 200, or 503 with the conditions that fail."""
        nats, registry, old = self._bus.connected, self._directory.loaded, self._old()
        if old != self._said:
            self._said = old
            log.info("communities without a current frame", communities=old)
        reasons = [
            *(["the server is ending"] if self._drain.began else []),
            *([] if nats else ["NATS is not connected"]),
            *([] if registry else ["the registry is not read yet"]),
            *([f"communities without a frame of the last {self._frame_age_s:g} s: {len(old)}"] if old else []),
        ]
        body = {
            "ready": not reasons,
            "conditions": {"nats": nats, "registry": registry, "frames": not old},
            "reasons": reasons,
        }
        return JSONResponse(body, status_code=503 if reasons else 200)

    def _old(self) -> list[str]:
        return [
            community
            for community, age in sorted(self._live.ages_s().items())
            if age > self._frame_age_s and self._runs_on_wall_time(community)
        ]

    def _runs_on_wall_time(self, community: str) -> bool:
        try:
            return self._directory.community(community).clock == "wall"
        except ResolverError:
            return False

"""Health: whether the process answers, and whether what it answers is current."""

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse

from bus.client import Bus
from resolvers.directory import Directory
from resolvers.errors import ResolverError
from resolvers.live import Live
from server.drain import Drain

_MAX_REASONS: Final = 10


async def show_health(_: Request) -> JSONResponse:
    """Answer /health: 200 as soon as the process answers at all."""
    return JSONResponse({"status": "ok"})


@dataclass(frozen=True, slots=True)
class Readiness:
    """Ready: NATS is connected, the registry is read, frames are current, and the server is not about to end.

    Frames are current while every community that someone follows, and that ever had a frame, has
    one that is at most `frame_age_s` old. A community on event time (a replay) does not count:
    its frames end with its data.
    """

    bus: Bus
    directory: Directory
    live: Live
    frame_age_s: float
    drain: Drain

    async def show(self, _: Request) -> JSONResponse:
        """Answer /ready: 200, or 503 with the conditions that fail."""
        nats, registry, old = self.bus.connected, self.directory.loaded, self._old()
        reasons = [
            *(["the server is ending"] if self.drain.began else []),
            *([] if nats else ["NATS is not connected"]),
            *([] if registry else ["the registry is not read yet"]),
            *old[:_MAX_REASONS],
        ]
        body = {
            "ready": not reasons,
            "conditions": {"nats": nats, "registry": registry, "frames": not old},
            "reasons": reasons,
        }
        return JSONResponse(body, status_code=503 if reasons else 200)

    def _old(self) -> list[str]:
        return [
            f"the latest frame of community {community} is {age:.0f} s old; at most {self.frame_age_s:g} s is allowed"
            for community, age in sorted(self.live.ages_s().items())
            if age > self.frame_age_s and self._runs_on_wall_time(community)
        ]

    def _runs_on_wall_time(self, community: str) -> bool:
        try:
            return self.directory.community(community).clock == "wall"
        except ResolverError:
            return False

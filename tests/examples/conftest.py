"""The server, for scripts as subprocesses: it asks for tokens, and takes trusted documents only."""

from tests.watch.conftest import guarded_stand, watch_nats

__all__ = ["guarded_stand", "watch_nats"]

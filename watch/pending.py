"""What has been heard and not yet looked at, at most one result and one link state.

News cross it from the task that listens to the one that draws. The latest wins: a slow drawer skips states and
never makes the memory grow. It never blocks the listener.
"""

import asyncio

from watch.news import News


class Pending:
    """A mailbox for one reader, holding at most two news: the latest of each kind, in the order heard."""

    def __init__(self) -> None:
        self._news: list[News] = []
        self._changed = asyncio.Event()
        self._ended: BaseException | None = None

    def __len__(self) -> int:
        return len(self._news)

    def put(self, news: News) -> None:
        """Add `news` behind what waits, in place of what waits of the same kind."""
        self._news = [waiting for waiting in self._news if type(waiting) is not type(news)]
        self._news.append(news)
        self._changed.set()

    def end(self, why: BaseException) -> None:
        """Say that nothing more will come; the reader gets what waits, then `why` is raised."""
        self._ended = why
        self._changed.set()

    async def get(self) -> News:
        """Wait for news and take the oldest that waits. Cancelling loses nothing."""
        while not self._news:
            if self._ended is not None:
                raise self._ended
            self._changed.clear()
            await self._changed.wait()
        return self._news.pop(0)

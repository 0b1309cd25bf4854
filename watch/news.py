"""What is heard of a subscription that is kept up (watch.following)."""

from watch.following import Link, News, Result
from watch.verdict import Standing

__all__ = ["Link", "News", "Result", "Standing"]

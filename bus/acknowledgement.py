"""JetStream's answer to a message that was published: where it is stored, or why not."""

import json
from typing import Final

from nats.aio.msg import Msg

from bus.errors import BusError, ConflictError, UnavailableError

_WRONG_LAST_SEQUENCE: Final = (10071, 10164)
_BATCH_LOST: Final = (10176, 10210)
"""Part of the batch did not arrive (the connection broke in the middle), or too many are open: none is stored."""


def stored_at(reply: Msg) -> int:
    """Return the stream sequence in an answer; raise ConflictError, UnavailableError or BusError where it is none."""
    answer = json.loads(reply.data)
    if error := answer.get("error"):
        text = f"{error.get('description')} ({error.get('err_code')})"
        if error.get("err_code") in _WRONG_LAST_SEQUENCE:
            raise ConflictError(text)
        if error.get("code") == 503 or error.get("err_code") in _BATCH_LOST:
            raise UnavailableError(text)
        raise BusError(text)
    return int(answer["seq"])

"""The codes with which a session closes its connection, by the protocol and by our own limits."""

from enum import IntEnum


class Close(IntEnum):
    """Why a session is closed."""

    TRY_AGAIN_LATER = 1013
    BAD_MESSAGE = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    INIT_TIMEOUT = 4408
    SUBSCRIBER_EXISTS = 4409
    TOO_MANY_INITS = 4429
    INTERNAL_ERROR = 4500

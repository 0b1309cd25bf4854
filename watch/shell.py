"""The shell around the device: it tells the machine what happens, and does what the machine says.

Events come in from lines, clocks and whoever holds the watch; the state changes, and whoever waits for that is
woken. All decisions are the machine's (watch.device).
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Self

from watch import commands as do
from watch import events as on
from watch.address import Address
from watch.device import after
from watch.documents import RECEIPT, Document
from watch.events import Event, Screen
from watch.http import AuthorizeLine, GetLine, PollLine, StreamLine
from watch.line import Line, Party, SocketLine
from watch.memory import Memory
from watch.meter import Meter
from watch.receipt import Bill, Receipt, read_bill
from watch.state import Moment, Open, State
from watch.store import Store
from watch.transport import Limits

_CLOSE_S = 5.0
_SAVE_MS = 10_000
"""At most one write of the last state in so long, but for the last one."""


class Shell:
    """A device on one server. Entered, it works; left, it has closed all that it opened.

    `now` tells time and chance; `client` is what the device calls itself when it pairs; `store` keeps its pairing,
    `memory` its last state, None: nobody does. `tap` is called where the wrist is to be tapped.
    """

    def __init__(
        self,
        address: Address,
        documents: Mapping[str, Document],
        *,
        now: Callable[[], Moment],
        client: str = "watch",
        store: Store | None = None,
        memory: Memory | None = None,
        limits: Limits | None = None,
        tap: Callable[[], None] = lambda: None,
    ) -> None:
        self.state = State()
        self.bill: Bill | None = None  # of the open connection, once it was asked for
        self.complaint = ""  # what did not work and only the user can mend
        self.began = now().wall  # since when the receipt counts, in ms
        self._now = now
        self._client = client
        self._store = store
        self._memory = memory
        self._saved: int | None = None
        self._tap = tap
        self._meter = Meter(lambda: now().steady)
        self._party = Party(address, documents, limits or Limits(), self._meter)
        self._line: Line | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self._failure: BaseException | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._save()
        self.put(on.Stopped())
        self._drop()
        if self._timer is not None:
            self._timer.cancel()
        if self._closing:
            await asyncio.wait(self._closing, timeout=_CLOSE_S)

    @property
    def receipt(self) -> Receipt:
        """What the device has cost so far."""
        return self._meter.receipt

    def now(self) -> Moment:
        """Return this moment."""
        return self._now()

    def put(self, event: Event) -> None:
        """Let the machine take an event, and do what it says."""
        self.state, commands = after(self.state, event, self._now())
        self._party.token = self.state.token
        for command in commands:
            self._do(command)
        if isinstance(event, on.Result | on.Unchanged):
            now = self._now().steady
            if self._saved is None or now - self._saved >= _SAVE_MS:
                self._saved = now
                self._save()
        if isinstance(event, on.Turned):
            self._ask_bill()
        self._arm()
        self._changed.set()

    async def changed(self) -> State:
        """Wait until the state has changed since the last call; cancelling loses nothing.

        Raises what nobody foresaw in a line.
        """
        await self._changed.wait()
        self._changed.clear()
        if self._failure is not None:
            raise self._failure
        return self.state

    def _do(self, command: do.Command) -> None:
        line, party = self._line, self._party
        match command:
            case do.Connect():
                self._open(lambda tell: SocketLine(party, tell))
            case do.Stream():
                self._open(lambda tell: StreamLine(party, tell, command))
            case do.Get():
                self._open(lambda tell: GetLine(party, tell, command))
            case do.Authorize():
                self._open(lambda tell: AuthorizeLine(party, tell, self._client))
            case do.Poll():
                self._open(lambda tell: PollLine(party, tell, self._client, command.device_code))
            case do.Close():
                self._drop()
            case do.Subscribe() if isinstance(line, SocketLine):
                line.subscribe(command.id, command.document, command.variables)
            case do.Complete() if isinstance(line, SocketLine):
                line.complete(command.id)
            case do.Ping() if isinstance(line, SocketLine):
                line.ping()
            case do.Renew() if isinstance(line, SocketLine):
                line.ping({"token": self.state.token or ""})
            case do.Keep() | do.Forget():
                self._remember(command)
            case do.Tap():
                self._tap()
            case _:
                pass

    def _ask_bill(self) -> None:
        """Ask what the server has counted, if the receipt is looked at over an open socket."""
        line, state = self._line, self.state
        if state.screen is not Screen.RECEIPT or state.open is not Open.OPEN or not isinstance(line, SocketLine):
            return

        def take(data: Mapping[str, Any]) -> None:
            if self._line is line:
                self.bill = read_bill(data)
                self._changed.set()

        line.ask(RECEIPT, take)

    def _save(self) -> None:
        target, readings = self.state.target, self.state.readings
        if self._memory is None or target is None or all(known.steady is None for known in readings.values()):
            return  # nobody keeps it, or nothing was heard
        try:
            self._memory.keep(self._party.address.server, target, readings)
        except OSError as error:
            self.complaint = f"the last state could not be stored: {error}"

    def _remember(self, command: do.Keep | do.Forget) -> None:
        if self._store is None:
            return
        server = self._party.address.server
        try:
            if isinstance(command, do.Keep):
                self._store.keep(server, command.token, command.home)
            else:
                self._store.forget(server)
        except OSError as error:
            self.complaint = f"the pairing could not be stored: {error}"

    def _open(self, build: Callable[[Callable[[Event], None]], Line]) -> None:
        self._drop()

        def tell(event: Event) -> None:
            if self._line is line:  # what was dropped has nothing to say
                self.put(event)

        line = build(tell)
        self._line = line
        self._task = self._run(line.run())

    def _drop(self) -> None:
        self._line = self.bill = None
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._closing.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._closing.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()
            self._changed.set()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.state.due is not None:
            wait_s = max(0, self.state.due - self._now().steady) / 1000
            self._timer = asyncio.get_running_loop().call_later(wait_s, self.put, on.Tick())

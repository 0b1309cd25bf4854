"""One step of the device's fold while it pairs: asking for a code, polling, leaving off."""

from watch import commands as do
from watch.backoff import delay_ms
from watch.pairing import Pairing, Phase
from watch.state import Awaited, Mode
from watch.step import ANSWER_MS, Step
from watch.verdict import Standing


class PairingStep(Step):
    """A step that knows how to pair."""

    def authorize(self) -> None:
        self.set(mode=Mode.PAIRING, pairing=Pairing())
        self.link(Standing.IDLE)
        self.command(do.Authorize())
        self.wait(Awaited.ANSWER, ANSWER_MS)

    def poll(self) -> None:
        pairing = self.state.pairing
        if pairing is None:
            return
        if pairing.phase is Phase.ASKING:
            self.command(do.Authorize())
        elif self.now.steady >= pairing.ends:
            self.set(pairing=pairing.denied("expired_token"))
            return
        else:
            self.command(do.Poll(pairing.device_code))
        self.wait(Awaited.ANSWER, ANSWER_MS)

    def pairing_failed(self, retry: int) -> None:
        pairing = self.state.pairing
        if pairing is None or pairing.phase not in (Phase.ASKING, Phase.SHOWING):
            return
        wait = pairing.interval + retry + delay_ms(self.state.failures, self.now.chance)
        self.set(failures=self.state.failures + 1)
        self.wait(Awaited.POLL, wait)

    def leave_off(self) -> None:
        self.set(pairing=None, failures=0)
        self.wait(None)
        self.settle(at_once=True)

    def is_over(self) -> bool:
        """Say whether a token that came by pairing counts no more; if so, pair anew."""
        self.set(refusals=self.state.refusals + 1)
        if not self.state.paired or self.state.refusals < 2:
            return False
        self.set(token=None, paired=False, refusals=0, failures=0)
        self.command(do.Forget())
        self.authorize()
        return True

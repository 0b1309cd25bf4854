"""What the connection promises beyond nats-py's own; TLS and renewed keys are in test_tls and test_refusals."""

from nats.aio.msg import Msg

from bus.client import Bus, connection_of
from bus.settings import NatsSettings


async def test_who_asks_after_a_flush_finds_who_answers(bus: Bus, nats_url: str) -> None:
    """By nats-py alone, in 2 of 100 rounds nobody answers."""

    async def answer(message: Msg) -> None:
        await message.respond(b"here")

    other = await Bus.connect(NatsSettings(url=nats_url), name="test", patience_s=10)
    for number in range(300):
        await connection_of(bus).subscribe(f"question.{number}", cb=answer)
        await connection_of(bus).flush()
        assert (await connection_of(other).request(f"question.{number}", timeout=5)).data == b"here"
    await other.close()

"""The courier as the process that it is, between this one and a provider on a socket."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from api.clock import seconds_since_boot
from api.courier.client import Courier, CourierAway, NotCarried
from api.courier.wire import Errand, Order, Refusal, Terms
from api.errors import StartRefused
from api.outbound.http import DeadlineExceeded, EgressRefused, Obstacle, OutboundRequest, Unreachable

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(40)]

KEY = bytes(range(32))
ONE = UUID(int=1)


class Provider:
    """Counts what it is asked, and answers when it is let."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers = asyncio.Event()
        self.answers.set()
        self.port = 0
        self._changed = asyncio.Condition()

    @property
    def terms(self) -> Terms:
        return Terms(frozenset({f"127.0.0.1:{self.port}"}))

    def order(self, connection_id: UUID = ONE, **changes: object) -> Order:
        given = {
            "errand": Errand(connection_id, "1:token", 7),
            "request": OutboundRequest("POST", f"http://127.0.0.1:{self.port}/token", {"x-secret": "s3cret"}, b"grant"),
            "deadline": timedelta(seconds=5),
            "max_bytes": 10_000,
            "may_send": True,
            "send_before": seconds_since_boot() + 60,
        }
        return Order(**(given | changes))  # type: ignore[arg-type]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(5)
                async with self._changed:
                    self.asked += 1
                    self._changed.notify_all()
                number = self.asked
                await self.answers.wait()
                body = b'{"answer": %d}' % number
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        except (EOFError, ConnectionError):
            pass
        finally:
            writer.close()

    async def was_asked(self, times: int) -> None:
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: self.asked >= times)


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    provider = Provider()
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    provider.port = server.sockets[0].getsockname()[1]
    yield provider
    provider.answers.set()
    server.close()


@asynccontextmanager
async def courier(folder: Path, provider: Provider, key: bytes = KEY) -> AsyncIterator[Courier]:
    async with Courier.running(folder, key, provider.terms) as running:
        yield running


async def until_there(courier: Courier, was: int) -> None:
    """Until another courier than the one of this process id is there."""
    async with asyncio.timeout(15):
        while not courier.is_there or courier_pid(courier) == was:
            await asyncio.sleep(0.02)


def courier_pid(courier: Courier) -> int:
    return int((courier._folder / "pid").read_text())


def errands(found: list[tuple[Errand, int]]) -> list[UUID]:
    return [errand.connection_id for errand, _ in found]


async def refused(courier: Courier, order: Order) -> Refusal:
    with pytest.raises(NotCarried) as refused:
        await courier.carry(order)
    return refused.value.refusal


async def test_it_asks_once_and_gives_the_same_answer_until_that_is_settled(tmp_path: Path, provider: Provider) -> None:
    async with courier(tmp_path, provider) as running:
        provider.answers.clear()
        both = [asyncio.ensure_future(running.carry(provider.order())) for _ in range(2)]
        await provider.was_asked(1)
        provider.answers.set()
        first, second = await asyncio.gather(*both)
        third = await running.carry(provider.order())

        assert [kept.answer.body for kept in (first, second, third)] == [b'{"answer": 1}'] * 3
        assert {kept.sequence for kept in (first, second, third)} == {1}
        assert errands(await running.unsettled()) == [ONE]

        running.settle([1])
        assert await running.unsettled() == []
        assert (await running.carry(provider.order())).answer.body == b'{"answer": 2}'
    assert provider.asked == 2


async def test_an_answer_that_did_not_end_the_matter_is_followed_by_another_request(tmp_path: Path, provider: Provider) -> None:
    async with courier(tmp_path, provider) as running:
        first = await running.carry(provider.order())
        second = await running.carry(provider.order(after=first.sequence))
        # Heard again from the beginning, as after a crash, it is the same sequence of answers.
        again = [await running.carry(provider.order()), await running.carry(provider.order(after=first.sequence))]

    assert (second.sequence, second.answer.body) == (2, b'{"answer": 2}')
    assert [kept.sequence for kept in again] == [1, 2]
    assert provider.asked == 2


async def test_the_answer_outlives_the_server_that_asked_and_the_courier_itself(tmp_path: Path, provider: Provider) -> None:
    async with courier(tmp_path, provider) as running:
        provider.answers.clear()
        asked = asyncio.ensure_future(running.carry(provider.order()))
        await provider.was_asked(1)
        # As a server that is killed: its socket closes, and it says nothing.
        assert running._outbox is not None
        running._outbox.close()
        with pytest.raises(CourierAway) as away:
            await asked
        assert away.value.may_have_arrived
        provider.answers.set()

        await until_there(running, was=0)
        pid = courier_pid(running)
        kept = await running.carry(provider.order(may_send=False))
        assert kept.answer.body == b'{"answer": 1}'
        assert errands(await running.unsettled()) == [ONE]

        os.kill(pid, signal.SIGKILL)
        await until_there(running, was=pid)
        assert (await running.carry(provider.order(may_send=False))).answer == kept.answer
        assert errands(await running.unsettled()) == [ONE]
    assert provider.asked == 1


async def test_asked_to_end_it_finishes_what_is_under_way_and_another_takes_over(tmp_path: Path, provider: Provider) -> None:
    async with courier(tmp_path, provider) as running:
        provider.answers.clear()
        asked = asyncio.ensure_future(running.carry(provider.order(deadline=timedelta(seconds=30))))
        await provider.was_asked(1)
        pid = courier_pid(running)
        os.kill(pid, signal.SIGTERM)
        # What comes before the signal is heard is too late to be sent; so nothing is, either way.
        async with asyncio.timeout(20):
            while (refusal := await refused(running, provider.order(uuid4(), send_before=seconds_since_boot() - 1))) is Refusal.LATE:
                pass
        assert refusal is Refusal.DRAINING
        provider.answers.set()

        assert (await asked).answer.body == b'{"answer": 1}'
        await until_there(running, was=pid)
        assert errands(await running.unsettled()) == [ONE]
        assert (await running.carry(provider.order(uuid4()))).sequence == 2


async def test_killed_with_a_request_under_way_it_tells_that_nobody_knows(tmp_path: Path, provider: Provider) -> None:
    async with courier(tmp_path, provider) as running:
        provider.answers.clear()
        asked = asyncio.ensure_future(running.carry(provider.order()))
        await provider.was_asked(1)
        os.kill(courier_pid(running), signal.SIGKILL)

        with pytest.raises(CourierAway) as away:
            await asked
        assert away.value.may_have_arrived
        with pytest.raises(CourierAway) as away:
            await running.carry(provider.order())
        assert not away.value.may_have_arrived


async def test_what_it_may_not_send_it_does_not(tmp_path: Path, provider: Provider) -> None:
    async with courier(tmp_path, provider) as running:
        orders = (provider.order(may_send=False), provider.order(send_before=seconds_since_boot() - 1))
        refusals = [await refused(running, order) for order in orders]

    assert refusals == [Refusal.NOTHING, Refusal.LATE]
    assert provider.asked == 0


async def test_failures_are_told_as_what_they_are(tmp_path: Path, provider: Provider) -> None:
    async with courier(tmp_path, provider) as running:
        provider.answers.clear()
        with pytest.raises(DeadlineExceeded) as late:
            await running.carry(provider.order(deadline=timedelta(seconds=0.2)))
        with pytest.raises(EgressRefused) as refused:
            await running.carry(provider.order(request=OutboundRequest("POST", "http://127.0.0.1:1/", {}, b"grant")))
        with pytest.raises(Unreachable) as unreachable:
            await running.carry(provider.order(request=OutboundRequest("POST", "https://nowhere.invalid/", {}, b"grant")))

        assert late.value.may_have_arrived
        assert (refused.value.origin, refused.value.may_have_arrived) == ("http://127.0.0.1", False)
        assert (unreachable.value.obstacle, unreachable.value.may_have_arrived) == (Obstacle.NAME, False)
        # Of these there is nothing to save.
        assert await running.unsettled() == []


async def test_what_another_server_asked_is_that_servers_as_long_as_it_is_there(tmp_path: Path, provider: Provider) -> None:
    async with courier(tmp_path, provider) as running:
        async with courier(tmp_path, provider) as other:
            await running.carry(provider.order())
            assert await other.unsettled() == []
            # It may hear it all the same: it is the same token.
            assert (await other.carry(provider.order())).sequence == 1
        assert courier_pid(running) == courier_pid(other)
        assert errands(await running.unsettled()) == [ONE]


async def test_two_servers_that_come_first_at_once_share_one_courier(tmp_path: Path, provider: Provider) -> None:
    async def come() -> int:
        async with courier(tmp_path, provider) as running:
            await both_there.wait()
            await running.carry(provider.order())
            pid = courier_pid(running)
            await both_there.wait()
            return pid

    both_there = asyncio.Barrier(2)
    first, second = await asyncio.gather(come(), come())

    assert first == second
    assert provider.asked == 1


async def test_the_socket_and_the_files_are_for_their_owner_alone(tmp_path: Path, provider: Provider) -> None:
    folder = tmp_path / "courier"
    async with courier(folder, provider) as running:
        await running.carry(provider.order())
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "socket").stat().st_mode & 0o777 == 0o600
        for file in folder.iterdir():
            if file.is_file():
                assert b"s3cret" not in file.read_bytes()
                assert b'answer": 1' not in file.read_bytes()
    assert not (folder / "socket").exists()


async def test_a_path_that_is_too_long_for_a_socket_serves_as_well(tmp_path: Path, provider: Provider) -> None:
    async with courier(tmp_path / ("x" * 120), provider) as running:
        assert (await running.carry(provider.order())).sequence == 1


async def test_a_server_with_another_key_is_refused(tmp_path: Path, provider: Provider) -> None:
    async with courier(tmp_path, provider) as running:
        await running.carry(provider.order())

    with pytest.raises(StartRefused, match="another key"):
        async with courier(tmp_path, provider, key=bytes(32)):
            pytest.fail("it started")

    async with courier(tmp_path, provider) as running:
        assert errands(await running.unsettled()) == [ONE]


async def test_a_server_with_other_terms_gets_a_courier_of_its_own_once_the_former_is_free(tmp_path: Path, provider: Provider) -> None:
    async with courier(tmp_path, provider) as running:
        first = courier_pid(running)
        # It goes as a server goes that is killed: without a word.
        running._leave = lambda: None  # type: ignore[method-assign]
    other = Terms(provider.terms.egress_allow | {"10.0.0.1"})
    async with Courier.running(tmp_path, KEY, other) as running:
        assert courier_pid(running) != first
        assert (await running.carry(provider.order())).answer.body == b'{"answer": 1}'

"""Attacks by way of webhooks: whom they make Patchbay call, and what a receiver can do to it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

import models
from api.errors import InvalidInput
from api.webhooks.sending import Outcome, WebhookSender
from tests.attacks.test_egress import ADDRESSES, answer_names_with, in_a_url
from tests.clock import HeldClock
from tests.installation import Installation, installed
from tests.outbound.servers import Respond, Server, answer, says, serve
from tests.outbound.test_http import BOMB, drip_body, drip_headers, drip_interim_answers, say_nothing

pytestmark = pytest.mark.anyio


@pytest.fixture
async def alone(sqlite_url: str, tmp_path: Path, clock: HeldClock) -> AsyncIterator[Installation]:
    """A whole Patchbay, whose own connections none could take for a call to the outside."""
    async with installed(sqlite_url, tmp_path, clock) as here:
        yield here


async def listening(here: Installation) -> UUID:
    """A webhook at an address that was good when it was given."""
    answer_names_with(here, ["1.1.1.1"])
    new = await here.patchbay.webhooks.managing.create(here.ada, folder_id=None, url="https://good.example/hook")
    return new.webhook.id


async def sent(here: Installation, server: Server) -> Outcome:
    """What comes of a message to this server within a moment."""
    webhook = await models.Webhook.get(id=await listening(here))
    webhook.url = server.url("/hook")
    async with server.client as client:
        sender = WebhookSender(client, here.patchbay.webhooks.managing._secrets, here.clock)
        return await sender.send(webhook, "msg_1", "{}", deadline=timedelta(seconds=0.3))


async def test_a15_nothing_is_dialled_or_kept_when_such_an_address_is_saved(alone: Installation, outward: list[tuple[str, object]]) -> None:
    webhook_id, managing = await listening(alone), alone.patchbay.webhooks.managing
    outward.clear()
    for number, address in enumerate(ADDRESSES):
        answer_names_with(alone, [address])
        for base in (f"https://{in_a_url(address)}", f"https://s{number}.example"):
            with pytest.raises(InvalidInput):
                await managing.create(alone.ada, folder_id=None, url=f"{base}/hook")
            with pytest.raises(InvalidInput):
                await managing.update(alone.ada, webhook_id, url=f"{base}/hook")

    assert outward == []
    assert [webhook.url for webhook in await models.Webhook.all()] == ["https://good.example/hook"]


async def test_a15_nothing_is_dialled_when_a_name_leads_there_once_it_is_used(
    alone: Installation, outward: list[tuple[str, object]]
) -> None:
    webhook_id, managing = await listening(alone), alone.patchbay.webhooks.managing
    outward.clear()
    for number, address in enumerate(ADDRESSES):
        answer_names_with(alone, [address])
        for base in (f"https://{in_a_url(address)}", f"https://s{number}.example"):
            # As one that was kept while its name led elsewhere.
            await models.Webhook.filter(id=webhook_id).update(url=f"{base}/hook")
            outcome = await managing.send_test(alone.ada, webhook_id)
            assert outcome.error is not None
            assert outcome.error.endswith("is not called: its address is not public.")

    assert outward == []


@pytest.mark.parametrize("status", range(301, 309))
async def test_a20_a_redirect_is_a_failure_and_nothing_goes_on(alone: Installation, status: int) -> None:
    async with serve(says(answer())) as elsewhere, serve(says(answer(status, Location=elsewhere.url()))) as server:
        outcome = await sent(alone, server)

    assert (outcome.status, outcome.is_delivered) == (status, False)
    assert (len(server.requests), elsewhere.requests) == (1, [])


@pytest.mark.parametrize("respond", [drip_body, drip_headers, drip_interim_answers, say_nothing])
async def test_a22_a_slow_receiver_is_left_at_the_deadline(alone: Installation, respond: Respond) -> None:
    async with serve(respond) as server:
        outcome = await sent(alone, server)

    assert outcome == Outcome(None, "http://127.0.0.1 did not answer within 0.3 s.")


async def test_a23_an_answer_is_read_no_further_than_its_limit(alone: Installation) -> None:
    async with serve(says(answer(500, BOMB, Content_Encoding="gzip"))) as server:
        outcome = await sent(alone, server)

    assert outcome == Outcome(500, "It answered 500.")

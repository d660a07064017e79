"""From a wish to a connection."""

from datetime import timedelta

import pytest

import models
from api.errors import ProviderFailure
from api.sandbox.sandbox import Switch
from api.secret import Secret
from models import ConnectionEventType, ConnectionStatus, StatusReasonCode
from tests.installation import Installation

pytestmark = pytest.mark.anyio


async def test_a_token_that_the_provider_takes_becomes_a_connection(here: Installation) -> None:
    connection = await here.connect_with_token()

    assert (connection.name, connection.account, connection.status) == ("Sandbox", "alex", ConnectionStatus.CONNECTED)
    assert connection.is_default
    events = await models.ConnectionEvent.all()
    assert [(event.type, event.status, event.actor_id) for event in events] == [
        (ConnectionEventType.CREATED, ConnectionStatus.CONNECTED, here.ada.user_id)
    ]


async def test_a_token_that_the_provider_rejects_is_not_kept(here: Installation) -> None:
    request = here.token_request(fields={"token": Secret("wrong")})

    with pytest.raises(ProviderFailure) as failure:
        await here.patchbay.connecting.connect(here.ada, request)

    assert failure.value.reason.code is StatusReasonCode.CREDENTIAL_REJECTED
    assert await models.Connection.all().count() == 0
    assert await models.ConnectionEvent.all().count() == 0


async def test_consent_becomes_a_connection_that_renews_itself(here: Installation) -> None:
    connection = await here.connect_by_consent()
    first = await models.Credential.get(connection_id=connection.id)
    assert connection.account == "alex"
    assert connection.scopes == ["read", "write"]
    assert connection.expires_at == here.clock.now + timedelta(seconds=60)

    await here.tick(after=timedelta(seconds=55))

    renewed = await models.Connection.get(id=connection.id)
    second = await models.Credential.get(connection_id=connection.id)
    assert renewed.expires_at == here.clock.now + timedelta(seconds=60)
    assert renewed.last_refreshed_at == here.clock.now
    assert second.generation == first.generation + 1
    assert second.fingerprint != first.fingerprint
    assert await models.TokenJournal.all().count() == 0


async def test_a_revoked_grant_asks_for_a_person_once(here: Installation) -> None:
    connection = await here.connect_by_consent()
    await here.throw(Switch.REVOKE)

    await here.tick(after=timedelta(seconds=55))
    await here.tick(after=timedelta(hours=1))

    found = await models.Connection.get(id=connection.id)
    assert found.status is ConnectionStatus.ACTION_REQUIRED
    assert found.reason is not None and found.reason.code is StatusReasonCode.REAUTHENTICATION_REQUIRED
    assert found.due_at is None
    assert await models.ConnectionEvent.filter(type=ConnectionEventType.STATUS_CHANGED).count() == 1

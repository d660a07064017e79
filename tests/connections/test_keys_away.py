"""A server without a key leaves alone what it cannot open, and calls nothing broken."""

from datetime import timedelta

import pytest

import models
from api.connections.secrets import credential_place
from api.organization.app_secrets import secret_place
from api.vault.following import RingFollower
from api.vault.keys import MasterKeys, generate_key_text
from api.vault.opening import open_vault
from api.vault.rotation import Rotation
from api.vault.vault import KeyUnavailable, Vault
from models import ConnectionStatus
from tests.connections.trouble import Endpoint
from tests.installation import Installation
from tests.vault.ringing import activate

pytestmark = pytest.mark.anyio

LATER = timedelta(hours=2)


async def rotate_elsewhere(here: Installation) -> MasterKeys:
    """Another server, which has a further master key, rotates to a data key that is wrapped by it, and does not wait."""
    assert here.patchbay.settings.keys is not None
    keys = MasterKeys.from_text(f"{generate_key_text('k2')},{here.patchbay.settings.keys.reveal()}")
    vault = await open_vault(keys, here.clock)
    await Rotation(vault, RingFollower(vault, lambda: keys), keys, here.clock, print).rotate(waits=False)
    return keys


async def give(here: Installation, keys: MasterKeys) -> None:
    """The operator puts the key into the key file of this server."""
    here.patchbay.replicas._follower._master_keys = lambda: keys
    await here.patchbay.replicas.beat()


async def seen(connection: models.Connection) -> tuple[ConnectionStatus, object, int]:
    row = await models.Connection.get(id=connection.id)
    return row.status, row.reason, (await models.Credential.get(connection_id=row.id)).generation


async def test_a_server_without_the_active_key_asks_no_provider_and_heals_once_it_has_it(
    here: Installation, token_endpoint: Endpoint
) -> None:
    connection = await here.connect_by_consent()
    asked, events = token_endpoint.asked, await models.ConnectionEvent.all().count()
    keys = await rotate_elsewhere(here)
    await here.patchbay.replicas.beat()

    await here.tick(after=LATER)
    with pytest.raises(KeyUnavailable):
        await here.patchbay.connections.verify(here.ada, connection.id)

    assert await seen(connection) == (ConnectionStatus.CONNECTED, None, 1)
    assert token_endpoint.asked == asked
    assert await models.ConnectionEvent.all().count() == events
    assert await models.TokenJournal.all().count() == 0

    await give(here, keys)
    await here.tick(after=LATER)

    assert await seen(connection) == (ConnectionStatus.CONNECTED, None, 2)


async def test_rows_of_a_key_that_is_not_here_are_skipped_and_counted_and_others_are_not(here: Installation) -> None:
    away, stays = await here.connect_by_consent(name="Away"), await here.connect_by_consent(name="Stays")
    keys = await rotate_elsewhere(here)
    await activate(1)
    await seal_with(await open_vault(keys, here.clock), stays)
    await here.patchbay.replicas.beat()

    await here.tick(after=LATER)

    assert await seen(away) == (ConnectionStatus.CONNECTED, None, 1)
    assert await seen(stays) == (ConnectionStatus.CONNECTED, None, 2)
    assert here.patchbay.vault.skipped == 1
    skipped = await models.Connection.get(id=away.id)
    assert skipped.lease_until is None
    assert skipped.due_at is not None
    assert skipped.due_at - here.clock() == timedelta(seconds=60)

    await give(here, keys)
    await here.tick(after=LATER)

    assert await seen(away) == (ConnectionStatus.CONNECTED, None, 2)


async def seal_with(vault: Vault, connection: models.Connection) -> None:
    credential = await models.Credential.get(connection_id=connection.id)
    place = credential_place(credential.id, connection.folder_id)
    await models.Credential.filter(id=credential.id).update(secrets=vault.reseal(credential.secrets, place, place))
    if connection.oauth_app_id is not None:
        app = await models.OAuthApp.get(id=connection.oauth_app_id)
        assert app.client_secret is not None
        there = secret_place(app.id, app.folder_id)
        await models.OAuthApp.filter(id=app.id).update(client_secret=vault.reseal(app.client_secret, there, there))

"""What may happen between the reading of a connection and what is done with it."""

from collections.abc import Awaitable, Callable

import models
from api.access import Actor
from tests.installation import Installation

Change = Callable[[Installation, Actor, models.Connection], Awaitable[object]]


async def ada_by_token(here: Installation) -> Actor:
    """Ada, by an API token that may be revoked."""
    made = await here.patchbay.people.add_token(here.ada.user_id, name="t")
    actor = await here.patchbay.people.actor_of_token(made.token)
    assert actor is not None
    return actor


async def deactivate(here: Installation, actor: Actor, _: models.Connection) -> None:
    await models.User.filter(id=actor.user_id).update(deactivated_at=here.clock.now)


async def revoke(here: Installation, actor: Actor, _: models.Connection) -> None:
    await models.ApiToken.filter(id=actor.token_id).update(revoked_at=here.clock.now)


async def delete(here: Installation, _: Actor, connection: models.Connection) -> None:
    await here.patchbay.connections.delete(here.ada, connection.id)

"""A request that is made twice with one key is done once, and answered twice: the second time with what came of the first."""

import hmac
import json

import models
from api.access import Access, Actor
from api.connections.keeping import Idempotency
from api.connections.requests import ConnectRequest
from api.connections.wishes import idempotency_key_problem
from api.errors import Conflict
from api.secret import Secret
from api.vault.vault import Vault


class Repeats:
    def __init__(self, access: Access, vault: Vault) -> None:
        self._access = access
        self._vault = vault

    def key_of(self, actor: Actor, request: ConnectRequest) -> Idempotency | None:
        """The key of a request, together with what it was a request for; None where it has none."""
        # A key that is none is reported with the other mistakes of the request; no database is asked for it.
        if request.idempotency_key is None or idempotency_key_problem(request.idempotency_key):
            return None
        return Idempotency(request.idempotency_key, self._vault.fingerprint(Secret(_canonical(actor, request))))

    async def find_earlier(self, actor: Actor, idempotency: Idempotency) -> models.Connection | models.Authorization | None:
        """The answer that the same key had before. Raises Conflict where the request was another one, or its result is gone."""
        key = await models.IdempotencyKey.get_or_none(user_id=actor.user_id, key=idempotency.key)
        if key is None:
            return None
        if not hmac.compare_digest(key.request, idempotency.request):
            raise Conflict("This idempotency key was used for another request.", "Use a new key for a new request.")
        if key.authorization_id is not None:
            authorization = await models.Authorization.get_or_none(id=key.authorization_id)
            if authorization is None:
                raise Conflict("The consent that this key began was deleted since.", "Use a new key to connect again.")
            return authorization
        connection = await models.Connection.get_or_none(id=key.connection_id)
        if connection is None:
            raise Conflict("The connection that this key made was deleted since.", "Use a new key to connect again.")
        return await self._access.connection(actor, connection.id)


def _canonical(actor: Actor, request: ConnectRequest) -> str:
    """The request as one text, the same for the same wish."""
    app = request.own_app
    return json.dumps(
        [
            str(actor.user_id),
            str(request.folder_id),
            request.connector_key,
            request.authentication_type,
            request.option,
            request.name,
            sorted((name, value.reveal()) for name, value in request.fields.items()),
            None if app is None else [app.client_id, app.client_secret.reveal() if app.client_secret else None],
            None if request.oauth_app_id is None else str(request.oauth_app_id),
            request.scopes,
            request.return_url,
            request.connector_version,
        ]
    )

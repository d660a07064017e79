"""OAuth apps: the operator's, and those that people brought. Secrets are write-only."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid4

from tortoise.exceptions import IntegrityError
from tortoise.expressions import Q
from tortoise.functions import Count

import models
from api.access import Access, Actor, require_administrator
from api.catalog.catalog import Catalog
from api.clock import Clock
from api.errors import AuthenticationTypeUnavailable, Conflict, InvalidInput
from api.names import name_problem, tidy
from api.secret import Secret
from api.vault.vault import Place, Vault
from models import AuthenticationType, AuthorizationStatus, OAuthAppOrigin


def secret_place(app_id: UUID, folder_id: UUID | None) -> Place:
    """Where an app's secret is sealed for."""
    return Place("oauth_app", "client_secret", app_id, folder_id)


class OAuthApps:
    def __init__(self, access: Access, catalog: Catalog, vault: Vault, clock: Clock) -> None:
        self._access = access
        self._catalog = catalog
        self._vault = vault
        self._clock = clock

    async def page(
        self, actor: Actor, *, connector_key: str | None, first: int, after: UUID | None
    ) -> tuple[list[models.OAuthApp], bool, int]:
        """The operator's apps, for administrators, and those in folders that the actor can see; whether more follow; how many in all."""
        seen = Q(folder_id__in=list(await self._access.visible_folders(actor)))
        if actor.administrator:
            seen |= Q(origin=OAuthAppOrigin.OPERATOR)
        apps = models.OAuthApp.filter(seen)
        if connector_key is not None:
            apps = apps.filter(connector_key=connector_key)
        total = await apps.count()
        if after is not None:
            apps = apps.filter(id__gt=after)
        found = await apps.order_by("id").limit(first + 1)
        return found[:first], len(found) > first, total

    async def connection_counts(self, app_ids: Sequence[UUID]) -> dict[UUID, int]:
        """How many connections sign in with each app."""
        counted = (
            await models.Connection.filter(oauth_app_id__in=list(app_ids))
            .annotate(count=Count("id"))
            .group_by("oauth_app_id")
            .values("oauth_app_id", "count")
        )
        return dict.fromkeys(app_ids, 0) | {row["oauth_app_id"]: row["count"] for row in counted}

    async def register(
        self,
        actor: Actor,
        *,
        connector_key: str,
        client_id: str,
        client_secret: Secret | None,
        name: str | None = None,
        secret_expires_at: datetime | None = None,
        scopes: tuple[str, ...] | None = None,
    ) -> models.OAuthApp:
        """The operator's app for a connector. Administrators only.

        Raises PermissionDenied, NotFound, InvalidInput, AuthenticationTypeUnavailable, and Conflict where there is one.
        """
        require_administrator(actor)
        connector = self._catalog.get(connector_key)
        option = connector.find_option(AuthenticationType.OAUTH2_AUTHORIZATION_CODE)
        if option is None:
            raise AuthenticationTypeUnavailable(
                f"{connector.name} does not sign in with OAuth 2.0, so it needs no app.", "Choose another authentication type."
            )
        name = f"{connector.name} app" if name is None else name
        mistakes = {"name": name_problem(name)} | client_mistakes(client_id, client_secret, prefix="")
        if any(mistakes.values()):
            raise InvalidInput({field: problem for field, problem in mistakes.items() if problem})
        try:
            return await self.add(
                connector_key=connector_key,
                name=tidy(name),
                client_id=client_id,
                client_secret=client_secret,
                scopes=list(option.default_scopes if scopes is None else scopes),
                secret_expires_at=secret_expires_at,
            )
        except IntegrityError:
            raise Conflict(f"There is an app for {connector.name} already.", "Give that app its new secret, or delete it first.") from None

    async def add(
        self,
        *,
        connector_key: str,
        name: str,
        client_id: str,
        client_secret: Secret | None,
        scopes: list[str],
        secret_expires_at: datetime | None = None,
        origin: OAuthAppOrigin = OAuthAppOrigin.OPERATOR,
        folder_id: UUID | None = None,
    ) -> models.OAuthApp:
        """Keep an app whose values are checked already, its secret sealed for its row."""
        now = self._clock()
        app_id = uuid4()
        sealed = None
        if client_secret is not None:
            sealed = self._vault.seal(client_secret.reveal().encode(), secret_place(app_id, folder_id))
        return await models.OAuthApp.create(
            id=app_id,
            connector_key=connector_key,
            name=name,
            client_id=client_id,
            client_secret=sealed,
            scopes=scopes,
            origin=origin,
            folder_id=folder_id,
            secret_set_at=None if client_secret is None else now,
            secret_expires_at=secret_expires_at,
            created_at=now,
        )

    async def keep_registered(self, connector_key: str, *, client_id: str, client_secret: Secret) -> None:
        """The operator's app for a connector that comes with its own provider: made where there is none, else brought up to date."""
        connector = self._catalog.get(connector_key)
        app = await models.OAuthApp.get_or_none(connector_key=connector_key, origin=OAuthAppOrigin.OPERATOR)
        if app is None:
            name = f"{connector.name} app"
            await self.add(connector_key=connector_key, name=name, client_id=client_id, client_secret=client_secret, scopes=[])
            return
        if app.client_id != client_id or self.secret_of(app) != client_secret:
            app.client_id = client_id
            app.client_secret = self._vault.seal(client_secret.reveal().encode(), secret_place(app.id, None))
            app.secret_set_at = self._clock()
            await app.save(update_fields=["client_id", "client_secret", "secret_set_at"])

    async def forget_unused(self, app_id: UUID | None) -> None:
        """Delete an app that a person brought, once no connection and no consent under way uses it."""
        if app_id is None or await models.Connection.exists(oauth_app_id=app_id):
            return
        if not await models.Authorization.exists(oauth_app_id=app_id, status=AuthorizationStatus.PENDING):
            await models.Authorization.filter(oauth_app_id=app_id).update(oauth_app_id=None)
            await models.OAuthApp.filter(id=app_id, origin=OAuthAppOrigin.CONNECTION).delete()

    def secret_of(self, app: models.OAuthApp) -> Secret | None:
        """The app's secret, for a call to the provider. Raises Unreadable."""
        if app.client_secret is None:
            return None
        return Secret(self._vault.open(app.client_secret, secret_place(app.id, app.folder_id)).decode())


def client_mistakes(client_id: str, client_secret: Secret | None, *, prefix: str) -> dict[str, str | None]:
    """What is wrong with a client id and its secret, by field."""
    mistakes = {f"{prefix}clientId": name_problem(client_id, longest=512)}
    if client_secret is not None:
        secret = client_secret.reveal()
        if not secret or len(secret) > 8192 or not secret.isprintable():
            mistakes[f"{prefix}clientSecret"] = "must be 1 to 8192 printable characters"
    return mistakes

"""OAuth apps: the operator's, a policy's, and those that people brought. Secrets are write-only."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID, uuid4

from tortoise.exceptions import IntegrityError
from tortoise.expressions import Q
from tortoise.functions import Count

import models
from api.access import Access, Actor
from api.audit import Audit
from api.catalog.catalog import Catalog
from api.catalog.connector import Connector
from api.clock import Clock
from api.errors import AuthenticationTypeUnavailable, Conflict, InvalidInput, NotFound, PermissionDenied
from api.names import name_problem, tidy
from api.organization.app_secrets import INCIDENT_FIELDS, SECRET_FIELDS, AppClient, AppSecrets
from api.organization.own_connectors import require_alive
from api.secret import Secret
from api.vault.vault import Vault
from models import AuthenticationType, AuthorizationStatus, OAuthAppOrigin, Permission
from models.database import rows, transaction
from models.locks import Lock, hold

# Connections that nothing is due for, because a person must act or switched them off, need no secret until somebody does.
_ON_PREVIOUS_SECRET = """
SELECT connection.oauth_app_id AS app_id, COUNT(*) AS count
FROM connection JOIN oauth_app ON oauth_app.id = connection.oauth_app_id
WHERE oauth_app.id IN ({marks}) AND oauth_app.previous_secret IS NOT NULL AND connection.renewable AND connection.due_at IS NOT NULL
AND (connection.app_secret_at IS NULL OR connection.app_secret_at <> oauth_app.secret_set_at)
GROUP BY connection.oauth_app_id
"""


class SecretForElsewhere(AuthenticationTypeUnavailable):
    """The connector has other addresses now than those that the app's secret was given for."""

    def __init__(self, connector: Connector) -> None:
        super().__init__(
            f"The secret of this OAuth app was given for other addresses than {connector.name} has now, and is not sent there.",
            "Look at the connector. If its addresses are right, give the app its secret again (rotateOAuthAppSecret).",
        )


class OAuthApps:
    def __init__(self, access: Access, catalog: Catalog, vault: Vault, clock: Clock, *, audit: Audit) -> None:
        self.secrets = AppSecrets(vault, clock)
        self._access = access
        self._catalog = catalog
        self._clock = clock
        self._audit = audit

    async def page(
        self, actor: Actor, *, connector_key: str | None, first: int, after: UUID | None
    ) -> tuple[list[models.OAuthApp], bool, int]:
        """The installation's apps, for administrators, and those in folders that the actor sees; whether more follow; how many in all."""
        seen = Q(folder_id__in=list(await self._access.visible_folders(actor)))
        if actor.may_administer:
            seen |= Q(folder_id__isnull=True)
        apps = models.OAuthApp.filter(seen)
        if connector_key is not None:
            apps = apps.filter(connector_key=connector_key)
        total = await apps.count()
        if after is not None:
            apps = apps.filter(id__gt=after)
        found = await apps.order_by("id").limit(first + 1)
        return found[:first], len(found) > first, total

    async def get(self, actor: Actor, app_id: UUID, permission: Permission) -> models.OAuthApp:
        """The app, for whoever may change it: the installation's for administrators, any other by what one may do in its folder.

        Raises NotFound where the actor cannot see it, then PermissionDenied.
        """
        return await self._allowed(actor, await models.OAuthApp.get_or_none(id=app_id), permission)

    async def hold(self, actor: Actor, app_id: UUID, permission: Permission, *, with_key: bool = False) -> models.OAuthApp:
        """As `get`, and nobody else changes it until the transaction ends.

        Whoever connects with it meanwhile does not wait for this, unless it is held with its key, to be deleted.
        """
        # People before apps.
        await self._access.is_known(actor)
        app = await models.OAuthApp.select_for_update(no_key=not with_key).get_or_none(id=app_id)
        return await self._allowed(actor, app, permission)

    async def connection_counts(self, app_ids: Sequence[UUID]) -> dict[UUID, int]:
        """How many connections sign in with each app."""
        counted = (
            await models.Connection.filter(oauth_app_id__in=list(app_ids))
            .annotate(count=Count("id"))
            .group_by("oauth_app_id")
            .values("oauth_app_id", "count")
        )
        return dict.fromkeys(app_ids, 0) | {row["oauth_app_id"]: row["count"] for row in counted}

    async def previous_secret_counts(self, app_ids: Sequence[UUID]) -> dict[UUID, int]:
        """How many connections of each app are not known to be renewed with its new secret, while the one before is kept."""
        marks = ", ".join(f"${number}" for number in range(1, len(app_ids) + 1))
        counted = await rows(_ON_PREVIOUS_SECRET.format(marks=marks), list(app_ids), app_id=UUID) if app_ids else []
        return dict.fromkeys(app_ids, 0) | {row["app_id"]: row["count"] for row in counted}

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
        async with self._audit.act(actor, "oauth_app.register") as act:
            await self._access.require_administrator(actor)
            connector = await self._catalog.look_up(connector_key)
            option = connector.find_option(AuthenticationType.OAUTH2_AUTHORIZATION_CODE)
            if option is None:
                raise AuthenticationTypeUnavailable(
                    f"{connector.name} does not sign in with OAuth 2.0, so it needs no app.", "Choose another authentication type."
                )
            name = f"{connector.name} app" if name is None else name
            mistakes = {"name": name_problem(name)} | client_mistakes(client_id, client_secret, prefix="")
            refuse(mistakes | {"secretExpiresAt": expiry_problem(secret_expires_at, self._clock())})
            try:
                async with transaction():
                    # As it will be until this is committed.
                    await hold(Lock.POLICIES, to_change=False)
                    await require_alive(connector)
                    await self._access.require_administrator(actor)
                    app = await self.add(
                        connector_key=connector_key,
                        name=tidy(name),
                        client_id=client_id,
                        client_secret=client_secret,
                        scopes=list(option.default_scopes if scopes is None else scopes),
                        secret_expires_at=secret_expires_at,
                        endpoints=connector.app_endpoints,
                    )
                    await act.done(subject_id=app.id, subject_name=app.name)
            except IntegrityError:
                raise Conflict(
                    f"There is an app for {connector.name} already.", "Give that app its new secret, or delete it first."
                ) from None
        return app

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
        endpoints: Collection[str] | None = None,
    ) -> models.OAuthApp:
        """Keep an app whose values are checked already, its secret sealed for its row. `endpoints`: those of its connector."""
        app = models.OAuthApp(
            id=uuid4(),
            connector_key=connector_key,
            name=name,
            client_id=client_id,
            scopes=scopes,
            origin=origin,
            folder_id=folder_id,
            endpoints=None if endpoints is None else sorted(endpoints),
            secret_expires_at=secret_expires_at,
            created_at=self._clock(),
        )
        if client_secret is not None:
            self.secrets.give(app, client_secret)
        await app.save(force_create=True)
        return app

    async def keep_registered(self, connector_key: str, *, client_id: str, client_secret: Secret) -> None:
        """The operator's app for a connector that comes with its own provider: made where there is none, else brought up to date."""
        connector = self._catalog.get(connector_key)
        app = await models.OAuthApp.get_or_none(connector_key=connector_key, origin=OAuthAppOrigin.OPERATOR)
        if app is None:
            name = f"{connector.name} app"
            await self.add(connector_key=connector_key, name=name, client_id=client_id, client_secret=client_secret, scopes=[])
            return
        if app.client_id != client_id or not self.secrets.is_current(app, client_secret):
            app.client_id = client_id
            self.secrets.give(app, client_secret)
            app.recover()
            await app.save(update_fields=["client_id", *SECRET_FIELDS, *INCIDENT_FIELDS])

    async def forget_unused(self, app_id: UUID | None) -> None:
        """Delete an app that a person brought or a policy gave, once no policy, no connection and no consent under way uses it."""
        if app_id is None or await models.Connection.exists(oauth_app_id=app_id):
            return
        if await models.ConnectorPolicy.exists(default_app_id=app_id):
            return
        if not await models.Authorization.exists(oauth_app_id=app_id, status=AuthorizationStatus.PENDING):
            await models.Authorization.filter(oauth_app_id=app_id).update(oauth_app_id=None)
            await models.OAuthApp.filter(id=app_id).exclude(origin=OAuthAppOrigin.OPERATOR).delete()

    def client_of(self, app: models.OAuthApp, connector: Connector) -> AppClient:
        """The app as a client, for a call to the provider. Raises Unreadable, and SecretForElsewhere."""
        if not serves(app, connector):
            raise SecretForElsewhere(connector)
        return self.secrets.client_of(app)

    def secret_of(self, app: models.OAuthApp) -> Secret | None:
        """The app's secret. Raises Unreadable."""
        return self.secrets.secret_of(app)

    async def _allowed(self, actor: Actor, app: models.OAuthApp | None, permission: Permission) -> models.OAuthApp:
        if app is None:
            raise NotFound("OAuth app")
        if app.folder_id is not None:
            try:
                await self._access.folder(actor, app.folder_id, permission)
            except NotFound:
                raise NotFound("OAuth app") from None
            return app
        try:
            await self._access.require_administrator(actor)
        except PermissionDenied:
            # Whoever sees a connection sees the app that it signs in with; to all others there is none.
            if not await self._is_met(actor, app):
                raise NotFound("OAuth app") from None
            raise
        return app

    async def _is_met(self, actor: Actor, app: models.OAuthApp) -> bool:
        return await models.Connection.exists(oauth_app_id=app.id, folder_id__in=list(await self._access.visible_folders(actor)))


def serves(app: models.OAuthApp, connector: Connector) -> bool:
    """Whether an app may sign in at this connector: its secrets go nowhere but where they were given for."""
    if app.client_secret is None and app.previous_secret is None:
        return True
    endpoints = connector.app_endpoints
    if endpoints is None or app.endpoints is None:
        return endpoints is None and app.endpoints is None
    return endpoints <= set(app.endpoints)


def give_for(app: models.OAuthApp, connector: Connector | None) -> None:
    """The secret that an app is given now is given for where its connector sends it now, and for where the one before went."""
    endpoints = None if connector is None else connector.app_endpoints
    if endpoints is None or endpoints <= set(app.endpoints or ()):
        return
    app.endpoints = sorted(endpoints | set(app.endpoints or ()))
    # The secret before it was never given for these, and would be tried there where this one is refused.
    app.previous_secret = None


def client_mistakes(client_id: str, client_secret: Secret | None, *, prefix: str) -> dict[str, str | None]:
    """What is wrong with a client id and its secret, by field."""
    mistakes = {f"{prefix}clientId": name_problem(client_id, longest=512)}
    if client_secret is not None:
        mistakes[f"{prefix}clientSecret"] = secret_problem(client_secret)
    return mistakes


def secret_problem(client_secret: Secret) -> str | None:
    secret = client_secret.reveal()
    wrong = not secret or len(secret) > 8192 or not secret.isprintable()
    return "must be 1 to 8192 printable characters" if wrong else None


def expiry_problem(expires_at: datetime | None, now: datetime) -> str | None:
    return "must be in the future" if expires_at is not None and expires_at <= now else None


def refuse(mistakes: Mapping[str, str | None]) -> None:
    """Raises InvalidInput that names every mistake there is."""
    found = {field: problem for field, problem in mistakes.items() if problem is not None}
    if found:
        raise InvalidInput(found)

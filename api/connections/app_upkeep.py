"""What is done to an OAuth app that is there: new secrets, changes, checks, and its end."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from tortoise.exceptions import IntegrityError

import models
from api.access import Access, Actor
from api.audit import Audit
from api.catalog.catalog import Catalog
from api.catalog.connector import Connector
from api.clock import Clock
from api.connections import reasons
from api.connections.app_check import AppCheck, Finding, Verdict, consent_option
from api.connections.forms import fields_of, fill
from api.connections.incidents import Incidents
from api.connections.provider import Provider
from api.errors import AuthenticationTypeUnavailable, Conflict, InvalidInput
from api.events.log import EventLog
from api.names import name_problem, scopes_problem, tidy
from api.oauth.tokens import ClientCredentials
from api.organization.app_secrets import INCIDENT_FIELDS, SECRET_FIELDS, AppSecrets
from api.organization.apps import OAuthApps, SecretForElsewhere, client_mistakes, expiry_problem, give_for, refuse, secret_problem
from api.secret import Secret
from api.vault.vault import Unreadable
from models import AuthenticationType, AuthorizationStatus, Permission
from models.database import transaction


@dataclass(frozen=True, slots=True)
class NewSecret:
    app_id: UUID
    secret: Secret
    expires_at: datetime | None = None
    retires_previous: bool = False


@dataclass(frozen=True, slots=True)
class Rotated:
    app: models.OAuthApp
    # What the provider said of the new secret; never NO.
    accepted: Verdict


@dataclass(frozen=True, slots=True)
class AppChanges:
    """What changes of an app; None: it stays."""

    app_id: UUID
    name: str | None = None
    client_id: str | None = None
    scopes: tuple[str, ...] | None = None
    # None may be meant here: nobody knows when the secret ends.
    changes_expiry: bool = False
    secret_expires_at: datetime | None = None


class AppUpkeep:
    def __init__(
        self,
        *,
        access: Access,
        apps: OAuthApps,
        catalog: Catalog,
        check: AppCheck,
        incidents: Incidents,
        log: EventLog,
        audit: Audit,
        clock: Clock,
    ) -> None:
        self._access = access
        self._apps = apps
        self._catalog = catalog
        self._check = check
        self._incidents = incidents
        self._log = log
        self._audit = audit
        self._clock = clock

    @property
    def _secrets(self) -> AppSecrets:
        return self._apps.secrets

    async def rotate(self, actor: Actor, new: NewSecret) -> Rotated:
        """Give an app a new secret, once its provider takes it. Administrators; for an app that a person brought, EDIT in its folder.

        Where the provider cannot be asked, or tells nothing, the secret is kept unproven. Its connections follow by themselves.
        Raises NotFound, PermissionDenied, InvalidInput where the provider refuses the secret, Conflict.
        """
        async with self._audit.act(actor, "oauth_app.rotate_secret", new.app_id) as act:
            seen = await self._apps.get(actor, new.app_id, Permission.EDIT)
            refuse({"clientSecret": secret_problem(new.secret), "secretExpiresAt": expiry_problem(new.expires_at, self._clock())})
            await self._secrets.look_for_keys(seen)
            # The one that it is given for: a version that comes while the provider is asked is another.
            connector = self._catalog.find(seen.connector_key)
            provider = await self._check.provider_of(seen)
            accepted, detail = await self._check.accepts(provider, ClientCredentials(seen.client_id, new.secret))
            if accepted is Verdict.NO:
                raise InvalidInput({"clientSecret": f"was refused: {detail}"})
            async with transaction():
                app = await self._apps.hold(actor, new.app_id, Permission.EDIT)
                if app.client_id != seen.client_id:
                    raise Conflict(
                        "The client id was changed meanwhile.", "Look at what it is now, and give the secret that belongs to it."
                    )
                self._secrets.rotate(app, new.secret, retires_previous=new.retires_previous)
                self._secrets.let_expire(app, new.expires_at)
                give_for(app, connector)
                app.recover()
                await app.save(update_fields=SECRET_FIELDS + INCIDENT_FIELDS)
                proven = "proven at the provider" if accepted is Verdict.YES else f"not proven: {detail}"
                await act.done(subject_name=app.name, folder_id=app.folder_id, detail=proven)
        await self._incidents.resume(app.id)
        return Rotated(app, accepted)

    async def retire_previous_secret(self, actor: Actor, app_id: UUID) -> models.OAuthApp:
        """The secret before the one in use is not tried any more. As `rotate`. Raises NotFound, PermissionDenied."""
        async with self._audit.act(actor, "oauth_app.retire_secret", app_id) as act, transaction():
            app = await self._apps.hold(actor, app_id, Permission.EDIT)
            app.previous_secret = None
            await app.save(update_fields=["previous_secret"])
            await act.done(subject_name=app.name, folder_id=app.folder_id)
        return app

    async def update(self, actor: Actor, changes: AppChanges) -> models.OAuthApp:
        """As `rotate` for who may. Another client id clears the secrets: they are not its own.

        Until it has a secret of its own, that is an incident: connections are not sent to the provider without one.
        Raises NotFound, PermissionDenied, InvalidInput.
        """
        async with self._audit.act(actor, "oauth_app.update", changes.app_id) as act, transaction():
            app = await self._apps.hold(actor, changes.app_id, Permission.EDIT)
            refuse(_mistakes(changes, self._clock()))
            app.name = app.name if changes.name is None else tidy(changes.name)
            app.scopes = app.scopes if changes.scopes is None else list(changes.scopes)
            replaced = changes.client_id is not None and changes.client_id != app.client_id
            if changes.client_id is not None and replaced:
                self._replace_client(app, changes.client_id)
            if changes.changes_expiry:
                self._secrets.let_expire(app, changes.secret_expires_at)
            await app.save(update_fields=["name", "client_id", "scopes", *SECRET_FIELDS, *INCIDENT_FIELDS])
            detail = "another client id; its secrets were cleared" if replaced else None
            await act.done(subject_name=app.name, folder_id=app.folder_id, detail=detail)
        if replaced and app.incident is not None:
            await self._incidents.block(app.id, app.incident)
        elif replaced:
            await self._incidents.resume(app.id)
        return app

    async def check(self, actor: Actor, app_id: UUID, *, client_secret: Secret | None = None) -> list[Finding]:
        """What the provider says of an app; with another secret, what it would say of that. As `rotate` for who may. Stores nothing.

        Where the provider takes the app as it is, an incident that it has is over.
        Raises NotFound, PermissionDenied, InvalidInput, Conflict.
        """
        async with self._audit.act(actor, "oauth_app.check", app_id) as act:
            app = await self._apps.get(actor, app_id, Permission.EDIT)
            refuse({} if client_secret is None else {"clientSecret": secret_problem(client_secret)})
            provider = await self._check.provider_of(app)
            if provider is None:
                raise Conflict("The connector of this app is not in this installation.", "Add the connector again, or delete the app.")
            client = self._client_of(app, provider.connector) if client_secret is None else ClientCredentials(app.client_id, client_secret)
            findings = await self._check.findings(provider, client, app.scopes)
            await act.done(subject_name=app.name, folder_id=app.folder_id, detail=_told(findings))
        if client_secret is None and findings[1 if client.client_secret else 0].verdict is Verdict.YES:
            await self._incidents.over(app)
        return findings

    async def check_new(
        self, actor: Actor, *, connector_key: str, client_id: str, client_secret: Secret | None, site: Mapping[str, str]
    ) -> list[Finding]:
        """What the provider says of an app that is not kept. `site`: fields of the connector that its address depends on.

        Administrators only. Raises NotFound, PermissionDenied, InvalidInput, AuthenticationTypeUnavailable.
        """
        async with self._audit.act(actor, "oauth_app.check") as act:
            await self._access.require_administrator(actor)
            provider, mistakes = await self._new_provider(connector_key, site)
            refuse({**mistakes, **client_mistakes(client_id, client_secret, prefix="")})
            findings = await self._check.findings(provider, ClientCredentials(client_id, client_secret), ())
            await act.done(subject_name=f"{provider.name}: {client_id}", detail=_told(findings))
        return findings

    async def delete(self, actor: Actor, app_id: UUID) -> UUID:
        """Administrators; for an app that a person brought, DELETE in its folder. Consents under way with it end.

        Raises NotFound, PermissionDenied, and Conflict while connections or policies use it.
        """
        async with self._audit.act(actor, "oauth_app.delete", app_id) as act:
            try:
                async with self._log.change(actor.user_id):
                    app = await self._apps.hold(actor, app_id, Permission.DELETE, with_key=True)
                    await _refuse_where_used(app)
                    await _end_consents(app)
                    await app.delete()
                    await act.done(subject_name=app.name, folder_id=app.folder_id)
            except IntegrityError:
                raise Conflict("Somebody began to use this app just now.", "Look at who does, and try again.") from None
        return app_id

    def _client_of(self, app: models.OAuthApp, connector: Connector) -> ClientCredentials:
        try:
            return self._apps.client_of(app, connector)
        except SecretForElsewhere as error:
            raise Conflict(error.message, error.remedy) from None
        except Unreadable:
            raise Conflict(
                "The secret of this app cannot be opened with the keys of this installation.", "Give it its secret again."
            ) from None

    def _replace_client(self, app: models.OAuthApp, client_id: str) -> None:
        had_secret = app.client_secret is not None
        app.client_id = client_id
        self._secrets.forget(app)
        app.recover()
        if had_secret:
            connector = self._catalog.find(app.connector_key)
            provider = app.connector_key if connector is None else connector.name
            app.suffer(reasons.client_secret_missing(provider), self._clock())

    async def _new_provider(self, connector_key: str, given: Mapping[str, str]) -> tuple[Provider, dict[str, str]]:
        """Where a connector's consents go, and what is wrong with the fields that the address depends on."""
        connector = await self._catalog.look_up(connector_key)
        option = consent_option(connector)
        if option is None:
            raise AuthenticationTypeUnavailable(
                f"{connector.name} does not sign in with OAuth 2.0, so it needs no app.", "Choose another authentication type."
            )
        form = fields_of(connector, option, AuthenticationType.OAUTH2_AUTHORIZATION_CODE)
        asked = tuple(field for field in form if not field.secret)
        filled, mistakes = fill(asked, {name: Secret(value) for name, value in given.items()}, connector.fields_for(option))
        return Provider(connector, option, filled.site), mistakes


async def _refuse_where_used(app: models.OAuthApp) -> None:
    count = await models.Connection.filter(oauth_app_id=app.id).count()
    if count:
        users = "1 connection signs" if count == 1 else f"{count} connections sign"
        raise Conflict(f"{users} in with this app.", "Delete them, or reconnect them with another app, first.")
    if await models.ConnectorPolicy.exists(default_app_id=app.id):
        raise Conflict("A policy has this app as its default.", "Give the policy another app, or delete it, first.")


async def _end_consents(app: models.OAuthApp) -> None:
    consents = models.Authorization.filter(oauth_app_id=app.id)
    failed = {"status": AuthorizationStatus.FAILED, "reason_json": reasons.app_deleted().to_json()}
    await consents.filter(status=AuthorizationStatus.PENDING).update(**failed, secrets=None, state_hash=None)
    await consents.update(oauth_app_id=None)


def _mistakes(changes: AppChanges, now: datetime) -> dict[str, str | None]:
    return {
        "name": None if changes.name is None else name_problem(changes.name),
        "clientId": None if changes.client_id is None else name_problem(changes.client_id, longest=512),
        "scopes": None if changes.scopes is None else scopes_problem(changes.scopes),
        "secretExpiresAt": expiry_problem(changes.secret_expires_at, now) if changes.changes_expiry else None,
    }


def _told(findings: list[Finding]) -> str:
    return ", ".join(f"{finding.what}: {finding.verdict}" for finding in findings)

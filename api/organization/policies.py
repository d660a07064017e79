"""Policies as administrators keep them: one a connector for everybody, for each group, and for each user."""

from collections.abc import Collection
from uuid import UUID

from tortoise.exceptions import IntegrityError
from tortoise.expressions import Q

import models
from api.access import Access, Actor
from api.audit import Audit
from api.catalog.catalog import Catalog
from api.catalog.connector import Connector
from api.clock import Clock
from api.errors import Conflict, InvalidInput, NotFound
from api.events.log import EventLog
from api.organization.app_secrets import SECRET_FIELDS
from api.organization.apps import OAuthApps, give_for
from api.organization.policy_wishes import PolicyWish, connector_of
from api.organization.rulings import policy_of
from api.organization.suspensions import Settled, Suspensions
from models import OAuthAppOrigin


class Policies:
    def __init__(
        self,
        *,
        access: Access,
        catalog: Catalog,
        apps: OAuthApps,
        suspensions: Suspensions,
        log: EventLog,
        audit: Audit,
        clock: Clock,
    ) -> None:
        self._access = access
        self._catalog = catalog
        self._apps = apps
        self._suspensions = suspensions
        self._log = log
        self._audit = audit
        self._clock = clock

    async def page(self, actor: Actor, *, first: int, after: tuple[str, UUID] | None) -> tuple[list[models.ConnectorPolicy], bool, int]:
        """Every policy, for administrators, a connector after the other; whether more follow; how many in all. None for others."""
        if not actor.may_administer:
            return [], False, 0
        found = models.ConnectorPolicy.all()
        total = await found.count()
        if after is not None:
            key, id = after
            found = found.filter(Q(connector_key__gt=key) | Q(connector_key=key, id__gt=id))
        ordered = await found.order_by("connector_key", "id").limit(first + 1).select_related("group", "user")
        return ordered[:first], len(ordered) > first, total

    async def find(self, actor: Actor, policy_ids: Collection[UUID]) -> dict[UUID, models.ConnectorPolicy]:
        """These policies, for administrators; none for others."""
        if not actor.may_administer:
            return {}
        return {row.id: row for row in await models.ConnectorPolicy.filter(id__in=list(policy_ids)).select_related("group", "user")}

    async def set(self, actor: Actor, wish: PolicyWish) -> models.ConnectorPolicy:
        """Make a policy, or put it in the place of the one for the same. In force at once, on connections that are there too.

        Administrators only. Raises PermissionDenied, NotFound, InvalidInput, Conflict.
        """
        async with self._audit.act(actor, "policy.set", subject_name=self._known_name(wish.connector_key)) as act:
            try:
                async with self._log.change(actor.user_id):
                    await self._suspensions.keep_others_out()
                    await self._access.require_administrator(actor)
                    row = await self._put(await connector_of(wish, self._catalog), wish)
                    settled = await self._suspensions.reconsider(actor_id=actor.user_id, connector_keys=[row.connector_key])
                    await act.done(subject_id=row.id, subject_name=self._title(row), detail=f"{_told(row)}; {_told_of(settled)}")
            # Whom it is for was deleted in this moment: nothing else that it refers to can be.
            except IntegrityError:
                raise Conflict("Whom the policy is for was deleted meanwhile.", "Look at who is there now.") from None
        return row

    async def delete(
        self, actor: Actor, connector_key: str, *, group_id: UUID | None = None, user_id: UUID | None = None
    ) -> models.ConnectorPolicy:
        """Take a policy away; connections that it suspended go on. Administrators only. Raises PermissionDenied, NotFound."""
        async with (
            self._audit.act(actor, "policy.delete", subject_name=self._known_name(connector_key)) as act,
            self._log.change(actor.user_id),
        ):
            await self._suspensions.keep_others_out()
            await self._access.require_administrator(actor)
            row = await _find_row(connector_key, group_id, user_id)
            if row is None:
                raise NotFound("policy")
            await models.ConnectorPolicy.filter(id=row.id).delete()
            await self._apps.forget_unused(row.default_app_id)
            settled = await self._suspensions.reconsider(actor_id=actor.user_id, connector_keys=[connector_key])
            await act.done(subject_id=row.id, subject_name=self._title(row), detail=_told_of(settled))
        return row

    async def _put(self, connector: Connector, wish: PolicyWish) -> models.ConnectorPolicy:
        now = self._clock()
        row = await _find_row(connector.key, wish.group_id, wish.user_id)
        if row is None:
            row = models.ConnectorPolicy(connector_key=connector.key, group_id=wish.group_id, user_id=wish.user_id, created_at=now)
        former_app_id = row.default_app_id
        row.is_exempt, row.allowed, row.enforcement = wish.is_exempt, wish.allowed, wish.enforcement
        row.allowed_types = None if wish.allowed_types is None else list(wish.allowed_types)
        row.default_scopes = None if wish.default_scopes is None else list(wish.default_scopes)
        row.default_fields = dict(wish.default_fields)
        row.default_app_id = await self._app_id(connector, wish, former_app_id)
        row.updated_at = now
        await row.save()
        if row.default_app_id != former_app_id:
            await self._apps.forget_unused(former_app_id)
        found = await _find_row(connector.key, wish.group_id, wish.user_id)
        assert found is not None, "it was just saved, and nobody else may change it"
        return found

    async def _app_id(self, connector: Connector, wish: PolicyWish, former_id: UUID | None) -> UUID | None:
        """The app that the policy gives from now on. Raises InvalidInput where it is another secret for the one that it gives."""
        if wish.app is None:
            return None if wish.takes_app_away or wish.is_exempt else former_id
        former = None if former_id is None else await models.OAuthApp.get(id=former_id)
        if former is not None and former.client_id == wish.app.client_id:
            if wish.app.client_secret is not None and not self._apps.secrets.is_current(former, wish.app.client_secret):
                # There the new one is proven, and the old one still tried.
                raise InvalidInput(
                    {"defaultOAuthApp.clientSecret": "is not the secret that the app has: rotate it by rotateOAuthAppSecret"}
                )
            if wish.app.client_secret is not None:
                give_for(former, connector)
                await former.save(update_fields=SECRET_FIELDS)
            return former.id
        app = await self._apps.add(
            connector_key=connector.key,
            name=f"{connector.name} app of a policy"[:120],
            client_id=wish.app.client_id,
            client_secret=wish.app.client_secret,
            scopes=list(wish.default_scopes or ()),
            origin=OAuthAppOrigin.POLICY,
            endpoints=connector.app_endpoints,
        )
        return app.id

    def _known_name(self, connector_key: str) -> str | None:
        """The name of a connector; any other text is not for the audit log."""
        connector = self._catalog.find(connector_key)
        return None if connector is None else connector.name

    def _title(self, row: models.ConnectorPolicy) -> str:
        return f"{self._known_name(row.connector_key) or row.connector_key} for {policy_of(row).whom}"


async def _find_row(connector_key: str, group_id: UUID | None, user_id: UUID | None) -> models.ConnectorPolicy | None:
    # Not every text may be asked a database for, and a policy may outlive its connector's place in the catalogue.
    if not connector_key.isascii() or not connector_key.isprintable():
        return None
    found = models.ConnectorPolicy.filter(connector_key=connector_key, group_id=group_id, user_id=user_id)
    return await found.select_related("group", "user").first()


def _told(row: models.ConnectorPolicy) -> str:
    """What a policy says, in a line for the audit log."""
    if row.is_exempt:
        return "exempt"
    ways = "all ways" if row.allowed_types is None else ", ".join(row.allowed_types)
    return f"{row.enforcement}: {ways if row.allowed else 'nothing'} allowed"


def _told_of(settled: Settled) -> str:
    return f"{settled.suspended} suspended, {settled.resumed} resumed"

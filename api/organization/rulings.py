"""Which policies speak for whom, as they are now: asked by everything that makes a connection or gives it a new credential."""

from collections import defaultdict
from collections.abc import Collection
from uuid import UUID

from tortoise.expressions import Q

import models
from api.catalog.catalog import Catalog
from api.catalog.connector import Connector
from api.policy import Policy, Rulebook, Ruling
from models import AuthenticationType
from models.locks import Lock, hold


class Rulings:
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def of(self, user_id: UUID, connector_keys: Collection[str]) -> dict[str, Ruling]:
        """What holds for a user, a connector; two queries for all of them."""
        rulebook = await read_rulebook(connector_keys=connector_keys, user_ids=[user_id])
        return {key: rulebook.ruling(key, user_id) for key in connector_keys}

    async def check(self, user_id: UUID, connector: Connector, type: AuthenticationType) -> Ruling:
        """What holds for a user who wants to authenticate in this way. Raises PolicyViolation where a policy refuses that."""
        ruling = (await self.of(user_id, [connector.key]))[connector.key]
        refusing = ruling.refusal_of(type)
        if refusing is not None:
            raise refusing.violation(connector.name, type)
        return ruling

    async def require_in_force(self, connection: models.Connection) -> None:
        """Raises PolicyViolation where a policy suspends a connection, or would if no person had switched it off."""
        connector = self._catalog.find(connection.connector_key)
        name = connection.connector_key if connector is None else connector.name
        ruling = (await self.of(connection.owner_id, [connection.connector_key]))[connection.connector_key]
        suspending = ruling.suspension_of(connection.authentication_type)
        if suspending is not None:
            raise suspending.violation(name, connection.authentication_type)

    async def keep_still(self) -> None:
        """Let no policy and no membership of a group change until the running transaction ends. First of all that it does."""
        await hold(Lock.POLICIES, to_change=False)


async def read_rulebook(
    *,
    connector_keys: Collection[str] | None = None,
    user_ids: Collection[UUID] | None = None,
    policy_ids: Collection[UUID] | None = None,
    group_id: UUID | None = None,
) -> Rulebook:
    """The policies of these connectors with what they need to rule on these users; None: of all, on all.

    `policy_ids`: of the connectors that these policies are for. `group_id`: a further group whose members are wanted.
    """
    found = models.ConnectorPolicy.all()
    if policy_ids is not None:
        keys = await models.ConnectorPolicy.filter(id__in=list(policy_ids)).distinct().values_list("connector_key", flat=True)
        found = found.filter(connector_key__in=list(keys))
    if connector_keys is not None:
        found = found.filter(connector_key__in=list(connector_keys))
    if user_ids is not None:
        found = found.filter(Q(user_id=None) | Q(user_id__in=list(user_ids)))
    policies = tuple(policy_of(row) for row in await found.select_related("group", "user"))
    return Rulebook(policies, await _memberships({group_id, *(policy.group_id for policy in policies)}, user_ids))


def policy_of(row: models.ConnectorPolicy) -> Policy:
    """The policy of a row that was read with its group and its user."""
    named = row.user.name if row.user is not None else row.group.name if row.group is not None else ""
    return Policy.of(row, named)


async def _memberships(group_ids: Collection[UUID | None], user_ids: Collection[UUID] | None) -> dict[UUID, frozenset[UUID]]:
    named = [group_id for group_id in group_ids if group_id is not None]
    if not named:
        return {}
    members = models.GroupMember.filter(group_id__in=named)
    if user_ids is not None:
        members = members.filter(user_id__in=list(user_ids))
    groups: defaultdict[UUID, set[UUID]] = defaultdict(set)
    for member in await members:
        groups[member.user_id].add(member.group_id)
    return {user_id: frozenset(those) for user_id, those in groups.items()}

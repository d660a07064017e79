"""What policies are against, and what one would do if it were set."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

import models
from api.access import Access, Actor
from api.catalog.catalog import Catalog
from api.clock import Clock
from api.organization.policy_wishes import PolicyWish, connector_of
from api.organization.rulings import read_rulebook
from api.organization.suspensions import Settled, Standing, read_standings, rulings_on, suspended_by
from api.policy import Policy, Rulebook


@dataclass(frozen=True, slots=True)
class Breach:
    """The connections that a policy is against, by name: those that the actor can see, and how many there are in all."""

    seen: tuple[Standing, ...] = ()
    total: int = 0

    def page(self, *, first: int, after: tuple[str, UUID] | None) -> tuple[tuple[Standing, ...], bool]:
        """Some of those that are seen, and whether more follow."""
        rest = [each for each in self.seen if after is None or (each.name_key, each.id) > after]
        return tuple(rest[:first]), len(rest) > first


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a policy would do, if it were set."""

    breach: Breach
    # Who owns what it would be against, and for how many it would speak.
    owner_ids: tuple[UUID, ...]
    covered: int
    settled: Settled


class PolicyEffects:
    def __init__(self, *, access: Access, catalog: Catalog, clock: Clock) -> None:
        self._access = access
        self._catalog = catalog
        self._clock = clock

    async def simulate(self, actor: Actor, wish: PolicyWish) -> Simulation:
        """What it would do to set this policy. Nothing is written. Administrators only. Raises PermissionDenied, NotFound, InvalidInput."""
        await self._access.require_administrator(actor)
        await connector_of(wish, self._catalog)
        policy = await self._simulated(wish)
        rulebook = (await read_rulebook(connector_keys=[wish.connector_key], group_id=wish.group_id)).with_policy(policy)
        standings = await read_standings([wish.connector_key], connector_keys=[wish.connector_key])
        against = _broken(rulebook, standings, [policy.id])[policy.id]
        return Simulation(
            breach=_seen(against, await self._access.visible_folders(actor)),
            owner_ids=tuple(sorted({each.owner_id for each in against})),
            covered=await _covered(rulebook, policy),
            settled=_foreseen(rulebook, standings),
        )

    async def breaches(self, actor: Actor, policy_ids: Collection[UUID]) -> dict[UUID, Breach]:
        """What each of these policies is against; the same few queries for all of them. Administrators only: none for others."""
        if not actor.may_administer:
            return {}
        rulebook = await read_rulebook(policy_ids=policy_ids)
        standings = await read_standings(rulebook.connector_keys)
        visible = await self._access.visible_folders(actor)
        return {id: _seen(against, visible) for id, against in _broken(rulebook, standings, policy_ids).items()}

    async def _simulated(self, wish: PolicyWish) -> Policy:
        """The wish as a policy, as far as it is against anything, in the place of the one for the same."""
        row = await models.ConnectorPolicy.get_or_none(connector_key=wish.connector_key, group_id=wish.group_id, user_id=wish.user_id)
        return Policy(
            id=uuid4() if row is None else row.id,
            connector_key=wish.connector_key,
            created_at=self._clock() if row is None else row.created_at,
            group_id=wish.group_id,
            user_id=wish.user_id,
            is_exempt=wish.is_exempt,
            allowed=wish.allowed,
            allowed_types=wish.allowed_types,
            enforcement=wish.enforcement,
        )


def _broken(rulebook: Rulebook, standings: Sequence[Standing], policy_ids: Collection[UUID]) -> dict[UUID, list[Standing]]:
    """The connections that each of these policies is against, as far as it speaks for their owners."""
    rulings = rulings_on(rulebook, standings)
    broken: dict[UUID, list[Standing]] = {id: [] for id in policy_ids}
    for standing in standings:
        for policy in rulings[standing.connector_key, standing.owner_id].broken_by(standing.type):
            if policy.id in broken:
                broken[policy.id].append(standing)
    return broken


def _seen(against: Iterable[Standing], visible: Collection[UUID]) -> Breach:
    ordered = sorted(against, key=lambda each: (each.name_key, each.id))
    return Breach(tuple(each for each in ordered if each.folder_id in visible), len(ordered))


def _foreseen(rulebook: Rulebook, standings: Sequence[Standing]) -> Settled:
    """What would be switched off, and what would go on, under these policies."""
    wanted = suspended_by(rulebook, standings)
    is_suspended = {each.id: each.is_suspended for each in standings}
    return Settled(
        suspended=sum(policy is not None and not is_suspended[id] for id, policy in wanted.items()),
        resumed=sum(policy is None for policy in wanted.values()),
    )


async def _covered(rulebook: Rulebook, policy: Policy) -> int:
    """For how many of those who may sign in the policy would speak."""
    users = await models.User.filter(deactivated_at=None).only("id")
    return sum(rulebook.covers(policy, user.id) for user in users)

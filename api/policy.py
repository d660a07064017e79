"""What an organization allows of its connectors: which policies speak for a user, and what they are against. Policies in, ruling out.

The narrowest wins: a policy for the user, else those for groups that the user is in, else the one for everybody. Policies for several
groups of a user all hold, so that only what each of them allows is allowed; of what they give as defaults, the oldest's is taken. A policy
that exempts says nothing itself, and those that are wider than it are not looked at.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from uuid import UUID

from api.errors import PolicyViolation
from models import AuthenticationType, ConnectorPolicy, Fixer, PolicyEnforcement, StatusReason, StatusReasonCode

_STRICTNESS = (PolicyEnforcement.WARN, PolicyEnforcement.BLOCK_NEW, PolicyEnforcement.SUSPEND)


class Breadth(IntEnum):
    """For how many a policy is, the narrowest first."""

    USER = 1
    GROUP = 2
    EVERYBODY = 3


@dataclass(frozen=True, slots=True)
class Policy:
    """What is allowed of one connector: for one user, for one group, or, where neither is named, for everybody."""

    id: UUID
    connector_key: str
    created_at: datetime
    group_id: UUID | None = None
    user_id: UUID | None = None
    # What the group or the user is called.
    named: str = ""
    is_exempt: bool = False
    allowed: bool = True
    # None: all that the connector offers.
    allowed_types: tuple[AuthenticationType, ...] | None = None
    enforcement: PolicyEnforcement = PolicyEnforcement.BLOCK_NEW
    default_app_id: UUID | None = None
    default_scopes: tuple[str, ...] | None = None
    default_fields: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, row: ConnectorPolicy, named: str) -> "Policy":
        return cls(
            id=row.id,
            connector_key=row.connector_key,
            created_at=row.created_at,
            group_id=row.group_id,
            user_id=row.user_id,
            named=named,
            is_exempt=row.is_exempt,
            allowed=row.allowed,
            allowed_types=None if row.allowed_types is None else tuple(AuthenticationType(type) for type in row.allowed_types),
            enforcement=row.enforcement,
            default_app_id=row.default_app_id,
            default_scopes=None if row.default_scopes is None else tuple(row.default_scopes),
            default_fields=row.default_fields,
        )

    @property
    def breadth(self) -> Breadth:
        if self.user_id is not None:
            return Breadth.USER
        return Breadth.EVERYBODY if self.group_id is None else Breadth.GROUP

    @property
    def whom(self) -> str:
        """For whom it is, in words that follow “for”."""
        match self.breadth:
            case Breadth.USER:
                return f"the user “{self.named}”"
            case Breadth.GROUP:
                return f"the group “{self.named}”"
            case Breadth.EVERYBODY:
                return "everybody"

    @property
    def title(self) -> str:
        return f"the policy for {self.whom}"

    def is_against(self, type: AuthenticationType) -> bool:
        if self.is_exempt:
            return False
        return not self.allowed or (self.allowed_types is not None and type not in self.allowed_types)

    def objection(self, connector: str, type: AuthenticationType) -> str:
        """What it says to a connection that it is against."""
        if not self.allowed:
            return f"The policy for {self.whom} does not allow connections to {connector}."
        ways = ", ".join(self.allowed_types or ())
        return f"The policy for {self.whom} does not allow {type} for {connector}; it allows {ways}."

    def violation(self, connector: str, type: AuthenticationType) -> PolicyViolation:
        way_out = "Ask an administrator to allow it, or to make an exception."
        if self.allowed:
            way_out = f"Authenticate in a way that is allowed. {way_out}"
        return PolicyViolation(self.objection(connector, type), way_out, connector_key=self.connector_key, policy_id=self.id)

    def suspension(self, connector: str, type: AuthenticationType) -> StatusReason:
        """Why a connection is switched off by it."""
        return StatusReason(
            StatusReasonCode.DISALLOWED_BY_POLICY,
            self.objection(connector, type),
            "Ask an administrator to allow it, or to make an exception: then the connection goes on by itself.",
            Fixer.OPERATOR,
        )


@dataclass(frozen=True, slots=True)
class Ruling:
    """What holds for one user and one connector: the policies that speak. They are several only where they are for groups."""

    # The oldest first.
    policies: tuple[Policy, ...] = ()

    def broken_by(self, type: AuthenticationType) -> tuple[Policy, ...]:
        """The policies that are against this way to authenticate, the strictest first."""
        against = [policy for policy in self.policies if policy.is_against(type)]
        return tuple(sorted(against, key=lambda policy: -_STRICTNESS.index(policy.enforcement)))

    def refusal_of(self, type: AuthenticationType) -> Policy | None:
        """The policy that refuses a new connection, or a new credential for one; those that only warn do not."""
        strictest = next(iter(self.broken_by(type)), None)
        return None if strictest is None or strictest.enforcement is PolicyEnforcement.WARN else strictest

    def suspension_of(self, type: AuthenticationType) -> Policy | None:
        """The policy that suspends connections that are there."""
        strictest = next(iter(self.broken_by(type)), None)
        return strictest if strictest is not None and strictest.enforcement is PolicyEnforcement.SUSPEND else None

    @property
    def default_app_id(self) -> UUID | None:
        """The OAuth app that stands in where somebody brings none of their own."""
        return next((policy.default_app_id for policy in self.policies if policy.default_app_id is not None), None)

    @property
    def default_scopes(self) -> tuple[str, ...] | None:
        """What is asked for where somebody brings an app and names no scopes."""
        return next((policy.default_scopes for policy in self.policies if policy.default_scopes is not None), None)

    @property
    def default_fields(self) -> dict[str, str]:
        """What stands in for fields that are not given."""
        defaults: dict[str, str] = {}
        for policy in reversed(self.policies):
            defaults |= policy.default_fields
        return defaults

    @property
    def title(self) -> str | None:
        """Which policies these are, in words."""
        return " and ".join(policy.title for policy in self.policies) or None


def narrowest(policies: Iterable[Policy], *, user_id: UUID, group_ids: Collection[UUID]) -> list[Policy]:
    """Of a connector's policies those that are meant for this user, and than which none is narrower."""
    meant = [each for each in policies if each.breadth is Breadth.EVERYBODY or each.user_id == user_id or each.group_id in group_ids]
    least = min((policy.breadth for policy in meant), default=Breadth.EVERYBODY)
    return [policy for policy in meant if policy.breadth is least]


def ruling_on(policies: Iterable[Policy], *, user_id: UUID, group_ids: Collection[UUID]) -> Ruling:
    """What holds for this user by a connector's policies."""
    speaking = [policy for policy in narrowest(policies, user_id=user_id, group_ids=group_ids) if not policy.is_exempt]
    return Ruling(tuple(sorted(speaking, key=lambda policy: (policy.created_at, policy.id))))


@dataclass(frozen=True, slots=True)
class Rulebook:
    """The policies of connectors, with who is in the groups that they are for."""

    policies: tuple[Policy, ...] = ()
    # User → the groups that the user is in.
    memberships: Mapping[UUID, frozenset[UUID]] = field(default_factory=dict)

    @property
    def connector_keys(self) -> frozenset[str]:
        return frozenset(policy.connector_key for policy in self.policies)

    def ruling(self, connector_key: str, user_id: UUID) -> Ruling:
        return ruling_on(self._of(connector_key), user_id=user_id, group_ids=self.memberships.get(user_id, frozenset()))

    def covers(self, policy: Policy, user_id: UUID) -> bool:
        """Whether it is this policy that decides for a user, if only by exempting."""
        group_ids = self.memberships.get(user_id, frozenset())
        return policy in narrowest(self._of(policy.connector_key), user_id=user_id, group_ids=group_ids)

    def with_policy(self, policy: Policy) -> "Rulebook":
        """As it would be with this policy, in the place of the one that has its id."""
        others = tuple(other for other in self.policies if other.id != policy.id)
        return Rulebook((*others, policy), self.memberships)

    def _of(self, connector_key: str) -> list[Policy]:
        return [policy for policy in self.policies if policy.connector_key == connector_key]

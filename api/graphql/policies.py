"""Policies: what is allowed of a connector, for whom, and what that does to connections that are there."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import strawberry

import models
from api.errors import Conflict, InvalidInput, NotFound, PermissionDenied
from api.graphql.connecting import FieldValueInput, OAuthAppInput
from api.graphql.connectors import Connector, connector_named
from api.graphql.context import Info
from api.graphql.errors import ConflictError, InvalidInputError, NotFoundError, PermissionDeniedError, answering
from api.graphql.groups import Group
from api.graphql.ids import graph_id, id_of, key_of
from api.graphql.oauth_apps import OAuthApp
from api.graphql.page import After, Cursors, First, Page, checked_first, counted, page_of
from api.graphql.users import User, load_user
from api.organization.policy_effects import Breach, Simulation
from api.organization.policy_wishes import PolicyApp, PolicyWish
from api.organization.rulings import policy_of
from api.secret import Secret
from models import AuthenticationType, PolicyEnforcement

if TYPE_CHECKING:
    from api.graphql.connections import Connection

LazyConnection = Annotated["Connection", strawberry.lazy("api.graphql.connections")]


@strawberry.type(description="A value that stands in for a field of a form.")
class FieldValue:
    name: str = strawberry.field(description="The field's name.")
    value: str = strawberry.field(description="The value. Never of a secret field.")


@strawberry.type(
    description="What is allowed of one connector, for one user, for one group, or, where neither is named, for everybody. "
    "The narrowest wins; those for several groups of one user all hold."
)
class ConnectorPolicy:
    row: strawberry.Private[models.ConnectorPolicy]
    id: strawberry.ID = strawberry.field(description="Names the policy for as long as there is one for the same.")
    scope: str = strawberry.field(description="For whom it is, in words: such as `everybody`, or `the group “Sales”`.")
    is_exempt: bool = strawberry.field(description="True: it says nothing itself, and those that are wider than it are not looked at.")
    allowed: bool = strawberry.field(description="Whether the connector is allowed at all.")
    allowed_authentication_types: list[AuthenticationType] | None = strawberry.field(
        description="The ways to authenticate that are allowed; null: all that the connector offers."
    )
    enforcement: PolicyEnforcement = strawberry.field(description="What it does to connections that break it.")
    default_scopes: list[str] | None = strawberry.field(
        description="What is asked for where bring-your-own-app names no scopes; null: the connector's own."
    )
    default_fields: list[FieldValue] = strawberry.field(description="What stands in for fields that are not given.")
    created_at: datetime = strawberry.field(description="When it was made. Of policies for several groups, the oldest gives the defaults.")
    updated_at: datetime = strawberry.field(description="When it last changed.")

    @classmethod
    def of(cls, row: models.ConnectorPolicy) -> "ConnectorPolicy":
        types = row.allowed_types
        return cls(
            row=row,
            id=graph_id(row.id),
            scope=policy_of(row).whom,
            is_exempt=row.is_exempt,
            allowed=row.allowed,
            allowed_authentication_types=None if types is None else [AuthenticationType(type) for type in types],
            enforcement=row.enforcement,
            default_scopes=row.default_scopes,
            default_fields=[FieldValue(name=name, value=value) for name, value in row.default_fields.items()],
            created_at=row.created_at,
            updated_at=row.updated_at,
        )

    @strawberry.field(description="The connector that it is about.")
    def connector(self, info: Info) -> Connector:
        return connector_named(self.row.connector_key, info)

    @strawberry.field(description="The group that it is for.")
    def group(self) -> Group | None:
        return None if self.row.group is None else Group.of(self.row.group)

    @strawberry.field(description="The user that it is for.")
    async def user(self, info: Info) -> User | None:
        return None if self.row.user_id is None else await load_user(self.row.user_id, info)

    @strawberry.field(name="defaultOAuthApp", description="Stands in where bring-your-own-app names none.")
    async def default_oauth_app(self, info: Info) -> OAuthApp | None:
        app = None if self.row.default_app_id is None else await info.context.loaders.oauth_app.load(self.row.default_app_id)
        return None if app is None else OAuthApp.of(app)

    @strawberry.field(description="Connections that already break it, by name, as far as the viewer can see them.")
    async def violations(self, info: Info, first: First = 50, after: After = None) -> Page[LazyConnection]:
        breach = await info.context.loaders.breach.load(self.row.id) or Breach()
        return await _connections(info, breach, Cursors(info.context, "violations", self.id), first=first, after=after)

    @strawberry.field(description="How many connections already break it, with those in workspaces that only their owners can see.")
    async def violation_count(self, info: Info) -> int:
        return (await info.context.loaders.breach.load(self.row.id) or Breach()).total


@strawberry.input(description="A policy, in the place of the one for the same. What is left out is as if there were no such rule.")
class SetConnectorPolicyInput:
    connector_key: str = strawberry.field(description="The connector that it is about.")
    group_id: strawberry.ID | None = strawberry.field(default=None, description="For this group. Without it and userId, for everybody.")
    user_id: strawberry.ID | None = strawberry.field(default=None, description="For this user.")
    is_exempt: bool | None = strawberry.field(
        default=False, description="Make an exception: the policy says nothing, and those that are wider are not looked at."
    )
    allowed: bool | None = strawberry.field(default=True, description="Whether the connector is allowed at all.")
    allowed_authentication_types: list[AuthenticationType] | None = strawberry.field(
        default=None, description="The ways to authenticate that are allowed; all that the connector offers where absent."
    )
    enforcement: PolicyEnforcement | None = strawberry.field(
        default=PolicyEnforcement.BLOCK_NEW, description="What it does to connections that break it."
    )
    default_oauth_app: OAuthAppInput | None = strawberry.field(
        name="defaultOAuthApp",
        default=strawberry.UNSET,
        description="Stands in where bring-your-own-app names none. Where absent, the one that the policy has stays; null takes it away. "
        "The secret of one that it has is left out here, and changed by rotateOAuthAppSecret.",
    )
    default_scopes: list[str] | None = strawberry.field(
        default=None, description="What is asked for where bring-your-own-app names no scopes; the connector's own where absent."
    )
    default_fields: list[FieldValueInput] | None = strawberry.field(
        default=None, description="What stands in for fields that are not given. Not for secret ones."
    )


@strawberry.type(description="It was done.")
class ConnectorPolicySuccess:
    policy: ConnectorPolicy = strawberry.field(description="The policy as it is now; one that was deleted, as it was.")


@strawberry.type(description="What a policy would do, if it were set. Nothing was written.")
class SimulateConnectorPolicySuccess:
    simulation: strawberry.Private[Simulation]
    connection_count: int = strawberry.field(
        description="How many connections would break it, with those in workspaces that only their owners can see."
    )
    suspended_count: int = strawberry.field(description="How many connections would be switched off.")
    resumed_count: int = strawberry.field(description="How many connections that a policy has switched off would go on.")
    covered_people_count: int = strawberry.field(description="For how many people it would be this policy that decides.")

    @classmethod
    def of(cls, simulation: Simulation) -> "SimulateConnectorPolicySuccess":
        return cls(
            simulation=simulation,
            connection_count=simulation.breach.total,
            suspended_count=simulation.settled.suspended,
            resumed_count=simulation.settled.resumed,
            covered_people_count=simulation.covered,
        )

    @strawberry.field(description="Connections that would break it, by name, as far as the viewer can see them.")
    async def connections(self, info: Info, first: First = 50, after: After = None) -> Page[LazyConnection]:
        cursors = Cursors(info.context, "simulated connections")
        return await _connections(info, self.simulation.breach, cursors, first=first, after=after)

    @strawberry.field(description="Who owns connections that would break it.")
    async def people(self, info: Info, first: First = 50, after: After = None) -> Page[User]:
        cursors = Cursors(info.context, "simulated people")
        position, length = cursors.read(after), checked_first(first)
        rest = [id for id in self.simulation.owner_ids if position is None or id > UUID(position)]
        rows = await info.context.loaders.user.load_many(rest[:length])
        cursor = cursors.write(str(rest[:length][-1])) if rest else None
        nodes = [User.of(row, info) for row in rows if row is not None]
        return page_of(nodes, cursor=cursor, has_next=len(rest) > length, count=counted(len(self.simulation.owner_ids)))


ConnectorPolicyResult = Annotated[
    ConnectorPolicySuccess | NotFoundError | PermissionDeniedError | InvalidInputError | ConflictError,
    strawberry.union("ConnectorPolicyResult", description="The policy, or why not."),
]
SimulateConnectorPolicyResult = Annotated[
    SimulateConnectorPolicySuccess | NotFoundError | PermissionDeniedError | InvalidInputError,
    strawberry.union("SimulateConnectorPolicyResult", description="What would happen, or why that cannot be told."),
]

_Wished = Annotated[SetConnectorPolicyInput, strawberry.argument(description="The policy.")]


@strawberry.type
class PolicyQuery:
    @strawberry.field(description="All policies, a connector after the other. For administrators; nothing for others.")
    async def policies(self, info: Info, first: First = 50, after: After = None) -> Page[ConnectorPolicy]:
        cursors = Cursors(info.context, "policies")
        position = cursors.read(after)
        rows, has_next, total = await info.context.patchbay.policies.page(
            info.context.actor,
            first=checked_first(first),
            after=None if position is None else (position[0], UUID(position[1])),
        )
        cursor = cursors.write([rows[-1].connector_key, str(rows[-1].id)]) if rows else None
        return page_of([ConnectorPolicy.of(row) for row in rows], cursor=cursor, has_next=has_next, count=counted(total))

    @strawberry.field(description="What it would do to set this policy: whom and what it would hit. Administrators only.")
    @answering(NotFound, PermissionDenied, InvalidInput)
    async def simulate_connector_policy(self, info: Info, input: _Wished) -> SimulateConnectorPolicyResult:
        simulation = await info.context.patchbay.policy_effects.simulate(info.context.actor, _wish(input))
        return SimulateConnectorPolicySuccess.of(simulation)


@strawberry.type
class PolicyMutation:
    @strawberry.mutation(
        description="Make a policy, or replace the one for the same. In force at once, for connections that are there too. "
        "Administrators only."
    )
    @answering(NotFound, PermissionDenied, InvalidInput, Conflict)
    async def set_connector_policy(self, info: Info, input: _Wished) -> ConnectorPolicyResult:
        row = await info.context.patchbay.policies.set(info.context.actor, _wish(input))
        return ConnectorPolicySuccess(policy=ConnectorPolicy.of(row))

    @strawberry.mutation(
        description="Take away the policy for everybody, or the one for a group or a user. Connections that it suspended go on. "
        "Administrators only."
    )
    @answering(NotFound, PermissionDenied, InvalidInput, Conflict)
    async def delete_connector_policy(
        self,
        info: Info,
        connector_key: Annotated[str, strawberry.argument(description="The connector that it is about.")],
        group_id: Annotated[strawberry.ID | None, strawberry.argument(description="The one for this group.")] = None,
        user_id: Annotated[strawberry.ID | None, strawberry.argument(description="The one for this user.")] = None,
    ) -> ConnectorPolicyResult:
        row = await info.context.patchbay.policies.delete(
            info.context.actor,
            key_of(connector_key),
            group_id=None if group_id is None else id_of(group_id, "group"),
            user_id=None if user_id is None else id_of(user_id, "user"),
        )
        return ConnectorPolicySuccess(policy=ConnectorPolicy.of(row))


async def find_policy(policy_id: UUID, info: Info) -> ConnectorPolicy | None:
    """The policy, for administrators; None for others."""
    row = await info.context.loaders.policy.load(policy_id)
    return None if row is None else ConnectorPolicy.of(row)


def _wish(input: SetConnectorPolicyInput) -> PolicyWish:
    """Raises NotFound, and InvalidInput where a field is given twice."""
    fields = {field.name: field.value for field in input.default_fields or []}
    if len(fields) < len(input.default_fields or []):
        raise InvalidInput({"defaultFields": "names a field twice"})
    types, scopes = input.allowed_authentication_types, input.default_scopes
    return PolicyWish(
        connector_key=input.connector_key,
        group_id=None if input.group_id is None else id_of(input.group_id, "group"),
        user_id=None if input.user_id is None else id_of(input.user_id, "user"),
        is_exempt=bool(input.is_exempt),
        allowed=input.allowed is not False,
        allowed_types=None if types is None else tuple(dict.fromkeys(types)),
        enforcement=input.enforcement or PolicyEnforcement.BLOCK_NEW,
        app=_app(input.default_oauth_app),
        takes_app_away=input.default_oauth_app is None,
        default_scopes=None if scopes is None else tuple(dict.fromkeys(scopes)),
        default_fields=fields,
    )


def _app(app: OAuthAppInput | None) -> PolicyApp | None:
    if not app:
        return None
    return PolicyApp(app.client_id, None if app.client_secret is None else Secret(app.client_secret))


async def _connections(info: Info, breach: Breach, cursors: Cursors, *, first: int | None, after: str | None) -> "Page[Connection]":
    from api.graphql.connections import Connection

    position = cursors.read(after)
    found, has_next = breach.page(first=checked_first(first), after=None if position is None else (position[0], UUID(position[1])))
    rows = await info.context.loaders.connection.load_many([each.id for each in found])
    cursor = cursors.write([found[-1].name_key, str(found[-1].id)]) if found else None
    # One that was deleted or moved out of sight in this moment is left out.
    nodes = [Connection.of(row) for row in rows if row is not None]
    return page_of(nodes, cursor=cursor, has_next=has_next, count=counted(len(breach.seen)))

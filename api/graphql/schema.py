"""The schema: what each noun brings, merged."""

from datetime import datetime

import strawberry
from strawberry.schema.config import StrawberryConfig

from api.graphql.app_upkeep import OAuthAppUpkeepMutation
from api.graphql.audit import AuditQuery
from api.graphql.building import BuildingMutation, BuildingQuery
from api.graphql.connecting import ConnectingMutation, ConnectingQuery
from api.graphql.connections import ConnectionQueries
from api.graphql.connectors import ConnectorMutation, ConnectorQuery
from api.graphql.drafting import DraftingMutation
from api.graphql.errors import Error
from api.graphql.events import EventSubscription
from api.graphql.execution import EXTENSIONS, PatchbaySchema
from api.graphql.folders import FolderMutation, FolderQuery
from api.graphql.groups import GroupMutation, GroupQuery
from api.graphql.issuing import IssuingMutation
from api.graphql.managing import ManagingMutation
from api.graphql.moments import DATE_TIME
from api.graphql.oauth_apps import OAuthAppMutation, OAuthAppQuery
from api.graphql.organization_permissions import OrganizationPermissionMutation
from api.graphql.policies import PolicyMutation, PolicyQuery
from api.graphql.users import UserMutation, UserQuery
from api.graphql.webhook_upkeep import WebhookMutation
from api.graphql.webhooks import WebhookQuery


@strawberry.type(description="What can be asked. What the viewer may not see does not exist: then the answer is null.")
class Query(
    UserQuery,
    GroupQuery,
    ConnectorQuery,
    FolderQuery,
    ConnectionQueries,
    ConnectingQuery,
    OAuthAppQuery,
    AuditQuery,
    PolicyQuery,
    WebhookQuery,
    BuildingQuery,
):
    pass


@strawberry.type(description="What can be done. Each answers with a union: its success, or an error that a client can plan for.")
class Mutation(
    ConnectingMutation,
    ManagingMutation,
    IssuingMutation,
    FolderMutation,
    UserMutation,
    GroupMutation,
    OAuthAppMutation,
    OAuthAppUpkeepMutation,
    ConnectorMutation,
    PolicyMutation,
    WebhookMutation,
    BuildingMutation,
    OrganizationPermissionMutation,
    DraftingMutation,
):
    pass


@strawberry.type(description="What can be watched, over graphql-transport-ws or server-sent events.")
class Subscription(EventSubscription):
    pass


schema = PatchbaySchema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    types=[Error],
    extensions=EXTENSIONS,
    config=StrawberryConfig(auto_camel_case=True, scalar_map={datetime: DATE_TIME}),
)

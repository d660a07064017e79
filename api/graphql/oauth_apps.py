"""OAuth apps: the operator's, and those that people brought."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import strawberry

import models
from api.connections.app_check import Verdict
from api.errors import AuthenticationTypeUnavailable, Conflict, InvalidInput, NotFound, PermissionDenied
from api.graphql.connectors import Connector, connector_named
from api.graphql.context import Info
from api.graphql.errors import (
    AuthenticationTypeUnavailableError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    PermissionDeniedError,
    answering,
)
from api.graphql.ids import find_key, graph_id
from api.graphql.page import After, Cursors, First, Page, checked_first, counted, page_of
from api.graphql.statuses import StatusReason
from api.organization.app_warnings import AppWarningKind, warnings_of
from api.secret import Secret
from models import OAuthAppOrigin


@strawberry.type(description="Something that should be done about an app before it fails.")
class OAuthAppWarning:
    kind: AppWarningKind = strawberry.field(description="What it is, for programs.")
    message: str = strawberry.field(description="What it is, in words a person understands.")
    remedy: str = strawberry.field(description="What to do about it.")


@strawberry.type(description="A client registered with a vendor. Its secret is write-only: only its dates can be read.")
class OAuthApp:
    row: strawberry.Private[models.OAuthApp]
    id: strawberry.ID = strawberry.field(description="Names the app for good.")
    name: str = strawberry.field(description="What people call it here.")
    client_id: str = strawberry.field(description="Its id at the vendor.")
    scopes: list[str] = strawberry.field(description="The scopes that it has at the vendor, as far as they were told.")
    endpoints: list[str] | None = strawberry.field(
        description="For a connector of one's own: the URLs that its secret was given for, each with what may be filled in. It goes to no "
        "other. Null where a file is the connector."
    )
    origin: OAuthAppOrigin = strawberry.field(description="Whose it is.")
    secret_set_at: datetime | None = strawberry.field(description="When its secret was given; null where it has none.")
    secret_expires_at: datetime | None = strawberry.field(description="When its secret ends at the vendor, where that was told.")
    previous_secret_retained: bool = strawberry.field(description="Whether the secret before this one is still tried.")
    incident: StatusReason | None = strawberry.field(
        description="What is wrong with the app itself; null where nothing is. Until it is mended, its connections are not renewed; then "
        "all of them go on by themselves."
    )
    incident_since: datetime | None = strawberry.field(description="Since when that is so.")

    @classmethod
    def of(cls, row: models.OAuthApp) -> "OAuthApp":
        return cls(
            row=row,
            id=graph_id(row.id),
            name=row.name,
            client_id=row.client_id,
            scopes=row.scopes,
            endpoints=row.endpoints,
            origin=row.origin,
            secret_set_at=row.secret_set_at,
            secret_expires_at=row.secret_expires_at,
            previous_secret_retained=row.previous_secret is not None,
            incident=StatusReason.of_optional(row.incident),
            incident_since=row.incident_since,
        )

    @strawberry.field(description="The connector that it is for.")
    def connector(self, info: Info) -> Connector:
        return connector_named(self.row.connector_key, info)

    @strawberry.field(description="How many connections sign in with it.")
    async def connection_count(self, info: Info) -> int:
        return await info.context.loaders.app_use.load(self.row.id) or 0

    @strawberry.field(
        description="How many connections were not yet renewed with its new secret, while the one before is kept: at 0 that can be retired."
    )
    async def connections_on_previous_secret(self, info: Info) -> int:
        return await info.context.loaders.previous_secret_use.load(self.row.id) or 0

    @strawberry.field(description="What should be done about it before it fails.")
    def warnings(self, info: Info) -> list[OAuthAppWarning]:
        warnings = warnings_of(self.row, info.context.patchbay.clock())
        return [OAuthAppWarning(kind=warning.kind, message=warning.message, remedy=warning.remedy) for warning in warnings]


@strawberry.input(description="The operator's OAuth app for a connector.")
class RegisterOAuthAppInput:
    connector_key: str = strawberry.field(description="The connector that it is for.")
    name: str | None = strawberry.field(default=None, description="What people call it here; made from the connector's name without it.")
    client_id: str = strawberry.field(description="The app's id at the vendor.")
    client_secret: str | None = strawberry.field(
        default=None, description="The app's secret; none for a public client. It cannot be read back."
    )
    secret_expires_at: datetime | None = strawberry.field(default=None, description="When the secret ends at the vendor.")
    scopes: list[str] | None = strawberry.field(default=None, description="The scopes that the app has at the vendor.")


@strawberry.type(description="The app is kept.")
class OAuthAppSuccess:
    oauth_app: OAuthApp = strawberry.field(name="oauthApp", description="The app.")
    secret_accepted: Verdict | None = strawberry.field(
        default=None,
        description="After a rotation: YES where the provider took the new secret, UNKNOWN where it could not be asked or did not tell.",
    )


OAuthAppResult = Annotated[
    OAuthAppSuccess | NotFoundError | PermissionDeniedError | InvalidInputError | AuthenticationTypeUnavailableError | ConflictError,
    strawberry.union("OAuthAppResult", description="The app, or why not."),
]


@strawberry.type
class OAuthAppQuery:
    @strawberry.field(
        name="oauthApps", description="OAuth apps: the operator's for administrators, and those in folders that the viewer can see."
    )
    async def oauth_apps(
        self,
        info: Info,
        connector_key: Annotated[str | None, strawberry.argument(description="Only for this connector.")] = None,
        first: First = 50,
        after: After = None,
    ) -> Page[OAuthApp]:
        cursors = Cursors(info.context, "oauth_apps", connector_key)
        position = cursors.read(after)
        rows, has_next, total = await info.context.patchbay.oauth_apps.page(
            info.context.actor,
            connector_key=find_key(connector_key),
            first=checked_first(first),
            after=None if position is None else UUID(position),
        )
        cursor = cursors.write(str(rows[-1].id)) if rows else None
        return page_of([OAuthApp.of(row) for row in rows], cursor=cursor, has_next=has_next, count=counted(total))


@strawberry.type
class OAuthAppMutation:
    @strawberry.mutation(
        name="registerOAuthApp",
        description="Keep the operator's own OAuth app for a connector: what OAUTH2_AUTHORIZATION_CODE signs in with. Administrators only.",
    )
    @answering(PermissionDenied, NotFound, InvalidInput, AuthenticationTypeUnavailable, Conflict)
    async def register_oauth_app(
        self, info: Info, input: Annotated[RegisterOAuthAppInput, strawberry.argument(description="The app.")]
    ) -> OAuthAppResult:
        app = await info.context.patchbay.oauth_apps.register(
            info.context.actor,
            connector_key=input.connector_key,
            name=input.name,
            client_id=input.client_id,
            client_secret=None if input.client_secret is None else Secret(input.client_secret),
            secret_expires_at=input.secret_expires_at,
            scopes=None if input.scopes is None else tuple(input.scopes),
        )
        return OAuthAppSuccess(oauth_app=OAuthApp.of(app))

"""Connecting and connecting again."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import strawberry

import models
from api.connections.requests import ConnectRequest, OwnApp, ReconnectRequest
from api.errors import (
    AuthenticationTypeUnavailable,
    Conflict,
    InvalidInput,
    NameTaken,
    NotFound,
    PermissionDenied,
    PolicyViolation,
    ProviderFailure,
)
from api.graphql.connections import Connection
from api.graphql.context import Info
from api.graphql.errors import (
    AuthenticationTypeUnavailableError,
    ConflictError,
    InvalidInputError,
    NameTakenError,
    NotFoundError,
    PermissionDeniedError,
    PolicyViolationError,
    ProviderError,
    answering,
)
from api.graphql.ids import find_id, graph_id, id_of
from api.graphql.statuses import StatusReason
from api.secret import Secret
from models import AuthenticationType, AuthorizationStatus


@strawberry.type(description="One consent: from `connect` to the provider's answer. The connection is there only once it succeeded.")
class Authorization:
    row: strawberry.Private[models.Authorization]
    id: strawberry.ID = strawberry.field(description="Names the consent.")
    status: AuthorizationStatus = strawberry.field(description="How far it is.")
    url: str = strawberry.field(
        description="Where to send the person's browser: a page of Patchbay's own, which knows them, and sends them on to the provider."
    )
    expires_at: datetime = strawberry.field(description="Until when the person must have come back.")
    reason: StatusReason | None = strawberry.field(description="Why it did not succeed.")

    @classmethod
    def of(cls, row: models.Authorization, info: Info) -> "Authorization":
        connecting = info.context.patchbay.connecting
        return cls(
            row=row,
            id=graph_id(row.id),
            status=connecting.status_of(row),
            url=connecting.url_of(row),
            expires_at=row.expires_at,
            reason=StatusReason.of_optional(row.reason),
        )

    @strawberry.field(description="The connection that it led to, or that it is to reconnect.")
    async def connection(self, info: Info) -> Connection | None:
        row = None if self.row.connection_id is None else await info.context.loaders.connection.load(self.row.connection_id)
        return None if row is None else Connection.of(row)


@strawberry.input(description="A value for one field of a form.")
class FieldValueInput:
    name: str = strawberry.field(description="The field's name.")
    value: str = strawberry.field(description="Its value. Give it by a variable: what stands in a document may be logged on the way here.")


@strawberry.input(description="An OAuth app of one's own, registered with the vendor.")
class OAuthAppInput:
    client_id: str = strawberry.field(description="The app's id at the vendor.")
    client_secret: str | None = strawberry.field(
        default=None, description="The app's secret; none for a public client. It cannot be read back."
    )


@strawberry.input(description="A new connection.")
class ConnectInput:
    folder_id: strawberry.ID = strawberry.field(description="Where it goes. Needs CREATE there.")
    connector_key: str = strawberry.field(description="What it connects to.")
    authentication_type: AuthenticationType = strawberry.field(description="How it authenticates: one that the connector offers.")
    option: str | None = strawberry.field(
        default=None,
        description="The key of the authentication option, where the connector has several of this type; the first where absent.",
    )
    name: str | None = strawberry.field(default=None, description="Made from the connector's name where absent.")
    fields: list[FieldValueInput] | None = strawberry.field(
        default=None, description="What the form of the authentication option asks for."
    )
    oauth_app: OAuthAppInput | None = strawberry.field(
        name="oauthApp",
        default=None,
        description="For OAUTH2_BRING_YOUR_OWN_APP: an app of one's own, if it is not given among the fields.",
    )
    oauth_app_id: strawberry.ID | None = strawberry.field(
        name="oauthAppId", default=None, description="For OAUTH2_BRING_YOUR_OWN_APP: an app of one's own that is already kept."
    )
    scopes: list[str] | None = strawberry.field(default=None, description="What to ask for; the connector's defaults where absent.")
    return_url: str | None = strawberry.field(
        default=None, description="Where the browser goes after consent; its origin must be on the operator's list."
    )
    idempotency_key: str | None = strawberry.field(
        default=None, description="A second connect with the same key answers with the first one's result."
    )
    connector_version: int | None = strawberry.field(
        default=None,
        description="Of a connector of one's own, the version whose form was filled in (`Connector.version`): refused where it is another "
        "by now, so that nothing goes to an address that nobody saw.",
    )


@strawberry.input(description="A connection that somebody else is to make.")
class CreateConnectLinkInput:
    folder_id: strawberry.ID = strawberry.field(description="Where it goes: a shared folder. Needs CREATE there, also when they consent.")
    for_user_id: strawberry.ID = strawberry.field(description="Who is to sign in and consent. The connection will be theirs.")
    connector_key: str = strawberry.field(description="What it connects to.")
    authentication_type: AuthenticationType = strawberry.field(description="How it authenticates: one that has a consent.")
    option: str | None = strawberry.field(
        default=None,
        description="The key of the authentication option, where the connector has several of this type; the first where absent.",
    )
    name: str | None = strawberry.field(default=None, description="Made from the connector's name where absent.")
    fields: list[FieldValueInput] | None = strawberry.field(
        default=None, description="What the form of the authentication option asks for."
    )
    oauth_app_id: strawberry.ID | None = strawberry.field(
        name="oauthAppId", default=None, description="For OAUTH2_BRING_YOUR_OWN_APP: an app of one's own that is already kept."
    )
    scopes: list[str] | None = strawberry.field(default=None, description="What to ask for; the connector's defaults where absent.")
    return_url: str | None = strawberry.field(
        default=None, description="Where the browser goes after consent; its origin must be on the operator's list."
    )


@strawberry.input(description="A new credential for a connection.")
class ReconnectInput:
    connection_id: strawberry.ID = strawberry.field(description="The connection. Needs EDIT in its folder.")
    fields: list[FieldValueInput] | None = strawberry.field(default=None, description="What changes; other fields stay as they are.")
    connector_version: int | None = strawberry.field(
        default=None,
        description="Of a connector of one's own, the version whose form was filled in (`Connector.version`): refused where it is another "
        "by now, so that nothing goes to an address that nobody saw.",
    )
    oauth_app: OAuthAppInput | None = strawberry.field(name="oauthApp", default=None, description="Another app of one's own.")
    scopes: list[str] | None = strawberry.field(default=None, description="What to ask for; the same as before where absent.")
    return_url: str | None = strawberry.field(
        default=None, description="Where the browser goes after consent; its origin must be on the operator's list."
    )
    allow_account_change: bool | None = strawberry.field(
        default=False, description="A different account at the provider is refused unless this is true."
    )


@strawberry.type(description="`authorization` where a person must consent first; else `connection`, verified.")
class ConnectSuccess:
    connection: Connection | None = strawberry.field(description="The connection; null while a person must consent.")
    authorization: Authorization | None = strawberry.field(description="The consent to send a person to; null where none is needed.")


@strawberry.type(description="It was done.")
class AuthorizationSuccess:
    authorization: Authorization = strawberry.field(description="The consent as it is now.")


@strawberry.type(description="Its `url` is the link.")
class ConnectLinkSuccess:
    authorization: Authorization = strawberry.field(description="The consent that somebody is asked for.")


ConnectResult = Annotated[
    ConnectSuccess
    | NotFoundError
    | PermissionDeniedError
    | InvalidInputError
    | NameTakenError
    | PolicyViolationError
    | AuthenticationTypeUnavailableError
    | ProviderError
    | ConflictError,
    strawberry.union("ConnectResult", description="The connection, or the consent on the way to it, or why not."),
]
ConnectLinkResult = Annotated[
    ConnectLinkSuccess
    | NotFoundError
    | PermissionDeniedError
    | InvalidInputError
    | NameTakenError
    | PolicyViolationError
    | AuthenticationTypeUnavailableError
    | ConflictError,
    strawberry.union("ConnectLinkResult", description="The link, or why not."),
]
AuthorizationResult = Annotated[
    AuthorizationSuccess | NotFoundError | ConflictError,
    strawberry.union("AuthorizationResult", description="The consent, or why not."),
]

_EXPECTED = (
    NotFound,
    PermissionDenied,
    InvalidInput,
    NameTaken,
    PolicyViolation,
    AuthenticationTypeUnavailable,
    ProviderFailure,
    Conflict,
)


@strawberry.type
class ConnectingQuery:
    @strawberry.field(description="One consent under way, for whose it is and for who asked them for it; null for everybody else.")
    async def authorization(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The consent.")]
    ) -> Authorization | None:
        known = find_id(id)
        row = None if known is None else await info.context.patchbay.connecting.find(info.context.actor, known)
        return None if row is None else Authorization.of(row, info)


@strawberry.type
class ConnectingMutation:
    @strawberry.mutation(
        description="Connect an account: at once, with a credential that the provider takes, or by a consent in the browser."
    )
    @answering(*_EXPECTED)
    async def connect(
        self, info: Info, input: Annotated[ConnectInput, strawberry.argument(description="The connection.")]
    ) -> ConnectResult:
        return _success(await info.context.patchbay.connecting.connect(info.context.actor, _connect_request(input)), info)

    @strawberry.mutation(
        description="Ask somebody else to connect an account of theirs. The link is for them alone: they sign in, see who asks and for "
        "which folder, and consent. It works once, and for fifteen minutes."
    )
    @answering(NotFound, PermissionDenied, InvalidInput, NameTaken, PolicyViolation, AuthenticationTypeUnavailable, Conflict)
    async def create_connect_link(
        self, info: Info, input: Annotated[CreateConnectLinkInput, strawberry.argument(description="Who is asked for what.")]
    ) -> ConnectLinkResult:
        request = ConnectRequest(
            folder_id=id_of(input.folder_id, "folder"),
            connector_key=input.connector_key,
            authentication_type=input.authentication_type,
            option=input.option,
            name=input.name,
            fields=_fields(input.fields),
            oauth_app_id=_app_id(input.oauth_app_id),
            scopes=None if input.scopes is None else tuple(input.scopes),
            return_url=input.return_url,
        )
        row = await info.context.patchbay.connecting.ask(info.context.actor, request, id_of(input.for_user_id, "user"))
        return ConnectLinkSuccess(authorization=Authorization.of(row, info))

    @strawberry.mutation(
        description="Authenticate again, or give a rotated secret. Id, name and default stay; the old credential lives until the new "
        "one is proven."
    )
    @answering(*_EXPECTED)
    async def reconnect(
        self, info: Info, input: Annotated[ReconnectInput, strawberry.argument(description="The credential.")]
    ) -> ConnectResult:
        return _success(await info.context.patchbay.connecting.reconnect(info.context.actor, _reconnect_request(input)), info)

    @strawberry.mutation(description="Call a consent off that one began.")
    @answering(NotFound, Conflict)
    async def cancel_authorization(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The consent.")]
    ) -> AuthorizationResult:
        row = await info.context.patchbay.connecting.cancel(info.context.actor, id_of(id, "consent"))
        return AuthorizationSuccess(authorization=Authorization.of(row, info))


def _success(result: models.Connection | models.Authorization, info: Info) -> ConnectSuccess:
    if isinstance(result, models.Authorization):
        return ConnectSuccess(connection=None, authorization=Authorization.of(result, info))
    return ConnectSuccess(connection=Connection.of(result), authorization=None)


def _connect_request(input: ConnectInput) -> ConnectRequest:
    return ConnectRequest(
        folder_id=id_of(input.folder_id, "folder"),
        connector_key=input.connector_key,
        authentication_type=input.authentication_type,
        option=input.option,
        name=input.name,
        fields=_fields(input.fields),
        own_app=_own_app(input.oauth_app),
        oauth_app_id=_app_id(input.oauth_app_id),
        scopes=None if input.scopes is None else tuple(input.scopes),
        return_url=input.return_url,
        idempotency_key=input.idempotency_key,
        connector_version=input.connector_version,
    )


def _reconnect_request(input: ReconnectInput) -> ReconnectRequest:
    return ReconnectRequest(
        connection_id=id_of(input.connection_id, "connection"),
        fields=_fields(input.fields),
        own_app=_own_app(input.oauth_app),
        scopes=None if input.scopes is None else tuple(input.scopes),
        return_url=input.return_url,
        allow_account_change=bool(input.allow_account_change),
        connector_version=input.connector_version,
    )


def _fields(values: list[FieldValueInput] | None) -> dict[str, Secret]:
    """Raises InvalidInput where a field is given twice."""
    fields = {field.name: Secret(field.value) for field in values or []}
    if len(fields) < len(values or []):
        raise InvalidInput({"fields": "names a field twice"})
    return fields


def _own_app(app: OAuthAppInput | None) -> OwnApp | None:
    if app is None:
        return None
    return OwnApp(app.client_id, None if app.client_secret is None else Secret(app.client_secret))


def _app_id(text: strawberry.ID | None) -> UUID | None:
    if text is None:
        return None
    known = find_id(text)
    if known is None:
        raise InvalidInput({"oauthAppId": "is not an app that you may use with this connector"})
    return known

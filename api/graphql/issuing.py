"""Credentials in use: given out, and reported where the provider rejects them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Self

import strawberry

from api.connections.issued import Issued
from api.errors import Conflict, InvalidInput, NotFound, PermissionDenied, PolicyViolation, ProviderFailure
from api.graphql.connections import Connection
from api.graphql.context import Info
from api.graphql.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    PermissionDeniedError,
    PolicyViolationError,
    ProviderError,
    answering,
)
from api.graphql.ids import id_of, key_of
from api.graphql.managing import ConnectionResult, ConnectionSuccess

_FRESH_FOR = "For how many seconds it must be fresh at the least: 0 to 3600."


@strawberry.input(description="Which credential is wanted.")
class IssueCredentialInput:
    connection_id: strawberry.ID = strawberry.field(description="The connection. Needs USE in its folder.")
    minimum_ttl: int | None = strawberry.field(default=60, description=_FRESH_FOR)


@strawberry.input(description="Which credential is wanted, by folder and connector.")
class IssueDefaultCredentialInput:
    folder_id: strawberry.ID = strawberry.field(description="The folder. Needs USE in it.")
    connector_key: str = strawberry.field(description="The key of the connector whose default connection is meant.")
    minimum_ttl: int | None = strawberry.field(default=60, description=_FRESH_FOR)


@strawberry.input(description="A credential that the provider did not take.")
class ReportRejectedCredentialInput:
    connection_id: strawberry.ID = strawberry.field(description="The connection. Needs USE in its folder.")
    generation: int = strawberry.field(description="The generation of the credential, as it was issued.")


@strawberry.type(description="A name with its value.")
class NameValue:
    name: str = strawberry.field(description="The name.")
    value: str = strawberry.field(description="The value.")


@strawberry.type(description="A credential to call the provider with. Keep it no longer than it is fresh, and out of every log.")
class IssuedCredential:
    headers: list[NameValue] = strawberry.field(description="Send these with every call to baseUrl.")
    query: list[NameValue] = strawberry.field(description="Add these to the query of every call.")
    access_token: str | None = strawberry.field(description="The access token by itself; null where the provider gives none.")
    token_type: str | None = strawberry.field(description="What kind of token it is, such as Bearer.")
    base_url: str | None = strawberry.field(description="Where the provider's API is.")
    expires_at: datetime | None = strawberry.field(description="When it ends; null where it does not, as far as is known.")
    generation: int = strawberry.field(description="Name it when the provider rejects this credential.")

    @classmethod
    def of(cls, issued: Issued) -> Self:
        return cls(
            headers=_pairs(issued.headers),
            query=_pairs(issued.query),
            access_token=None if issued.access_token is None else issued.access_token.reveal(),
            token_type=issued.token_type,
            base_url=issued.base_url,
            expires_at=issued.expires_at,
            generation=issued.generation,
        )


@strawberry.type(description="The credential was issued, and is in the audit log.")
class IssueCredentialSuccess:
    credential: IssuedCredential = strawberry.field(description="What to call the provider with.")
    connection: Connection = strawberry.field(description="The connection as it is now.")

    @classmethod
    def of(cls, issued: Issued) -> Self:
        return cls(credential=IssuedCredential.of(issued), connection=Connection.of(issued.connection))


IssueCredentialResult = Annotated[
    IssueCredentialSuccess
    | NotFoundError
    | PermissionDeniedError
    | InvalidInputError
    | PolicyViolationError
    | ProviderError
    | ConflictError,
    strawberry.union("IssueCredentialResult", description="The credential, or why not."),
]


@strawberry.type
class IssuingMutation:
    @strawberry.mutation(
        description="A credential to call the provider with, fresh for at least minimumTtl seconds: renewed first where it must be, once "
        "for all who ask. Needs USE. Never a refresh token or client secret."
    )
    @answering(NotFound, PermissionDenied, InvalidInput, PolicyViolation, ProviderFailure, Conflict)
    async def issue_credential(
        self, info: Info, input: Annotated[IssueCredentialInput, strawberry.argument(description="Which.")]
    ) -> IssueCredentialResult:
        id = id_of(input.connection_id, "connection")
        issued = await info.context.patchbay.issuing.issue(info.context.actor, id, _ttl(input.minimum_ttl))
        return IssueCredentialSuccess.of(issued)

    @strawberry.mutation(description="As issueCredential, of the default connection for a connector in a folder. Needs USE.")
    @answering(NotFound, PermissionDenied, InvalidInput, PolicyViolation, ProviderFailure, Conflict)
    async def issue_default_credential(
        self, info: Info, input: Annotated[IssueDefaultCredentialInput, strawberry.argument(description="Which.")]
    ) -> IssueCredentialResult:
        id, key = id_of(input.folder_id, "folder"), key_of(input.connector_key)
        issued = await info.context.patchbay.issuing.issue_default(info.context.actor, id, key, _ttl(input.minimum_ttl))
        return IssueCredentialSuccess.of(issued)

    @strawberry.mutation(
        description="The provider rejected what was issued: refresh and verify once, however many report it, and at most once a minute. "
        "The status then tells what came of it. Where the credential was replaced since, nothing is done. Needs USE."
    )
    @answering(NotFound, PermissionDenied, InvalidInput, PolicyViolation, Conflict)
    async def report_rejected_credential(
        self, info: Info, input: Annotated[ReportRejectedCredentialInput, strawberry.argument(description="Which.")]
    ) -> ConnectionResult:
        id = id_of(input.connection_id, "connection")
        connection = await info.context.patchbay.issuing.report_rejected(info.context.actor, id, input.generation)
        return ConnectionSuccess(connection=Connection.of(connection))


def _pairs(values: Mapping[str, str]) -> list[NameValue]:
    return [NameValue(name=name, value=value) for name, value in values.items()]


def _ttl(seconds: int | None) -> timedelta:
    return timedelta(seconds=60 if seconds is None else seconds)

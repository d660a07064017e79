"""What is done to an OAuth app that is there."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from api.connections.app_check import AppQuestion, Finding, Verdict
from api.connections.app_upkeep import AppChanges, NewSecret
from api.errors import AuthenticationTypeUnavailable, Conflict, InvalidInput, NotFound, PermissionDenied
from api.graphql.context import Info
from api.graphql.errors import (
    AuthenticationTypeUnavailableError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    PermissionDeniedError,
    answering,
)
from api.graphql.ids import graph_id, id_of, key_of
from api.graphql.oauth_apps import OAuthApp, OAuthAppResult, OAuthAppSuccess
from api.secret import Secret

if TYPE_CHECKING:
    from api.graphql.connecting import FieldValueInput

LazyFieldValue = Annotated["FieldValueInput", strawberry.lazy("api.graphql.connecting")]

_WHO = "Administrators; for an app that a person brought, whoever has EDIT in its folder."
_NOUN = "OAuth app"


@strawberry.input(description="One OAuth app.")
class OAuthAppIdInput:
    oauth_app_id: strawberry.ID = strawberry.field(name="oauthAppId", description="The app.")


@strawberry.input(description="A new secret for an OAuth app.")
class RotateOAuthAppSecretInput:
    oauth_app_id: strawberry.ID = strawberry.field(name="oauthAppId", description="The app.")
    client_secret: str = strawberry.field(
        description="The new secret. It cannot be read back. One that the app has already changes nothing."
    )
    secret_expires_at: datetime | None = strawberry.field(default=None, description="When the new secret ends at the vendor.")
    retire_previous: bool | None = strawberry.field(
        default=False, description="Whether the secret before it is not tried any more, from now on."
    )


@strawberry.input(description="What changes of an OAuth app. What is left out stays.")
class UpdateOAuthAppInput:
    oauth_app_id: strawberry.ID = strawberry.field(name="oauthAppId", description="The app.")
    name: str | None = strawberry.field(default=None, description="What people call it here: 1 to 120 characters.")
    client_id: str | None = strawberry.field(default=None, description="Its id at the vendor. Another one clears its secrets.")
    scopes: list[str] | None = strawberry.field(default=None, description="The scopes that it has at the vendor.")
    secret_expires_at: datetime | None = strawberry.field(
        default=strawberry.UNSET, description="When its secret ends at the vendor; null where that is not known."
    )


@strawberry.input(description="An OAuth app to be checked: one that is kept, or one that may be registered.")
class CheckOAuthAppInput:
    oauth_app_id: strawberry.ID | None = strawberry.field(
        name="oauthAppId",
        default=None,
        description="The app that is kept. Then neither a connector nor a client id is needed or looked at.",
    )
    connector_key: str | None = strawberry.field(default=None, description="The connector that an app which is not kept is for.")
    client_id: str | None = strawberry.field(default=None, description="The id of that app at the vendor.")
    client_secret: str | None = strawberry.field(
        default=None, description="Its secret; or a new one for an app that is kept, to see whether it would be taken."
    )
    fields: list[LazyFieldValue] | None = strawberry.field(
        default=None, description="Fields of the connector that the vendor's address depends on, such as a subdomain."
    )


@strawberry.type(description="What came of one question about an OAuth app.")
class OAuthAppFinding:
    what: AppQuestion = strawberry.field(description="The question.")
    verdict: Verdict = strawberry.field(description="The answer.")
    detail: str = strawberry.field(description="What it rests on, in words a person understands; never a secret.")

    @classmethod
    def of(cls, finding: Finding) -> "OAuthAppFinding":
        return cls(what=finding.what, verdict=finding.verdict, detail=finding.detail)


@strawberry.type(description="The vendor was asked.")
class CheckOAuthAppSuccess:
    findings: list[OAuthAppFinding] = strawberry.field(description="One for every question.")


@strawberry.type(description="The app is gone.")
class DeleteOAuthAppSuccess:
    oauth_app_id: strawberry.ID = strawberry.field(name="oauthAppId", description="The app's id.")


CheckOAuthAppResult = Annotated[
    CheckOAuthAppSuccess | NotFoundError | PermissionDeniedError | InvalidInputError | AuthenticationTypeUnavailableError | ConflictError,
    strawberry.union("CheckOAuthAppResult", description="What was found, or why nothing was asked."),
]
DeleteOAuthAppResult = Annotated[
    DeleteOAuthAppSuccess | NotFoundError | PermissionDeniedError | ConflictError,
    strawberry.union("DeleteOAuthAppResult", description="The app's id, or why not."),
]


@strawberry.type
class OAuthAppUpkeepMutation:
    @strawberry.mutation(
        name="rotateOAuthAppSecret",
        description="Give an app a new secret, once its provider takes it. Every connection that uses the app follows, none has to consent "
        f"again. The old secret stays tried until it is retired. {_WHO}",
    )
    @answering(NotFound, PermissionDenied, InvalidInput, Conflict)
    async def rotate_oauth_app_secret(
        self, info: Info, input: Annotated[RotateOAuthAppSecretInput, strawberry.argument(description="The secret.")]
    ) -> OAuthAppResult:
        new = NewSecret(
            id_of(input.oauth_app_id, _NOUN),
            Secret(input.client_secret),
            input.secret_expires_at,
            retires_previous=bool(input.retire_previous),
        )
        rotated = await info.context.patchbay.app_upkeep.rotate(info.context.actor, new)
        return OAuthAppSuccess(oauth_app=OAuthApp.of(rotated.app), secret_accepted=rotated.accepted)

    @strawberry.mutation(
        name="retireOAuthAppSecret", description=f"Do not try the secret before the one in use any more, if there is one. {_WHO}"
    )
    @answering(NotFound, PermissionDenied)
    async def retire_oauth_app_secret(
        self, info: Info, input: Annotated[OAuthAppIdInput, strawberry.argument(description="The app.")]
    ) -> OAuthAppResult:
        id = id_of(input.oauth_app_id, _NOUN)
        app = await info.context.patchbay.app_upkeep.retire_previous_secret(info.context.actor, id)
        return OAuthAppSuccess(oauth_app=OAuthApp.of(app))

    @strawberry.mutation(
        name="updateOAuthApp",
        description="Change an app. Another client id clears its secrets: until it has a new one, its connections are not renewed, and "
        f"those made with the former id must then be reconnected. {_WHO}",
    )
    @answering(NotFound, PermissionDenied, InvalidInput)
    async def update_oauth_app(
        self, info: Info, input: Annotated[UpdateOAuthAppInput, strawberry.argument(description="The changes.")]
    ) -> OAuthAppResult:
        app = await info.context.patchbay.app_upkeep.update(info.context.actor, _changes(input))
        return OAuthAppSuccess(oauth_app=OAuthApp.of(app))

    @strawberry.mutation(
        name="checkOAuthApp",
        description="Ask the vendor, without a person and without a connection, whether it knows an app and takes its secret. Nothing is "
        f"kept. {_WHO} For an app that is not kept: administrators.",
    )
    @answering(NotFound, PermissionDenied, InvalidInput, AuthenticationTypeUnavailable, Conflict)
    async def check_oauth_app(
        self, info: Info, input: Annotated[CheckOAuthAppInput, strawberry.argument(description="The app.")]
    ) -> CheckOAuthAppResult:
        return CheckOAuthAppSuccess(findings=[OAuthAppFinding.of(finding) for finding in await _check(input, info)])

    @strawberry.mutation(
        name="deleteOAuthApp",
        description="Delete an app that no connection and no policy uses. Consents under way with it end. Administrators; for an app that "
        "a person brought, whoever has DELETE in its folder.",
    )
    @answering(NotFound, PermissionDenied, Conflict)
    async def delete_oauth_app(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The app.")]
    ) -> DeleteOAuthAppResult:
        deleted = await info.context.patchbay.app_upkeep.delete(info.context.actor, id_of(id, _NOUN))
        return DeleteOAuthAppSuccess(oauth_app_id=graph_id(deleted))


async def _check(input: CheckOAuthAppInput, info: Info) -> list[Finding]:
    upkeep, actor = info.context.patchbay.app_upkeep, info.context.actor
    secret = None if input.client_secret is None else Secret(input.client_secret)
    if input.oauth_app_id is not None:
        return await upkeep.check(actor, id_of(input.oauth_app_id, _NOUN), client_secret=secret)
    return await upkeep.check_new(
        actor,
        connector_key=key_of(input.connector_key or ""),
        client_id=input.client_id or "",
        client_secret=secret,
        site={field.name: field.value for field in input.fields or ()},
    )


def _changes(input: UpdateOAuthAppInput) -> AppChanges:
    changes_expiry = input.secret_expires_at is not strawberry.UNSET
    return AppChanges(
        app_id=id_of(input.oauth_app_id, _NOUN),
        name=input.name,
        client_id=input.client_id,
        scopes=None if input.scopes is None else tuple(input.scopes),
        changes_expiry=changes_expiry,
        secret_expires_at=input.secret_expires_at if changes_expiry else None,
    )

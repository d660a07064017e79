"""Laws of the schema, held by walking it."""

from pathlib import Path

import pytest
from graphql import (
    DangerousChangeType,
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLUnionType,
    build_schema,
    find_breaking_changes,
    find_dangerous_changes,
)

from api.graphql.schema import schema

ROOT = Path(__file__).parent.parent.parent
OURS = {name: kind for name, kind in schema._schema.type_map.items() if not name.startswith("__")}

DEFAULT_CHANGES = (DangerousChangeType.ARG_DEFAULT_VALUE_CHANGE, DangerousChangeType.INPUT_FIELD_DEFAULT_VALUE_CHANGE)


def parts_of(name: str, kind: GraphQLNamedType) -> dict[str, str | None]:
    """Everything that a reader of the playground meets in a type, with its description."""
    parts = {name: kind.description}
    if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
        for field_name, field in kind.fields.items():
            parts[f"{name}.{field_name}"] = field.description
            parts |= {f"{name}.{field_name}({argument})": known.description for argument, known in field.args.items()}
    if isinstance(kind, GraphQLInputObjectType):
        parts |= {f"{name}.{field_name}": field.description for field_name, field in kind.fields.items()}
    if isinstance(kind, GraphQLEnumType):
        parts |= {f"{name}.{word}": value.description for word, value in kind.values.items()}
    return parts


@pytest.mark.parametrize("name", sorted(OURS))
def test_everything_is_described_for_the_reader_of_the_playground(name: str) -> None:
    assert [part for part, description in parts_of(name, OURS[name]).items() if not description] == []


def test_schema_graphql_is_what_the_code_serves() -> None:
    assert (ROOT / "schema.graphql").read_text() == schema.as_str() + "\n"


def test_everything_promised_to_clients_is_served_as_it_was_promised() -> None:
    promised = build_schema((Path(__file__).parent / "promised.graphql").read_text())

    breaking = find_breaking_changes(promised, schema._schema)
    defaults = [change for change in find_dangerous_changes(promised, schema._schema) if change.type in DEFAULT_CHANGES]

    assert [change.description for change in breaking] == []
    assert [change.description for change in defaults] == []


def test_every_error_of_a_mutation_implements_the_interface() -> None:
    unions = [kind for kind in OURS.values() if isinstance(kind, GraphQLUnionType)]
    members = {member.name: member for union in unions for member in union.types if member.name.endswith("Error")}

    assert len(unions) == 32
    assert [name for name, member in members.items() if [interface.name for interface in member.interfaces] != ["Error"]] == []


def test_every_mutation_answers_with_a_union() -> None:
    mutation = schema._schema.mutation_type
    assert mutation is not None

    answers = {name: str(field.type) for name, field in mutation.fields.items()}

    assert [name for name, answer in answers.items() if not isinstance(OURS[answer.rstrip("!")], GraphQLUnionType)] == []


def test_no_answer_has_a_place_for_a_secret() -> None:
    """But for the text of a new API token and the secret of a webhook, which are shown once, and for the credential that is issued."""
    objects = [(name, kind) for name, kind in OURS.items() if isinstance(kind, GraphQLObjectType)]
    suspicious = ("secret", "token", "password", "verifier", "sealed")

    places = [f"{name}.{field}" for name, kind in objects for field in kind.fields if any(word in field.lower() for word in suspicious)]

    assert sorted(places) == [
        "AuditEntry.tokenId",
        "ConnectorDefinition.personalAccessToken",
        "CreateApiTokenSuccess.apiToken",
        "CreateApiTokenSuccess.token",
        "CreateWebhookSuccess.secret",
        "CredentialField.secret",
        "CredentialFieldDefinition.secret",
        "IssuedCredential.accessToken",
        "IssuedCredential.tokenType",
        "Mutation.createApiToken",
        "Mutation.retireOAuthAppSecret",
        "Mutation.revokeApiToken",
        "Mutation.rotateOAuthAppSecret",
        "Mutation.rotateWebhookSecret",
        "OAuth2Definition.tokenParams",
        "OAuth2Definition.tokenUrl",
        "OAuthApp.connectionsOnPreviousSecret",
        "OAuthApp.previousSecretRetained",
        "OAuthApp.secretExpiresAt",
        "OAuthApp.secretSetAt",
        "OAuthAppSuccess.secretAccepted",
        "Query.tokens",
        "RevokeApiTokenSuccess.apiTokenId",
        "RotateWebhookSecretSuccess.secret",
        "Webhook.previousSecretRetainedUntil",
        "Webhook.secretSetAt",
    ]

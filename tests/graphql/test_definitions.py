"""A connector of one's own, as it is given and as it is read back."""

import strawberry
from graphql import GraphQLInputObjectType, GraphQLObjectType

from api.graphql.definitions import ConnectorDefinition, ConnectorDefinitionInput


@strawberry.type
class Query:
    @strawberry.field
    def echo(self, definition: ConnectorDefinitionInput) -> ConnectorDefinition:
        return ConnectorDefinition.of(definition.read())


schema = strawberry.Schema(Query)

EVERYTHING = """
  key name vendor category documentationUrl baseUrl basic
  fields { name label secret required pattern example help }
  verify { path method account }
  oauth2 {
    grants authorizeUrl tokenUrl revokeUrl issuer clientAuthentication pkce scopeSeparator
    scopes { name mandatory default description }
    authorizeParams { name value }
    tokenParams { name value }
  }
  personalAccessToken { in name format }
  apiKey { in name format }
"""
ECHO = f"query ($definition: ConnectorDefinitionInput!) {{ echo(definition: $definition) {{ {EVERYTHING} }} }}"

FULL = {
    "key": "acme",
    "name": "Acme",
    "vendor": "Acme, Inc.",
    "category": "crm",
    "documentationUrl": "https://docs.acme.example/auth",
    "baseUrl": "https://{region}.acme.example/v1",
    "basic": True,
    "fields": [
        {
            "name": "region",
            "label": "Region",
            "secret": False,
            "required": True,
            "pattern": "[a-z]+",
            "example": "eu",
            "help": "Where the account is.",
        }
    ],
    "verify": {"path": "/me", "method": "POST", "account": "user.email"},
    "oauth2": {
        "grants": ["OAUTH2_AUTHORIZATION_CODE", "OAUTH2_CLIENT_CREDENTIALS"],
        "authorizeUrl": "https://acme.example/authorize",
        "tokenUrl": "https://acme.example/token",
        "revokeUrl": "https://acme.example/revoke",
        "issuer": "https://acme.example",
        "clientAuthentication": "CLIENT_SECRET_POST",
        "pkce": False,
        "scopeSeparator": ",",
        "scopes": [{"name": "read", "mandatory": True, "default": False, "description": "Read"}],
        "authorizeParams": [{"name": "prompt", "value": "consent"}],
        "tokenParams": [{"name": "audience", "value": "api"}],
    },
    "personalAccessToken": {"in": "HEADER", "name": "X-Token", "format": "token {token}"},
    "apiKey": {"in": "QUERY", "name": "key", "format": "{token}"},
}


def echo(definition: dict[str, object]) -> object:
    result = schema.execute_sync(ECHO, {"definition": definition})
    assert result.errors is None
    assert result.data is not None
    return result.data["echo"]


def test_what_is_read_back_can_be_given_again() -> None:
    assert echo(FULL) == FULL


def test_what_is_left_out_is_as_the_contract_says() -> None:
    sparse: dict[str, object] = {
        "key": "acme",
        "name": "Acme",
        "baseUrl": "https://acme.example",
        "apiKey": {},
        "verify": {"path": "/me"},
        "oauth2": {"grants": [], "tokenUrl": "https://acme.example/token"},
    }

    answer = echo(sparse)

    assert answer == {
        **dict.fromkeys(["vendor", "documentationUrl", "personalAccessToken"]),
        "key": "acme",
        "name": "Acme",
        "category": "custom",
        "baseUrl": "https://acme.example",
        "basic": False,
        "fields": [],
        "verify": {"path": "/me", "method": "GET", "account": None},
        "oauth2": {
            **dict.fromkeys(["authorizeUrl", "revokeUrl", "issuer"]),
            "grants": [],
            "tokenUrl": "https://acme.example/token",
            "clientAuthentication": "CLIENT_SECRET_BASIC",
            "pkce": True,
            "scopeSeparator": " ",
            "scopes": [],
            "authorizeParams": [],
            "tokenParams": [],
        },
        "apiKey": {"in": "HEADER", "name": "Authorization", "format": "Bearer {token}"},
    }


def test_a_null_is_as_what_is_left_out() -> None:
    nulls = dict.fromkeys(["vendor", "category", "fields", "verify", "oauth2", "personalAccessToken", "apiKey", "basic"])

    assert echo({"key": "acme", "name": "Acme", "baseUrl": "https://acme.example", **nulls}) == echo(
        {"key": "acme", "name": "Acme", "baseUrl": "https://acme.example"}
    )


def test_every_field_that_is_given_can_be_read_back() -> None:
    types = schema._schema.type_map
    pairs = {
        "ConnectorDefinitionInput": "ConnectorDefinition",
        "CredentialFieldInput": "CredentialFieldDefinition",
        "VerifyRequestInput": "VerifyRequestDefinition",
        "OAuth2DefinitionInput": "OAuth2Definition",
        "ScopeOptionInput": "ScopeOptionDefinition",
        "PlacementInput": "PlacementDefinition",
        "FieldValueInput": "ParameterDefinition",
    }

    for given, read in pairs.items():
        input_type, output_type = types[given], types[read]
        assert isinstance(input_type, GraphQLInputObjectType)
        assert isinstance(output_type, GraphQLObjectType)
        assert list(input_type.fields) == list(output_type.fields)


def test_a_parameter_that_is_listed_twice_is_refused_by_its_name() -> None:
    twice = [{"name": "prompt", "value": "a"}, {"name": "prompt", "value": "b"}]
    definition = {**FULL, "oauth2": {"grants": [], "tokenUrl": "https://acme.example/token", "authorizeParams": twice}}

    result = schema.execute_sync(ECHO, {"definition": definition})

    assert result.errors is not None
    assert "oauth2.authorizeParams.prompt: is listed already" in result.errors[0].message

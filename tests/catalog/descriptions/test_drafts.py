"""What of a description comes into a draft, what is left out, and what is asked."""

from typing import Any

import pytest

from api.catalog.definition import ClientAuthentication, FieldDefinition, PlacementDefinition, ScopeDefinition, VerifyDefinition
from api.catalog.descriptions.description import Discovered, Finding, FindingKind, Undecided
from api.catalog.using import PlacementLocation
from models import AuthenticationType
from tests.catalog.descriptions.drafts import asked, decided, draft, ignored, openapi, with_schemes

CODE = AuthenticationType.OAUTH2_AUTHORIZATION_CODE
OWN_APP = AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP
MACHINE = AuthenticationType.OAUTH2_CLIENT_CREDENTIALS
PASSWORD = AuthenticationType.OAUTH2_PASSWORD
AUTHORIZE = "https://acme.example/authorize"
TOKEN = "https://acme.example/token"


def oauth2(**flows: dict[str, Any]) -> dict[str, Any]:
    return with_schemes(oauth={"type": "oauth2", "flows": flows})


def with_path(path: str, **operation: Any) -> dict[str, Any]:
    return openapi(paths={path: {"get": operation}})


def answering(schema: dict[str, Any], **schemas: Any) -> dict[str, Any]:
    """A service whose `/me` answers so."""
    document = openapi()
    document["paths"]["/me"]["get"]["responses"]["200"]["content"] = {"application/json": {"schema": schema}}
    document["components"]["schemas"] = schemas
    return document


# Who it is


def test_title_vendor_and_documentation_are_taken() -> None:
    info = {"title": "Acme Cloud’s API", "contact": {"name": "Acme Inc. Support Team"}}

    made = decided(openapi(info=info, externalDocs={"url": "https://docs.acme.example/auth"}))

    assert (made.key, made.name, made.vendor) == ("acme-cloud-api", "Acme Cloud’s API", "Acme Inc.")
    assert made.documentation_url == "https://docs.acme.example/auth"


def test_key_and_name_that_are_given_stand_before_the_title() -> None:
    made = decided(openapi(), key="acme-eu", name="Acme Europe")

    assert (made.key, made.name) == ("acme-eu", "Acme Europe")


def test_a_document_without_a_title_is_asked_for_name_and_key() -> None:
    made = draft(openapi(info={}))

    assert asked(made) == ["name", "key"]


def test_a_title_without_a_letter_of_ours_is_asked_for_a_key() -> None:
    assert asked(draft(openapi(info={"title": "日本語"}))) == ["key"]


def test_a_title_that_says_nothing_is_asked_about() -> None:
    assert asked(draft(openapi(info={"title": "REST API Reference v2"}))) == ["name"]


# Where it is


@pytest.mark.parametrize(
    ("url", "base_url"),
    [
        ("https://api.acme.example/v1/", "https://api.acme.example/v1"),
        ("HTTPS://API.Acme.example", "https://api.acme.example"),
        ("https://api.acme.example:443/v1?x=1#y", "https://api.acme.example:443/v1"),
    ],
)
def test_the_server_is_the_base_url(url: str, base_url: str) -> None:
    assert decided(openapi(servers=[{"url": url}])).base_url == base_url


def test_of_several_servers_the_first_public_https_one_is_taken_and_the_others_are_told() -> None:
    urls = ["http://localhost:8080", "http://api.acme.example", "https://10.0.0.1", "https://eu.acme.example", "https://us.acme.example"]

    made = draft(openapi(servers=[{"url": url} for url in urls]))

    assert made.definition.base_url == "https://eu.acme.example"
    question = "It names several servers, of which the first was taken. Is that the one?"
    others = ("https://us.acme.example", "https://api.acme.example", "https://10.0.0.1", "https://localhost:8080")
    assert made.undecided == (Undecided("baseUrl", question, others),)


def test_a_server_that_speaks_http_is_asked_whether_it_speaks_https() -> None:
    made = draft(openapi(servers=[{"url": "http://api.acme.example"}]))

    assert made.definition.base_url == "https://api.acme.example"
    assert asked(made) == ["baseUrl"]


@pytest.mark.parametrize(
    "url", ["http://localhost:8080", "https://127.0.0.1", "https://api", "https://api.acme.local", "https://10.1.2.3/x"]
)
def test_a_server_in_a_private_network_is_asked_about(url: str) -> None:
    assert "baseUrl" in asked(draft(openapi(servers=[{"url": url}])))


@pytest.mark.parametrize(
    "url", ["ftp://acme.example", "wss://acme.example", "https://user:pass@acme.example", "https://[::1]/", "", "{", "a b"]
)
def test_what_is_no_address_of_an_api_is_ignored(url: str) -> None:
    made = draft(openapi(servers=[{"url": url}]))

    assert made.definition.base_url == ""
    assert ignored(made) == ["servers.0"]
    assert asked(made) == ["baseUrl"]


@pytest.mark.parametrize("more", [{"servers": [{"url": "/api/v2"}]}, {"servers": [{"url": "../v2"}]}, {"servers": [{"url": "v2"}]}])
def test_a_relative_server_counts_from_where_the_document_was_got(more: dict[str, Any]) -> None:
    expected = {"/api/v2": "https://acme.example/api/v2", "../v2": "https://acme.example/v2", "v2": "https://acme.example/docs/v2"}

    made = decided(openapi(**more), url="https://acme.example/docs/openapi.json")

    assert made.base_url == expected[more["servers"][0]["url"]]


def test_a_relative_server_is_asked_about_where_nobody_says_from_where() -> None:
    made = draft(openapi(servers=[{"url": "/api/v2"}]))

    question = "It says only where the API is below its own address. What is its base URL?"
    assert made.undecided == (Undecided("baseUrl", question, ("/api/v2",)),)


def test_a_document_without_servers_is_where_it_was_got() -> None:
    document = openapi()
    del document["servers"]

    assert decided(document, url="https://acme.example/openapi.json").base_url == "https://acme.example"


def test_variables_of_a_server_become_fields() -> None:
    variables = {
        "accountName": {"default": "demo", "description": "Your account"},
        "region": {"default": "eu", "enum": ["eu", "us"]},
        "protocol": {"default": "http", "enum": ["http", "https"]},
        "port": {"default": "443"},
        "version": {"default": "v2"},
        "space": {"default": "x", "enum": ["x", "y"]},
    }
    server = {"url": "{protocol}://{accountName}.{region}.acme.example:{port}/{version}/{space}", "variables": variables}

    made = decided(openapi(servers=[server]))

    assert made.base_url == "https://{account_name}.{region}.acme.example:443/v2/{space}"
    assert made.fields == (
        FieldDefinition("account_name", "Account name", pattern="[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", example="demo", help="Your account"),
        FieldDefinition("region", "Region", pattern="(eu|us)", example="eu", help="One of eu, us."),
        FieldDefinition("space", "Space", pattern="(x|y)", example="x", help="One of x, y."),
    )


def test_a_server_of_which_all_is_a_variable_is_what_that_is_usually() -> None:
    server = {"url": "{baseUrl}/v1", "variables": {"baseUrl": {"default": "https://api.acme.example"}}}

    assert decided(openapi(servers=[server])).base_url == "https://api.acme.example/v1"


def test_a_host_that_everybody_has_for_themselves_is_a_field() -> None:
    made = decided(openapi(servers=[{"url": "https://{host}/api", "variables": {"host": {"default": "demo.acme.example"}}}]))

    assert made.base_url == "https://{host}/api"
    assert made.fields == (FieldDefinition("host", "Host", pattern="[a-z0-9-]+([.][a-z0-9-]+)+", example="demo.acme.example"),)


def test_a_variable_that_no_value_can_be_told_for_is_still_bounded() -> None:
    server = {"url": "https://{tenant}.acme.example", "variables": {"tenant": {"default": "<Your Tenant>"}}}

    assert decided(openapi(servers=[server])).fields == (FieldDefinition("tenant", "Tenant", pattern="[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"),)


def test_a_variable_by_a_name_with_a_meaning_gets_another() -> None:
    made = decided(openapi(servers=[{"url": "https://{account}.acme.example", "variables": {"account": {"default": "demo"}}}]))

    assert made.base_url == "https://{site_account}.acme.example"


# How one authenticates


@pytest.mark.parametrize(("place", "location"), [("header", PlacementLocation.HEADER), ("query", PlacementLocation.QUERY)])
def test_an_api_key_goes_where_it_says(place: str, location: PlacementLocation) -> None:
    made = decided(with_schemes(key={"type": "apiKey", "in": place, "name": "X-Key"}))

    assert made.api_key == PlacementDefinition(location, "X-Key", "{token}")
    assert (made.personal_access_token, made.oauth2, made.basic) == (None, None, False)


@pytest.mark.parametrize(
    ("description", "format"),
    [
        ("Send `Authorization: Token <key>`", "Token {token}"),
        ("Value: 'Bot $TOKEN'", "Bot {token}"),
        ("Your key", "Bearer {token}"),
    ],
)
def test_a_key_in_the_authorization_header_is_asked_how_it_is_written(description: str, format: str) -> None:
    made = draft(with_schemes(key={"type": "apiKey", "in": "header", "name": "Authorization", "description": description}))

    assert made.definition.api_key == PlacementDefinition(PlacementLocation.HEADER, "Authorization", format)
    assert asked(made) == ["apiKey.format"]


def test_basic_and_bearer_are_offered() -> None:
    made = decided(with_schemes(basic={"type": "http", "scheme": "Basic"}, token={"type": "http", "scheme": "bearer"}))

    assert made.basic
    assert made.personal_access_token == PlacementDefinition()


@pytest.mark.parametrize(
    "scheme",
    [
        {"type": "apiKey", "in": "cookie", "name": "session"},
        {"type": "http", "scheme": "digest"},
        {"type": "mutualTLS"},
        {"type": "oauth2", "flows": {"implicit": {"authorizationUrl": AUTHORIZE, "scopes": {}}}},
        {"type": "hawk"},
        {},
    ],
)
def test_what_is_not_supported_is_said_to_be(scheme: dict[str, Any]) -> None:
    made = draft(with_schemes(odd=scheme))

    assert ignored(made) == ["components.securitySchemes.odd"]
    assert "oauth2" in asked(made)


def test_nothing_about_authentication_is_asked_about() -> None:
    made = draft(openapi(components={}, security=[]))

    question = "It says nothing about authentication. How does one authenticate: oauth2, personalAccessToken, apiKey or basic?"
    assert Undecided("oauth2", question) in made.undecided


def test_of_two_keys_the_one_that_more_requests_ask_for_is_taken() -> None:
    schemes = {name: {"type": "apiKey", "in": "header", "name": name} for name in ("Rare", "Usual")}
    document = with_schemes(**schemes)
    document["paths"]["/things"] = {"get": {"security": [{"Usual": []}]}}

    made = draft(document)

    assert made.definition.api_key == PlacementDefinition(PlacementLocation.HEADER, "Usual", "{token}")
    assert ignored(made) == ["components.securitySchemes.Rare"]


def test_credentials_that_are_only_good_together_are_asked_about() -> None:
    schemes = {name: {"type": "apiKey", "in": "header", "name": name} for name in ("Application", "Key")}

    made = draft(openapi(components={"securitySchemes": schemes}, security=[{"Application": [], "Key": []}]))

    question = "Some requests need several credentials at once (Application, Key), which a definition cannot say. Is one of them enough?"
    assert made.undecided == (Undecided("apiKey", question),)


def test_a_few_requests_that_need_more_than_one_credential_are_no_reason_to_ask() -> None:
    schemes = {name: {"type": "apiKey", "in": "header", "name": name} for name in ("Application", "Key")}
    paths = {"/me": {"get": {}}, "/things": {"get": {}}, "/admin": {"get": {"security": [{"Application": [], "Key": []}]}}}

    assert draft(openapi(components={"securitySchemes": schemes}, security=[{"Key": []}], paths=paths)).undecided == ()


def test_a_scheme_that_is_a_reference_is_followed() -> None:
    document = with_schemes(key={"$ref": "#/x-schemes/key"})
    document["x-schemes"] = {"key": {"type": "http", "scheme": "basic"}}

    assert decided(document).basic


# OAuth 2.0


def test_grants_addresses_and_scopes_are_taken() -> None:
    scopes = {"read": "Read all", "write": ""}
    made = decided(
        oauth2(
            authorizationCode={"authorizationUrl": AUTHORIZE, "tokenUrl": TOKEN, "scopes": scopes},
            clientCredentials={"tokenUrl": TOKEN, "scopes": {"admin": "Do all"}},
            password={"tokenUrl": TOKEN, "scopes": {}},
        )
    )

    assert made.oauth2 is not None
    assert made.oauth2.grants == (CODE, OWN_APP, MACHINE, PASSWORD)
    assert (made.oauth2.authorize_url, made.oauth2.token_url) == (AUTHORIZE, TOKEN)
    assert made.oauth2.scopes == (
        ScopeDefinition("admin", description="Do all"),
        ScopeDefinition("read", description="Read all"),
        ScopeDefinition("write"),
    )


def test_the_scopes_of_the_proof_are_asked_for_by_default() -> None:
    document = oauth2(clientCredentials={"tokenUrl": TOKEN, "scopes": {"me": "", "write": ""}})
    document["paths"]["/me"]["get"]["security"] = [{"oauth": ["me"]}]

    made = decided(document)

    assert made.oauth2 is not None
    assert [scope.name for scope in made.oauth2.scopes if scope.default] == ["me"]


def test_a_flow_with_another_token_url_is_left_out() -> None:
    made = draft(
        oauth2(
            clientCredentials={"tokenUrl": "https://machines.acme.example/token", "scopes": {}},
            authorizationCode={"authorizationUrl": AUTHORIZE, "tokenUrl": TOKEN, "scopes": {}},
        )
    )

    assert made.definition.oauth2 is not None
    assert made.definition.oauth2.grants == (CODE, OWN_APP)
    assert ignored(made) == ["components.securitySchemes.oauth"]


def test_relative_addresses_count_from_the_server() -> None:
    made = decided(oauth2(clientCredentials={"tokenUrl": "/oauth/token", "scopes": {}}))

    assert made.oauth2 is not None
    assert made.oauth2.token_url == "https://api.acme.example/oauth/token"


def test_an_authorization_server_whose_host_a_person_chooses_takes_apps_of_their_own_alone() -> None:
    flow = {"authorizationUrl": "https://{tenant}/authorize", "tokenUrl": "https://{tenant}/token", "scopes": {}}

    made = decided(oauth2(authorizationCode=flow))

    assert made.oauth2 is not None
    assert made.oauth2.grants == (OWN_APP,)
    assert [field.name for field in made.fields] == ["tenant"]


def test_a_flow_without_an_address_is_asked_about() -> None:
    made = draft(oauth2(clientCredentials={"tokenUrl": "not a url", "scopes": {}}))

    assert made.definition.oauth2 is None
    assert asked(made) == ["oauth2", "verify.path"]


def test_more_scopes_than_a_definition_has_are_cut_and_told() -> None:
    scopes = {f"scope{number}": "" for number in range(130)} | {"two words": ""}

    made = draft(oauth2(clientCredentials={"tokenUrl": TOKEN, "scopes": scopes}))

    assert made.undecided == ()
    assert made.definition.oauth2 is not None
    assert len(made.definition.oauth2.scopes) == 100
    message = "31 scopes: a definition has at most 100, each one word."
    assert Finding(FindingKind.IGNORED, "components.securitySchemes.oauth", message) in made.found


def test_openid_connect_is_what_its_provider_says() -> None:
    url = "https://login.acme.example/.well-known/openid-configuration"
    told = Discovered("https://login.acme.example", AUTHORIZE, TOKEN, "https://acme.example/revoke", ("email", "openid", "api"), True)

    made = draft(with_schemes(openid={"type": "openIdConnect", "openIdConnectUrl": url}), discovered={url: told})

    assert made.undecided == ()
    oauth2 = made.definition.oauth2
    assert oauth2 is not None
    assert (oauth2.issuer, oauth2.revoke_url) == ("https://login.acme.example", "https://acme.example/revoke")
    assert oauth2.client_authentication is ClientAuthentication.CLIENT_SECRET_POST
    assert [scope.name for scope in oauth2.scopes] == ["openid", "email", "api"]
    assert [scope.name for scope in oauth2.scopes if scope.default] == ["openid"]


def test_openid_connect_of_which_nothing_is_known_is_asked_about() -> None:
    made = draft(with_schemes(openid={"type": "openIdConnect", "openIdConnectUrl": "https://login.acme.example"}))

    assert asked(made) == ["oauth2", "verify.path"]


# What shows that a credential works


@pytest.mark.parametrize(
    "path",
    ["/me", "/v1/users/me", "/user", "/api/account", "/whoami", "/users/current", "/current_user", "/auth.test", "/oauth2/v3/userinfo",
     "/account/verify_credentials", "/Account", "/me/", "/1.1/users/self", "/api_key/info"],
)  # fmt: skip
def test_the_request_about_whoever_asks_is_the_proof(path: str) -> None:
    others: dict[str, Any] = {other: {"get": {}} for other in ("/things", "/a", "/health")}

    assert decided(openapi(paths={**others, path: {"get": {}}})).verify == VerifyDefinition(path)


@pytest.mark.parametrize(
    "path", ["/health", "/v1/status", "/ping", "/version", "/openapi.json", "/login", "/oauth/token", "/", "/things/{id}"]
)
def test_what_anybody_is_answered_is_no_proof(path: str) -> None:
    made = draft(with_path(path))

    assert made.definition.verify is None
    assert asked(made) == ["verify.path"]


@pytest.mark.parametrize(
    "operation",
    [
        {"parameters": [{"name": "id", "in": "query", "required": True}]},
        {"parameters": [{"$ref": "#/x-parameter"}]},
        {"deprecated": True},
        {"security": []},
        {"security": [{}, {"key": []}]},
    ],
)
def test_a_request_that_needs_more_or_less_than_a_credential_is_no_proof(operation: dict[str, Any]) -> None:
    document = openapi(paths={"/me": {"get": operation}, "/things": {"get": {}}})
    document["x-parameter"] = {"name": "id", "in": "query", "required": True}

    made = draft(document).definition.verify

    assert made == VerifyDefinition("/things")


def test_what_every_client_sends_is_no_parameter_that_a_proof_needs() -> None:
    parameters = [{"name": name, "in": "header", "required": True} for name in ("Accept", "authorization", "x-key")]

    assert decided(with_path("/me", parameters=parameters)).verify == VerifyDefinition("/me")


def test_without_a_request_about_whoever_asks_the_shortest_list_is_asked_about() -> None:
    made = draft(openapi(paths={path: {"get": {}} for path in ("/v1/orders", "/orders", "/things", "/orders/{id}")}))

    assert made.definition.verify == VerifyDefinition("/orders")
    question = "No request in it is about whoever asks, so the shortest one that needs a credential was taken. Does it need one?"
    assert made.undecided == (Undecided("verify.path", question, ("/things", "/v1/orders")),)


def test_only_what_asks_for_an_offered_scheme_is_a_proof() -> None:
    schemes = {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}, "cookie": {"type": "apiKey", "in": "cookie", "name": "session"}}
    paths = {"/me": {"get": {"security": [{"cookie": []}]}}, "/things": {"get": {}}}

    made = draft(openapi(components={"securitySchemes": schemes}, paths=paths))

    assert made.definition.verify == VerifyDefinition("/things")


@pytest.mark.parametrize(
    ("schema", "account"),
    [
        ({"properties": {"name": {"type": "string"}, "email": {"type": "string"}}}, "email"),
        ({"properties": {"name": {"type": ["string", "null"]}}}, "name"),
        ({"properties": {"data": {"properties": {"user": {"properties": {"login": {"type": "string"}}}}}}}, "data.user.login"),
        ({"$ref": "#/components/schemas/User"}, "username"),
        ({"allOf": [{"$ref": "#/components/schemas/User"}, {"properties": {"id": {"type": "integer"}}}]}, "username"),
        ({"properties": {"email": {"type": "object"}}}, None),
        ({"type": "array", "items": {"$ref": "#/components/schemas/User"}}, None),
        ({}, None),
    ],
)
def test_the_account_is_where_the_answer_says_it(schema: dict[str, Any], account: str | None) -> None:
    made = decided(answering(schema, User={"properties": {"username": {"type": "string"}}}))

    assert made.verify == VerifyDefinition("/me", account=account)


def test_the_account_is_where_an_example_has_it() -> None:
    document = openapi()
    document["paths"]["/me"]["get"]["responses"]["200"]["content"] = {"application/json": {"example": {"user": {"email": "a@b.example"}}}}

    assert decided(document).verify == VerifyDefinition("/me", account="user.email")


# Swagger 2.0


def swagger(**more: Any) -> dict[str, Any]:
    return {
        "swagger": "2.0",
        "info": {"title": "Acme"},
        "host": "api.acme.example",
        "basePath": "/v2",
        "schemes": ["http", "https"],
        "paths": {"/me": {"get": {"responses": {"200": {"schema": {"properties": {"email": {"type": "string"}}}}}}}},
        **more,
    }


def test_swagger_says_the_same_in_other_words() -> None:
    flow = {"type": "oauth2", "flow": "accessCode", "authorizationUrl": AUTHORIZE, "tokenUrl": TOKEN, "scopes": {"read": "Read all"}}
    schemes = {"basic": {"type": "basic"}, "key": {"type": "apiKey", "in": "query", "name": "api_key"}, "oauth": flow}

    made = decided(swagger(securityDefinitions=schemes, security=[{name: []} for name in schemes]))

    assert made.base_url == "https://api.acme.example/v2"
    assert made.basic
    assert made.api_key == PlacementDefinition(PlacementLocation.QUERY, "api_key", "{token}")
    assert made.oauth2 is not None
    assert (made.oauth2.grants, made.oauth2.scopes) == ((CODE, OWN_APP), (ScopeDefinition("read", description="Read all"),))
    assert made.verify == VerifyDefinition("/me", account="email")


@pytest.mark.parametrize(("flow", "grant"), [("application", MACHINE), ("password", PASSWORD)])
def test_swagger_names_its_flows_otherwise(flow: str, grant: AuthenticationType) -> None:
    scheme = {"type": "oauth2", "flow": flow, "tokenUrl": TOKEN, "scopes": {}}

    made = decided(swagger(securityDefinitions={"oauth": scheme}, security=[{"oauth": []}]))

    assert made.oauth2 is not None
    assert made.oauth2.grants == (grant,)


def test_swagger_without_a_host_is_where_it_was_got() -> None:
    document = swagger(securityDefinitions={"basic": {"type": "basic"}}, security=[{"basic": []}])
    del document["host"]

    assert decided(document, url="https://acme.example/swagger.json").base_url == "https://acme.example/v2"


def test_swagger_in_yaml_may_have_its_version_as_a_number() -> None:
    text = "swagger: 2.0\ninfo: {title: Acme}\nhost: api.acme.example\nsecurityDefinitions: {b: {type: basic}}\npaths: {/me: {get: {}}}"

    assert decided(text).basic

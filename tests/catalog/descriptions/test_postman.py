"""Postman collections: what of them comes into a draft, and that no credential of whoever made them does."""

from typing import Any

import pytest

from api.catalog.definition import PlacementDefinition, ScopeDefinition, VerifyDefinition
from api.catalog.using import PlacementLocation
from models import AuthenticationType
from tests.catalog.descriptions.drafts import asked, decided, draft, ignored

SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
BEARER = {"type": "bearer", "bearer": [{"key": "token", "value": "{{token}}"}]}


def request(url: Any, method: str = "GET", **more: Any) -> dict[str, Any]:
    return {"name": "A request", "request": {"method": method, "url": url, **more}}


def collection(*items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"info": {"name": "Acme", "schema": SCHEMA}, "item": list(items), **more}


def test_requests_of_folders_give_base_url_proof_and_authentication() -> None:
    variables = [{"key": "baseUrl", "value": "https://api.acme.example/v1"}, {"key": "version", "value": "v2"}]
    folder = {"name": "Users", "item": [request({"raw": "{{baseUrl}}/{{version}}/users/me?verbose=1"}), request("{{baseUrl}}/users/:id")]}

    made = decided(collection(folder, request("{{baseUrl}}/things"), variable=variables, auth=BEARER))

    assert made.base_url == "https://api.acme.example"
    assert made.verify == VerifyDefinition("/v1/v2/users/me")
    assert made.personal_access_token == PlacementDefinition()


def test_a_url_in_parts_is_put_together() -> None:
    url = {"protocol": "https", "host": ["api", "acme", "example"], "path": ["v1", "me"]}

    made = decided(collection(request(url), auth=BEARER))

    assert (made.base_url, made.verify) == ("https://api.acme.example", VerifyDefinition("/v1/me"))


def test_a_variable_in_the_host_is_a_field() -> None:
    made = decided(collection(request("https://{{subDomain}}.acme.example/me"), auth=BEARER))

    assert made.base_url == "https://{sub_domain}.acme.example"
    assert [field.name for field in made.fields] == ["sub_domain"]


def test_an_address_that_nobody_explains_is_asked_about() -> None:
    made = draft(collection(request("{{url}}/me"), auth=BEARER))

    assert made.definition.base_url == ""
    assert asked(made) == ["baseUrl"]


@pytest.mark.parametrize(
    ("auth", "location", "name", "format"),
    [
        ([{"key": "key", "value": "X-Key"}, {"key": "value", "value": "{{key}}"}], "HEADER", "X-Key", "{token}"),
        ([{"key": "key", "value": "k"}, {"key": "in", "value": "query"}, {"key": "value", "value": "{{key}}"}], "QUERY", "k", "{token}"),
        (
            [{"key": "key", "value": "Authorization"}, {"key": "value", "value": "Token {{key}}"}],
            "HEADER",
            "Authorization",
            "Token {token}",
        ),
        ({"key": "X-Key", "value": "{{key}}"}, "HEADER", "X-Key", "{token}"),
    ],
)
def test_api_keys_go_where_the_collection_puts_them(auth: Any, location: str, name: str, format: str) -> None:
    made = decided(collection(request("https://api.acme.example/me"), auth={"type": "apikey", "apikey": auth}))

    assert made.api_key == PlacementDefinition(PlacementLocation[location], name, format)


@pytest.mark.parametrize(
    ("header", "value", "expected"),
    [
        ("Authorization", "Bearer {{token}}", ("personal_access_token", PlacementDefinition())),
        ("Authorization", "Token {{token}}", ("api_key", PlacementDefinition(format="Token {token}"))),
        ("X-Api-Key", "{{key}}", ("api_key", PlacementDefinition(name="X-Api-Key", format="{token}"))),
    ],
)
def test_a_header_that_a_collection_writes_itself_is_an_authentication(header: str, value: str, expected: tuple[str, Any]) -> None:
    made = decided(collection(request("https://api.acme.example/me", header=[{"key": header, "value": value}])))

    assert getattr(made, expected[0]) == expected[1]


@pytest.mark.parametrize(
    ("grant", "grants"),
    [
        ("authorization_code", ("OAUTH2_AUTHORIZATION_CODE", "OAUTH2_BRING_YOUR_OWN_APP")),
        ("authorization_code_with_pkce", ("OAUTH2_AUTHORIZATION_CODE", "OAUTH2_BRING_YOUR_OWN_APP")),
        ("client_credentials", ("OAUTH2_CLIENT_CREDENTIALS",)),
        ("password_credentials", ("OAUTH2_PASSWORD",)),
    ],
)
def test_oauth_is_taken_with_its_addresses_and_scopes(grant: str, grants: tuple[str, ...]) -> None:
    settings = {
        "grant_type": grant,
        "authUrl": "{{login}}/authorize",
        "accessTokenUrl": "{{login}}/token",
        "scope": "read write {{more}}",
        "clientSecret": "not-for-anybody",
    }
    auth = {"type": "oauth2", "oauth2": [{"key": key, "value": value} for key, value in settings.items()]}
    variables = [{"key": "login", "value": "https://login.acme.example"}]

    made = decided(collection(request("https://api.acme.example/me"), auth=auth, variable=variables))

    assert made.oauth2 is not None
    assert made.oauth2.grants == tuple(AuthenticationType[name] for name in grants)
    assert made.oauth2.token_url == "https://login.acme.example/token"
    assert made.oauth2.scopes == (ScopeDefinition("read"), ScopeDefinition("write"))


@pytest.mark.parametrize("kind", ["digest", "hawk", "awsv4", "ntlm", "oauth1", "jwt", "something"])
def test_what_is_not_supported_is_said_to_be(kind: str) -> None:
    made = draft(collection(request("https://api.acme.example/me"), auth={"type": kind}))

    assert ignored(made) == [f"auth.{kind}"]
    assert asked(made) == ["oauth2", "verify.path"]


def test_the_authentication_of_a_request_stands_before_that_of_its_folder() -> None:
    basic = {"type": "basic", "basic": []}

    made = decided(collection(request("https://api.acme.example/me", auth=basic), auth=BEARER))

    assert made.basic
    assert made.personal_access_token is None


def test_a_request_without_authentication_is_no_proof() -> None:
    items = request("https://api.acme.example/me", auth={"type": "noauth"}), request("https://api.acme.example/things")

    assert draft(collection(*items, auth=BEARER)).definition.verify == VerifyDefinition("/things")


def test_no_credential_that_somebody_typed_into_a_collection_gets_out_of_it() -> None:
    canary = "canary-7f3a9"
    auth = {"type": "apikey", "apikey": [{"key": "key", "value": "X-Key"}, {"key": "value", "value": canary}]}
    bearer = {"type": "bearer", "bearer": [{"key": "token", "value": canary}]}
    variables = [{"key": "token", "value": canary}, {"key": "site", "value": canary}, {"key": "path", "value": f"{canary}.acme/x"}]
    items = [
        request("https://api.acme.example/{{token}}/me", auth=bearer),
        request("https://api.acme.example/{{path}}/me", header=[{"key": "Authorization", "value": f"Bearer {canary}"}]),
        request("https://api.acme.example/me?key={{token}}"),
        request(f"https://api.acme.example/me?key={canary}"),
        request("https://{{site}}.acme.example/me"),
    ]

    made = draft(collection(*items, auth=auth, variable=variables))

    assert canary not in repr(made)
    assert made.definition.verify == VerifyDefinition("/me")


def test_variables_that_name_each_other_come_to_an_end() -> None:
    variables = [{"key": "a", "value": "https://{{b}}" + "{{b}}" * 300}, {"key": "b", "value": "https://{{a}}" + "{{a}}" * 300}]

    assert "baseUrl" in asked(draft(collection(request("{{a}}/me"), variable=variables, auth=BEARER)))

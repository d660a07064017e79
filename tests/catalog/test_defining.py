"""From a definition to a connector: what it becomes, the file that says the same, and every mistake by the name of its field."""

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from api.catalog.catalog import read_file
from api.catalog.connector import Connector
from api.catalog.defining import define
from api.catalog.definition import (
    ClientAuthentication,
    ConnectorDefinition,
    FieldDefinition,
    OAuth2Definition,
    PlacementDefinition,
    ScopeDefinition,
    VerifyDefinition,
)
from api.catalog.document import toml_of
from api.catalog.template import Template
from api.catalog.using import Basic, Placement, PlacementLocation, Proof
from api.cli import main
from api.errors import InvalidInput
from api.outbound.egress import EgressGuard
from models import AuthenticationType

GUARD = EgressGuard()
REGION = FieldDefinition("region", "Region", pattern="[a-z0-9]+", example="eu1")
OAUTH2 = OAuth2Definition(
    grants=(
        AuthenticationType.OAUTH2_AUTHORIZATION_CODE,
        AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP,
        AuthenticationType.OAUTH2_CLIENT_CREDENTIALS,
        AuthenticationType.OAUTH2_PASSWORD,
        AuthenticationType.OAUTH2_JWT_BEARER,
    ),
    token_url="https://login.acme.example/token",
    authorize_url="https://login.acme.example/authorize",
    revoke_url="https://login.acme.example/revoke",
    issuer="https://login.acme.example",
    client_authentication=ClientAuthentication.CLIENT_SECRET_POST,
    pkce=False,
    scope_separator=",",
    scopes=(ScopeDefinition("read", mandatory=True, description="Read"), ScopeDefinition("write", default=True)),
    authorize_parameters={"access_type": "offline"},
    token_parameters={"audience": "https://{region}.acme.example"},
)
FULL = ConnectorDefinition(
    key="acme",
    name="Acme “quoted”",
    vendor="Acme, Inc.",
    category="crm",
    documentation_url="https://docs.acme.example",
    base_url="https://{region}.acme.example/v1",
    fields=(REGION, FieldDefinition("note", "Note", secret=True, required=False, help="If any.")),
    verify=VerifyDefinition("/me", "POST", "user.email"),
    oauth2=OAUTH2,
    personal_access_token=PlacementDefinition(name="X-Token", format="token {token}"),
    api_key=PlacementDefinition(PlacementLocation.QUERY, "key", "{token}"),
    basic=True,
)
BARE = ConnectorDefinition(key="acme", name="Acme", base_url="https://api.acme.example", basic=True)


def connector_of(definition: ConnectorDefinition) -> Connector:
    return define(definition, GUARD).connector


def mistakes_of(definition: ConnectorDefinition) -> dict[str, str]:
    with pytest.raises(InvalidInput) as refused:
        define(definition, GUARD)
    return refused.value.fields


@pytest.mark.parametrize("definition", [FULL, replace(FULL, verify=None), BARE])
def test_the_exported_file_gives_an_equal_connector(definition: ConnectorDefinition, tmp_path: Path) -> None:
    defined = define(definition, GUARD)
    file = tmp_path / "acme.toml"
    file.write_text(toml_of(defined.document), encoding="utf-8")

    reading = read_file(file)
    checked = CliRunner().invoke(main, ["connectors", "check", str(file)])

    assert reading.mistakes == ()
    assert reading.connector == defined.connector
    assert (checked.exit_code, checked.stderr) == (0, "")


def test_every_way_to_authenticate_is_offered_under_its_type() -> None:
    connector = connector_of(FULL)

    assert [(option.key, option.types) for option in connector.options] == [
        ("consent", (AuthenticationType.OAUTH2_AUTHORIZATION_CODE, AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP)),
        ("client_credentials", (AuthenticationType.OAUTH2_CLIENT_CREDENTIALS,)),
        ("password", (AuthenticationType.OAUTH2_PASSWORD,)),
        ("assertion", (AuthenticationType.OAUTH2_JWT_BEARER,)),
        ("personal_access_token", (AuthenticationType.PERSONAL_ACCESS_TOKEN,)),
        ("api_key", (AuthenticationType.API_KEY,)),
        ("basic", (AuthenticationType.BASIC,)),
    ]


def test_a_static_credential_is_asked_for_and_goes_where_it_was_said() -> None:
    _, _, _, _, token, key, basic = connector_of(FULL).options

    assert [(field.name, field.secret) for field in token.fields] == [("token", True)]
    assert token.placements == (Placement(PlacementLocation.HEADER, "X-Token", Template("token {token}")),)
    assert [(field.name, field.secret) for field in key.fields] == [("api_key", True)]
    assert key.placements == (Placement(PlacementLocation.QUERY, "key", Template("{api_key}")),)
    assert [(field.name, field.secret) for field in basic.fields] == [("username", False), ("password", True)]
    assert basic.basic == Basic(Template("{username}"), Template("{password}"))


def test_a_grant_is_described_as_it_was_said() -> None:
    consent, credentials, *_ = connector_of(FULL).options

    assert consent.grant is not None
    assert credentials.grant is not None
    assert (consent.grant.authorize_url, consent.grant.token_url) == (Template(OAUTH2.authorize_url or ""), Template(OAUTH2.token_url))
    assert consent.grant.pkce.value == "unsupported"
    assert consent.grant.client_authentication == credentials.grant.client_authentication == "client_secret_post"
    assert consent.grant.revocation is not None
    assert consent.grant.revocation.url == Template("https://login.acme.example/revoke")
    assert (consent.mandatory_scopes, consent.default_scopes, consent.grant.scope_separator) == (("read",), ("read", "write"), ",")
    assert consent.grant.authorize_parameters == {"access_type": Template("offline")}


def test_a_signed_assertion_says_for_whom_and_to_whom() -> None:
    option = connector_of(FULL).options[3]

    assert option.grant is not None
    assert option.grant.assertion is not None
    assert {name: claim.text for name, claim in option.grant.assertion.claims.items()} == {
        "iss": "{client_id}",
        "sub": "{subject}",
        "aud": "https://login.acme.example",
    }
    assert [field.name for field in option.fields] == ["client_id", "subject", "private_key"]


def test_without_a_request_a_token_is_proven_by_having_been_given_and_nothing_else_is() -> None:
    proofs = {option.key: option.proof for option in connector_of(replace(FULL, verify=None)).options}

    assert proofs == {
        **dict.fromkeys(["consent", "client_credentials", "password", "assertion"], Proof.TOKEN_EXCHANGE),
        **dict.fromkeys(["personal_access_token", "api_key", "basic"], Proof.NONE),
    }


def test_a_value_with_a_pattern_is_bounded() -> None:
    region, note = connector_of(FULL).fields

    assert region.problem("a" * 256) is None
    assert region.problem("a" * 257) == "must not be longer than 256 characters"
    assert note.problem("a" * 257) is None


ANY_HOST = FieldDefinition("server", "Server", pattern="[a-z0-9.-]+[a-z0-9]", example="acme.example")
CASES: dict[str, tuple[ConnectorDefinition, dict[str, str]]] = {
    "a key that is none": (replace(BARE, key="Acme!"), {"key": "must be lower case letters, digits and hyphens, up to 64"}),
    "empty texts": (
        replace(BARE, name=" ", base_url="", fields=(FieldDefinition("note", ""),)),
        {"name": "must not be empty", "baseUrl": "must not be empty", "fields.note.label": "must not be empty"},
    ),
    "nothing offered": (
        replace(BARE, basic=False),
        {"oauth2": "nothing is offered: a connector needs oauth2, personalAccessToken, apiKey or basic"},
    ),
    "controls in a text": (replace(BARE, vendor="Acme\n"), {"vendor": "must not contain control or invisible characters"}),
    "names that are none": (
        replace(
            BARE,
            fields=(FieldDefinition("Team Name", "Team", pattern="(a+)+"), FieldDefinition("x" * 70_000, "X")),
            oauth2=replace(OAUTH2, token_parameters={"a\nb": "c"}, authorize_parameters={"": "x\n"}),
        ),
        {
            "fields.0.name": "must be lower case letters, digits and underscores, up to 63",
            "fields.1.name": "must be lower case letters, digits and underscores, up to 63; must not be longer than 2000 characters",
            "oauth2.authorizeParams": "must each have a name of 1 to 100 characters that can be seen; must not contain control or "
            "invisible characters",
            "oauth2.tokenParams": "must each have a name of 1 to 100 characters that can be seen",
            "fields.0.pattern": "could take for ever on some values: a group that repeats begins or ends with one character that "
            "nothing else in it takes",
        },
    ),
    "too many scopes": (
        replace(BARE, oauth2=replace(OAUTH2, scopes=tuple(ScopeDefinition(f"s{number}") for number in range(101)))),
        {"oauth2.scopes": "must be at most 100"},
    ),
    "a plain base URL": (
        replace(BARE, base_url="http://api.acme.example", verify=VerifyDefinition("/me")),
        {"baseUrl": "must be an https:// URL, in lower case up to the path; only https is allowed"},
    ),
    "a private address": (
        replace(
            BARE, base_url="https://10.0.0.1/v1", oauth2=replace(OAUTH2, token_url="https://169.254.169.254/token", token_parameters={})
        ),
        {"baseUrl": "its address is not public", "oauth2.tokenUrl": "its address is not public"},
    ),
    "another port": (replace(BARE, base_url="https://api.acme.example:8443"), {"baseUrl": "only port 443 is allowed"}),
    "a name in a URL that nothing gives": (
        replace(BARE, base_url="https://{region}.acme.example"),
        {"baseUrl": "nothing gives {region} a value here; {region} may not choose the host"},
    ),
    "a value in a URL that nothing guards": (
        replace(BARE, base_url="https://{region}.acme.example", fields=(FieldDefinition("region", "Region"),)),
        {"baseUrl": "{region} goes into a URL: it needs a pattern"},
    ),
    "the operator's secret for any host": (
        replace(
            BARE,
            fields=(ANY_HOST,),
            oauth2=OAuth2Definition(
                grants=(AuthenticationType.OAUTH2_AUTHORIZATION_CODE,),
                token_url="https://{server}/token",
                authorize_url="https://login.acme.example/authorize",
            ),
        ),
        {
            "oauth2.tokenUrl": "{server} lets a person choose any host, which would be sent the operator's secret: "
            "offer OAUTH2_BRING_YOUR_OWN_APP and not OAUTH2_AUTHORIZATION_CODE"
        },
    ),
    "a consent without its page": (
        replace(BARE, oauth2=replace(OAUTH2, authorize_url=None, token_parameters={})),
        {"oauth2.authorizeUrl": "is missing"},
    ),
    "no grant": (replace(BARE, oauth2=replace(OAUTH2, grants=())), {"oauth2.grants": "must not be empty"}),
    "a grant that is none": (
        replace(BARE, oauth2=replace(OAUTH2, grants=(AuthenticationType.BASIC,))),
        {"oauth2.grants": "BASIC is no grant of OAuth 2.0"},
    ),
    "what the protocol says itself": (
        replace(BARE, oauth2=replace(OAUTH2, authorize_parameters={"state": "x"}, token_parameters={"client_secret": "x"})),
        {
            "oauth2.authorizeParams.state": "is what the protocol says itself",
            "oauth2.tokenParams.client_secret": "is what the protocol says itself",
        },
    ),
    "a secret in the address bar": (
        replace(
            BARE,
            fields=(FieldDefinition("note", "Note", secret=True, pattern="[a-z]+"),),
            oauth2=replace(
                OAUTH2,
                authorize_url="https://login.acme.example/{note}",
                authorize_parameters={"hint": "{note}"},
                token_parameters={},
            ),
        ),
        {
            "oauth2.authorizeUrl": "{note} is secret, and a browser would show it",
            "oauth2.authorizeParams.hint": "{note} is secret, and a browser would show it",
        },
    ),
    "two scopes of one name": (
        replace(BARE, oauth2=replace(OAUTH2, token_parameters={}, scopes=(ScopeDefinition("a"), ScopeDefinition("a")))),
        {"oauth2.scopes.1.name": "“a” is listed already"},
    ),
    "two fields of one name": (replace(BARE, fields=(REGION, REGION)), {"fields.region": "is listed already"}),
    "a field that is asked for anyway": (
        replace(BARE, api_key=PlacementDefinition(), fields=(FieldDefinition("api_key", "Key"), FieldDefinition("token", "Token"))),
        {
            "fields.token": "is a name that has a meaning already",
            "fields.api_key": "is what a way to authenticate asks for by itself",
        },
    ),
    "an example that the pattern does not take": (
        replace(BARE, fields=(replace(REGION, example="EU"),)),
        {"fields.region.example": "is not a value that the field takes"},
    ),
    "a pattern that could take for ever": (
        replace(BARE, fields=(replace(REGION, pattern="(a+)+b"),)),
        {
            "fields.region.pattern": "could take for ever on some values: a group that repeats begins or ends with one character that "
            "nothing else in it takes"
        },
    ),
    "a format without the token": (
        replace(BARE, api_key=PlacementDefinition(format="Bearer")),
        {"apiKey.format": "must have {token} in it"},
    ),
    "a header that is none": (
        replace(BARE, api_key=PlacementDefinition(name="X Key"), personal_access_token=PlacementDefinition(name="{region}")),
        {
            "personalAccessToken.name": "is not the name of a header",
            "apiKey.name": "is not the name of a header",
            "personalAccessToken.format": "nothing gives {region} a value here",
        },
    ),
    "a header of the framing": (
        replace(BARE, api_key=PlacementDefinition(name="Host")),
        {"apiKey.name": "is a header that says where a request goes or ends, and not whose it is"},
    ),
    "a parameter that is none": (
        replace(BARE, api_key=PlacementDefinition(PlacementLocation.QUERY, " ")),
        {"apiKey.name": "is not the name of a query parameter"},
    ),
    "a name in a format that nothing gives": (
        replace(BARE, api_key=PlacementDefinition(format="{token} {tenant}")),
        {"apiKey.format": "nothing gives {tenant} a value here"},
    ),
    "a proof that is none": (
        replace(BARE, verify=VerifyDefinition("me", "FETCH")),
        {"verify.path": "must start with a slash", "verify.method": "must be one of GET, POST, PUT, PATCH, DELETE, HEAD"},
    ),
    "a category and a documentation that are none": (
        replace(BARE, category="My CRM", documentation_url="docs"),
        {"category": "is written in lower case, with hyphens", "documentationUrl": "must be an https:// URL"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_every_mistake_is_told_by_the_name_of_its_field(case: str) -> None:
    definition, mistakes = CASES[case]

    assert mistakes_of(definition) == mistakes


def test_hosts_that_the_operator_allows_may_be_private() -> None:
    definition = replace(BARE, base_url="https://127.0.0.1:8443/v1")

    define(definition, EgressGuard(frozenset({"127.0.0.1:8443"})))

    assert mistakes_of(definition) == {"baseUrl": "only port 443 is allowed"}

"""The authorization server of a connection: the one that all share is just what would be made for it alone."""

from dataclasses import replace

from api.catalog.catalog import CONNECTORS, Catalog
from api.catalog.connector import Connector, Option
from api.catalog.template import Template
from api.connections.provider import Provider
from api.connections.providers import Providers
from api.connections.secrets import Secrets
from api.connections.servers import Renderer, server_of
from api.oauth.tokens import ClientCredentials
from api.secret import Secret
from models import AuthenticationType

CATALOG = Catalog.load(CONNECTORS)
OPTIONS = [(connector, option) for connector in CATALOG.search() for option in connector.options if option.grant is not None]
CLIENT = ClientCredentials("client", Secret("client-secret"))


def _values(connector: Connector, option: Option, *, secret: bool) -> dict[str, str]:
    return {field.name: f"{field.name}-value" for field in connector.fields_for(option) if field.secret is secret}


def test_what_is_shared_is_what_would_be_made_for_one_alone() -> None:
    callback, shared = "https://patchbay.example/callback", 0
    for connector, option in OPTIONS:
        site, fields = _values(connector, option, secret=False), _values(connector, option, secret=True)
        secrets = Secrets({name: Secret(value) for name, value in fields.items()}, access_token=Secret("access"))
        provider = Provider(connector, option, site)

        servers = [provider.server(secrets=secrets, client=CLIENT, redirect_uri=callback) for _ in range(2)]

        defaults = {field.name: field.default or "" for field in connector.fields_for(option)} | dict(connector.constants)
        request = {"client_id": "client", "client_secret": "client-secret", "redirect_uri": callback, "access_token": "access"}
        alone = server_of(provider.grant, option, Renderer(defaults | site | fields | request))
        assert servers == [replace(alone, secrets=tuple(secrets.fields.values()))] * 2, connector.key
        shared += servers[0] is servers[1]
    assert shared > 50


def test_a_secret_that_a_template_names_stays_with_its_client() -> None:
    connector, option = OPTIONS[0]
    assert option.grant is not None
    naming = replace(option, grant=replace(option.grant, token_parameters={"key": Template("{client_secret}")}))
    provider = Provider(connector, naming, _values(connector, option, secret=False))

    keys = [provider.server(client=ClientCredentials("client", Secret(secret))).token_parameters for secret in ("own", "other")]

    assert keys == [{"key": "own"}, {"key": "other"}]


def test_connections_of_one_site_share_a_provider() -> None:
    providers = Providers(CATALOG)

    found = [
        providers.find("github", None, AuthenticationType.OAUTH2_AUTHORIZATION_CODE, None, site) for site in ({}, {}, {"host": "other"})
    ]

    assert found[0] is found[1]
    assert found[2] is not found[0]
    assert found[2] is not None
    assert found[2].site == {"host": "other"}


def test_what_the_catalogue_does_not_have_is_not_found() -> None:
    providers = Providers(CATALOG)

    assert providers.find("nobody", None, AuthenticationType.API_KEY, None, {}) is None
    assert providers.find("github", None, AuthenticationType.AWS_ACCESS_KEY, None, {}) is None


def test_a_connector_that_is_another_by_now_is_found_anew() -> None:
    connector = replace(CATALOG.get("github"), version=1)
    catalog = Catalog([])
    catalog.adopt([connector])
    providers = Providers(catalog)
    before = providers.find("github", 1, AuthenticationType.OAUTH2_AUTHORIZATION_CODE, None, {})
    catalog.adopt([replace(connector, name="Another")])

    after = providers.find("github", 1, AuthenticationType.OAUTH2_AUTHORIZATION_CODE, None, {})

    assert before is not None
    assert after is not None
    assert (before.name, after.name) == (connector.name, "Another")

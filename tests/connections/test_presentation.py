"""What goes along with a call to a provider, and of which providers it is handed out."""

from pathlib import Path

import pytest

from api.catalog.catalog import CONNECTORS, Catalog
from api.connections.issued import require_issuable
from api.connections.provider import Provider
from api.connections.secrets import Secrets
from api.errors import Conflict
from api.outbound.http import OutboundRequest
from api.secret import Secret
from models import AuthenticationType

CONNECTOR = """
name = "Acme"
category = "dev"
base_url = "https://{site}.acme.example/v1"

[headers]
Acme-Version = "7"
Accept = "application/vnd.acme+json"

[fields.site]
label = "Site"
pattern = "[a-z]+"
example = "north"

[verify]
path = "/me"

[api_key]
label = "Key"
send.headers = { X-Key = "{key}", X-Team = "{team}" }
send.query = { key_id = "{key_id}" }

[api_key.fields.key]
label = "Key"
secret = true

[api_key.fields.key_id]
label = "Key id"

[api_key.fields.team]
label = "Team"
required = false

[basic]
label = "Password"
send.basic = { username = "{username}", password = "{password}" }

[basic.fields.username]
label = "User name"

[basic.fields.password]
label = "Password"
secret = true
"""


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    (tmp_path / "acme.toml").write_text(CONNECTOR)
    return Catalog.load(tmp_path)


def acme(catalog: Catalog, type: AuthenticationType, **site: str) -> Provider:
    connector = catalog.get("acme")
    option = connector.find_option(type)
    assert option is not None
    return Provider(connector, option, {"site": "north", **site})


KEY = Secrets({"key": Secret("s&cret")})


def test_a_key_goes_where_the_connector_says_and_what_is_empty_nowhere(catalog: Catalog) -> None:
    provider = acme(catalog, AuthenticationType.API_KEY, key_id="k 1")

    presentation = provider.presentation(KEY)

    assert presentation.headers == {"Acme-Version": "7", "Accept": "application/vnd.acme+json"}
    assert (presentation.credential_headers, presentation.query) == ({"X-Key": "s&cret"}, {"key_id": "k 1"})
    assert presentation.all_headers == {"Acme-Version": "7", "Accept": "application/vnd.acme+json", "X-Key": "s&cret"}
    assert provider.base_url(KEY) == "https://north.acme.example/v1"
    assert provider.presented_names == {"key", "key_id", "team"}


def test_a_password_goes_as_basic(catalog: Catalog) -> None:
    provider = acme(catalog, AuthenticationType.BASIC, username="ada")

    presentation = provider.presentation(Secrets({"password": Secret("s&cret")}))

    assert presentation.credential_headers == {"Authorization": "Basic YWRhOnMmY3JldA=="}


def test_a_call_says_what_it_wants_and_never_as_whom(catalog: Catalog) -> None:
    asked = OutboundRequest("GET", "https://north.acme.example/v1/a?b=1", {"Accept": "text/csv", "X-Key": "another"})

    made = acme(catalog, AuthenticationType.API_KEY, key_id="k&1").authenticated(asked, KEY)

    assert made.url == "https://north.acme.example/v1/a?b=1&key_id=k%261"
    assert made.headers == {"Acme-Version": "7", "Accept": "text/csv", "X-Key": "s&cret"}


def test_a_presentation_shows_nothing_of_itself(catalog: Catalog) -> None:
    assert repr(acme(catalog, AuthenticationType.API_KEY, key_id="k").presentation(KEY)) == "Presentation()"


# The whole catalogue

ALL = [
    Provider(connector, option, {})
    for connector in Catalog.load(CONNECTORS, constants={"sandbox_url": "https://sandbox.example"}).all
    for option in connector.options
]


def test_no_token_goes_along_with_what_it_was_got_with() -> None:
    with_tokens = [provider for provider in ALL if provider.option.grant is not None]

    shown = {
        (provider.connector.key, provider.option.key): provider.presented_names
        & {"client_secret", "refresh_token", *(each.name for each in provider.connector.fields_for(provider.option) if each.secret)}
        for provider in with_tokens
    }

    assert len(with_tokens) > 100
    assert {place: names for place, names in shown.items() if names} == {}


def test_what_is_not_handed_out_says_why_and_what_to_do() -> None:
    refused: dict[str, set[str]] = {}
    for provider in ALL:
        try:
            require_issuable(provider)
        except Conflict as error:
            assert error.remedy
            refused.setdefault(error.message.removeprefix(provider.name).strip(), set()).add(provider.connector.key)

    signed = refused.pop("takes no credential along with a call: each call is signed as a whole.")
    logins = refused.pop("is logged in to by another protocol than HTTP, so no header holds its credential.")
    bodies = refused.pop("takes its credential within the body of a call, and no two calls in the same place.")
    assert refused == {}
    assert signed >= {"amazon-ses", "amazon-web-services"}
    assert {"mail"} <= logins
    assert "expensify" in bodies


def test_a_client_secret_is_not_handed_out_wherever_a_connector_puts_it(tmp_path: Path) -> None:
    text = """
name = "Acme"
category = "dev"
base_url = "https://acme.example"

[verify]
path = "/me"

[client_credentials]
label = "Client credentials"
token_url = "https://acme.example/token"
send.headers = { Authorization = "Bearer {access_token}", X-Secret = "{client_secret}" }

[client_credentials.refresh]
supported = false
"""
    (tmp_path / "acme.toml").write_text(text)
    connector = Catalog.load(tmp_path).get("acme")

    with pytest.raises(Conflict) as error:
        require_issuable(Provider(connector, connector.options[0], {}))

    assert error.value.message == "Acme takes the client secret along with each call, and that is handed to nobody."

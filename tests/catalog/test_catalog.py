from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.catalog.binding import Binding
from api.catalog.catalog import CONNECTORS, Catalog, CatalogMistakes
from api.catalog.connector import Connector, ConnectorStage, Field, Option, Scope, Unconfirmed
from api.catalog.grant import AssertionUse, Discovery, Grant, Pkce, Refresh, Revocation
from api.catalog.reading_grant import BODY_FORMATS, CLIENT_AUTHENTICATIONS, TOKEN_PATHS
from api.catalog.template import Template
from api.catalog.using import Placement, PlacementLocation, Proof
from api.errors import NotFound, StartRefused
from api.oauth import tokens
from api.oauth.tokens import BodyFormat, ClientAuthentication, TokenPaths
from models import AuthenticationType

SMALL = """
name = "{name}"
vendor = "{vendor}"
category = "{category}"
stage = "{stage}"
base_url = "https://api.example.com"
verify.path = "/me"

[{option}]
label = "Sign in"
send.headers = {{ X-Key = "k" }}
"""


FULL = """
name = "Full"
category = "erp"
stage = "legacy"
documentation = "https://docs.example.com"
base_url = "{cloud}/v1"
headers = { X-Version = "2" }
requires = ["cloud"]
unconfirmed = [{ key = "consent.refresh.rotates", what = "seen once" }]

[consent]
label = "Sign in"
apps = ["own"]
issuer = "{cloud}"
sends_issuer = true
authorize_url = "{cloud}/authorize"
token_url = "{cloud}/token"
base_url = "{cloud}/{tenant}"
client_authentication = "none"
pkce = "required"
scopes = [{ name = "all", mandatory = true, description = "Everything" }]
scope_parameter = ""
scope_separator = ","
granted_scope_separator = "|"
body_format = "json"
authorize_parameters = { prompt = "consent" }
token_parameters = { audience = "{cloud}" }
token_headers = { Accept = "application/json" }
token_paths = { access_token = "data.0.token" }
accepts_form_answer = true
token_types = ["jwt"]
default_lifetime = "1 hour"
refresh_lifetime = "90 days"
proof = "token-exchange"
verify_every = "45 minutes"
send.query = { auth = "{access_token}" }
fields.tenant = { label = "Tenant", pattern = "[0-9]+", asked = false }
discovery = { url = "{cloud}/tenants", entries = "data", capture = { tenant = "id" } }
revoke = { url = "{cloud}/revoke", method = "DELETE", headers = { X-Token = "{token}" } }

[consent.refresh]
url = "{cloud}/refresh"
rotates = true
client_authentication = "client_secret_post"
parameters = { tenant = "{tenant}" }
reuse_window = "30 seconds"
rate = "300 per minute"
concurrency = 2
"""


def small(name: str, vendor: str = "Example", category: str = "dev", stage: str = "preview", option: str = "api_key") -> str:
    return SMALL.format(name=name, vendor=vendor, category=category, stage=stage, option=option)


@pytest.fixture
def three(tmp_path: Path) -> Catalog:
    (tmp_path / "b-one.toml").write_text(small("beta", vendor="Acme", category="crm"))
    (tmp_path / "z-two.toml").write_text(small("Alpha", stage="legacy", option="basic"))
    (tmp_path / "three.toml").write_text(small("gamma", vendor="ACME Inc."))
    return Catalog.load(tmp_path)


def test_connectors_come_ordered_by_name_whatever_the_case(three: Catalog) -> None:
    assert [connector.name for connector in three.all] == ["Alpha", "beta", "gamma"]


def test_get_and_find_go_by_the_name_of_the_file(three: Catalog) -> None:
    assert three.get("z-two").name == "Alpha"
    assert three.find("z-two") is three.get("z-two")
    assert three.find("Alpha") is None


def test_get_of_an_unknown_key_is_not_found(three: Catalog) -> None:
    with pytest.raises(NotFound) as caught:
        three.get("nothing")

    assert caught.value.noun == "connector"


def test_a_file_is_read_to_the_last_key(tmp_path: Path) -> None:
    (tmp_path / "full.toml").write_text(FULL)

    connector = Catalog.load(tmp_path, constants={"cloud": "https://cloud.example.com"}).get("full")

    tenant = Field("tenant", "Tenant", pattern="[0-9]+", asked=False)
    assert connector == Connector(
        key="full",
        name="Full",
        category="erp",
        stage=ConnectorStage.LEGACY,
        documentation_url="https://docs.example.com",
        base_url=Template("{cloud}/v1"),
        headers={"X-Version": Template("2")},
        constants={"cloud": "https://cloud.example.com"},
        unconfirmed=(Unconfirmed("consent.refresh.rotates", "seen once"),),
        options=(
            Option(
                key="consent",
                type=AuthenticationType.OAUTH2_AUTHORIZATION_CODE,
                label="Sign in",
                fields=(tenant,),
                scopes=(Scope("all", mandatory=True, description="Everything"),),
                grant=Grant(
                    token_url=Template("{cloud}/token"),
                    authorize_url=Template("{cloud}/authorize"),
                    issuer=Template("{cloud}"),
                    sends_issuer=True,
                    client_authentication="none",
                    pkce=Pkce.REQUIRED,
                    scope_parameter=None,
                    scope_separator=",",
                    granted_scope_separator="|",
                    body_format="json",
                    authorize_parameters={"prompt": Template("consent")},
                    token_parameters={"audience": Template("{cloud}")},
                    token_headers={"Accept": Template("application/json")},
                    token_paths={"access_token": "data.0.token"},
                    accepts_form_answer=True,
                    token_types=("jwt",),
                    default_lifetime=timedelta(hours=1),
                    refresh_lifetime=timedelta(days=90),
                    refresh=Refresh(
                        rotates=True,
                        url=Template("{cloud}/refresh"),
                        client_authentication="client_secret_post",
                        parameters={"tenant": Template("{tenant}")},
                        reuse_window=timedelta(seconds=30),
                        rate=5.0,
                        concurrency=2,
                    ),
                    revocation=Revocation(Template("{cloud}/revoke"), method="DELETE", headers={"X-Token": Template("{token}")}),
                ),
                discovery=Discovery(Template("{cloud}/tenants"), entries="data", capture={"tenant": "id"}),
                placements=(Placement(PlacementLocation.QUERY, "auth", Template("{access_token}")),),
                base_url=Template("{cloud}/{tenant}"),
                verify_every=timedelta(minutes=45),
                operator_app=False,
                proof=Proof.TOKEN_EXCHANGE,
            ),
        ),
    )


def test_search_looks_into_key_name_and_vendor(three: Catalog) -> None:
    assert [connector.key for connector in three.search("acme")] == ["b-one", "three"]
    assert [connector.key for connector in three.search(" ALPH ")] == ["z-two"]
    assert [connector.key for connector in three.search("two")] == ["z-two"]
    assert three.search("nowhere") == ()


def test_search_holds_to_every_filter_at_once(three: Catalog) -> None:
    assert [connector.key for connector in three.search(category="crm")] == ["b-one"]
    assert [connector.key for connector in three.search(stage=ConnectorStage.PREVIEW)] == ["b-one", "three"]
    assert [connector.key for connector in three.search(authentication_type=AuthenticationType.BASIC)] == ["z-two"]
    assert three.search("acme", stage=ConnectorStage.LEGACY) == ()
    assert three.search() == three.all


def test_a_connector_that_requires_a_constant_appears_only_where_it_is_given() -> None:
    without = Catalog.load(CONNECTORS)
    with_it = Catalog.load(CONNECTORS, constants={"sandbox_url": "http://127.0.0.1:8000/sandbox", "other": "unused"})

    assert without.find("sandbox") is None
    assert with_it.get("sandbox").constants == {"sandbox_url": "http://127.0.0.1:8000/sandbox"}
    assert len(with_it.all) == len(without.all) + 1


def test_a_connector_that_is_left_out_is_checked_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "hidden.toml").write_text('requires = ["sandbox_url"]\n' + small("Hidden") + "\nwrong = 1\n")

    with pytest.raises(CatalogMistakes, match=r"hidden\.toml: api_key\.wrong: is not a key of this table"):
        Catalog.load(tmp_path)


def test_all_mistakes_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text("name = 3\n" + small("x").replace('name = "x"', ""))
    (tmp_path / "two.toml").write_text("name = ")
    (tmp_path / "three.toml").write_text(small("Three", stage="new", category="No Slug"))

    with pytest.raises(CatalogMistakes) as caught:
        Catalog.load(tmp_path)

    assert isinstance(caught.value, StartRefused)
    assert [str(mistake) for mistake in caught.value.mistakes] == [
        "one.toml: name: must be a text",
        "three.toml: category: is written in lower case, with hyphens",
        "three.toml: stage: must be one of generally-available, preview, legacy",
        "two.toml: is not TOML: Invalid value (at end of document)",
    ]
    assert all(str(mistake) in caught.value.message for mistake in caught.value.mistakes)


def test_a_key_may_stand_in_one_folder_only(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.toml").write_text(small("Same"))

    with pytest.raises(CatalogMistakes) as caught:
        Catalog.load(tmp_path / "first", tmp_path / "second")

    assert [str(mistake) for mistake in caught.value.mistakes] == [f"same.toml: the key “same” is taken by {tmp_path}/first/same.toml"]


def test_a_folder_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(CatalogMistakes) as caught:
        Catalog.load(tmp_path / "nowhere")

    assert [str(mistake) for mistake in caught.value.mistakes] == [f"{tmp_path}/nowhere: is not a folder"]


def test_a_file_name_that_is_no_key_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "My Connector.toml").write_text(small("Mine"))

    with pytest.raises(CatalogMistakes, match="lower case, digits and hyphens"):
        Catalog.load(tmp_path)


def test_the_words_of_the_files_are_those_of_the_oauth_engine() -> None:
    assert set(CLIENT_AUTHENTICATIONS) == set(ClientAuthentication)
    assert set(BODY_FORMATS) == set(BodyFormat)
    assert {use.value for use in AssertionUse} == {use.value for use in tokens.AssertionUse}
    assert set(TOKEN_PATHS) == set(TokenPaths.__dataclass_fields__)


@given(st.text(alphabet="{}ab_1/ ", max_size=24), st.text(alphabet="xyz./", min_size=1, max_size=8))
def test_a_template_without_problems_renders_without_braces(text: str, value: str) -> None:
    template = Template(text)
    binding = Binding({name: Field(name, name) for name in template.names}, frozenset())

    if not list(binding.problems(template)):
        rendered = template.render(dict.fromkeys(template.names, value))
        assert "{" not in rendered
        assert "}" not in rendered


def test_a_value_is_never_taken_for_a_template() -> None:
    assert Template("{a}-{b}").render({"a": "{b}", "b": "{a}"}) == "{b}-{a}"

"""The connectors that come with Patchbay, as a whole: what they say, and where their requests can be led."""

import re
import tomllib
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from api.catalog.catalog import CONNECTORS, Catalog
from api.catalog.connector import Connector, Evidence, Field, Option
from api.catalog.grant import Pkce
from api.catalog.template import Template
from api.catalog.using import Proof
from models import AuthenticationType as Type

CATALOG = Catalog.load(CONNECTORS, constants={"sandbox_url": "http://127.0.0.1:8000/sandbox"})

# What each offers, and the hosts that it may talk to, written down apart from the files.
OFFERED = tomllib.loads((Path(__file__).parent / "offered.toml").read_text())

FRAGMENTS = (
    "/#", "/", "//", "#", "?", "?x=", "@", ":@", ":80", ":80@", "\\", "\\@", "%2f", "%23", "%40", "%00", "\0", "\n", "\r", "\r\n", "\t",
    " ", ";", ",", "&", "'", '"', "<", "{x}", "[", "]", "|", "^", "é", "ı", "ſ", "K", "\u200b", "．", "。", "／", "＠", "：", "①", "\u202e",
    "/#evil.com", "@evil.com", ".evil.com#", "evil.com/", "\nevil.com", "/../", "/..;/",
)  # fmt: skip
HOSTILE = (
    "",
    "evil.com/#",
    "a.b@c",
    "acme\n",
    "\nacme",
    "acme.evil.com/",
    "аcme",
    "acme é",
    "//evil.com",
    "http://evil.com",
    "javascript:alert(1)",
    "-",
    ".",
    "..",
)


def cases() -> list[object]:
    return [
        pytest.param(connector, option, id=f"{connector.key}-{option.key}") for connector in CATALOG.all for option in connector.options
    ]


def urls(connector: Connector, option: Option) -> Iterator[Template]:
    """Every URL that the option has anything sent to."""
    if connector.base_url_for(option).text:
        yield connector.base_url_for(option)
    yield from (verification.url for verification in option.verifications)
    if option.discovery is not None:
        yield option.discovery.url
    if (grant := option.grant) is not None:
        found = [grant.token_url, grant.authorize_url, grant.issuer, grant.refresh.url]
        found += [grant.revocation.url] if grant.revocation is not None else []
        yield from (url for url in found if url is not None)


def samples(field: Field) -> list[str]:
    return [value for value in (*(field.options or ()), field.example, field.default) if value] or ["sample"]


def host_names(template: Template) -> set[str]:
    if not template.text.startswith("https://"):
        # A whole URL; what stands behind it can but go on with its path.
        return set(re.findall(r"^\{(\w+)\}", template.text)) - {"sandbox_url"}
    return set(Template(re.split(r"[/?#]", template.text.removeprefix("https://"))[0]).names)


def host_fields() -> list[object]:
    return [
        pytest.param(field, id=f"{connector.key}-{option.key}-{field.name}")
        for connector in CATALOG.all
        for option in connector.options
        for field in connector.fields_for(option)
        if any(field.name in host_names(url) for url in urls(connector, option))
    ]


def test_these_are_the_connectors_and_their_ways_to_authenticate() -> None:
    offered = {connector.key: [option.key for option in connector.options] for connector in CATALOG.all}

    assert offered == {key: entry["ways"] for key, entry in OFFERED.items()}
    assert len(offered) == 152


@pytest.mark.parametrize(("connector", "option"), cases())
def test_every_url_stays_with_the_vendor_whatever_valid_values_are_filled_in(connector: Connector, option: Option) -> None:
    hosts = tuple(OFFERED[connector.key]["hosts"])

    for url in urls(connector, option):
        for values in fillings(connector, option, url):
            rendered = url.render(values)
            parts = urlsplit(rendered)
            assert f".{parts.hostname}".endswith(hosts)
            assert parts.scheme == "https" or connector.key == "sandbox"
            assert not set("{}# ") & set(rendered)
            assert "@" not in parts.netloc


def fillings(connector: Connector, option: Option, url: Template) -> Iterator[dict[str, str]]:
    """Every way to fill a URL in with values that its fields take."""
    fields = [field for field in connector.fields_for(option) if field.name in url.names]
    others = dict.fromkeys(url.names, "sample")
    for values in product(*(samples(field) for field in fields)):
        yield {**others, **connector.constants, **{field.name: value for field, value in zip(fields, values, strict=True)}}


def test_there_are_host_fields_to_try() -> None:
    assert len(host_fields()) >= 120


@pytest.mark.parametrize("field", host_fields())
def test_a_hostile_value_never_gets_into_a_host(field: Field) -> None:
    tried = {*HOSTILE} - {value for value in HOSTILE if value in samples(field)}
    for sample, fragment in product(samples(field), FRAGMENTS):
        tried |= {sample + fragment + "x", fragment + sample}
        # A whole URL may go on with a path.
        if not (sample.startswith("https://") and fragment in ("/", "//", ":80", "/#", "?x=")):
            tried.add(sample + fragment)

    harmful = {value for value in tried if urlsplit_differs(field, value)}
    assert {value for value in harmful if field.problem(value) is None} == set()


def urlsplit_differs(field: Field, value: str) -> bool:
    """Whether a value is anything but a plain host (part), or a plain https URL where the field takes one."""
    if samples(field)[0].startswith("https://"):
        return re.fullmatch(r"https://[a-z0-9.-]+(:[0-9]+)?(/[\w.~;=-]+)*/?", value, re.ASCII) is None
    port = "(:[0-9]{1,5})?" if field.problem(f"{samples(field)[0]}:8443") is None else ""
    return re.fullmatch(rf"[a-z0-9-]+(\.[a-z0-9-]+)*{port}", value, re.ASCII) is None


def test_a_port_is_taken_only_where_the_value_is_the_whole_authority() -> None:
    for connector in CATALOG.all:
        for option in connector.options:
            for field in connector.fields_for(option):
                hosts = [url.text for url in urls(connector, option) if field.name in host_names(url)]
                if hosts and not samples(field)[0].startswith("https://") and field.problem(f"{samples(field)[0]}:8443") is None:
                    assert all(re.match(rf"https://\{{{field.name}\}}(/|$)", url) for url in hosts), (connector.key, field.name)


@pytest.mark.parametrize(("connector", "option"), cases())
def test_every_credential_has_a_proof_and_a_place(connector: Connector, option: Option) -> None:
    assert bool(option.verifications) is (option.proof is Proof.REQUEST)
    if any(field.secret for field in connector.fields_for(option)) or option.grant is not None:
        placed = option.placements or option.basic or option.signature or option.login
        assert placed or option.proof is Proof.NONE or any(each.form or each.body for each in option.verifications)


def test_client_credentials_always_ask_for_id_and_secret_first() -> None:
    for connector in CATALOG.all:
        for option in connector.options:
            if option.type is Type.OAUTH2_CLIENT_CREDENTIALS and option.grant is not None and option.grant.assertion is None:
                assert [(field.name, field.secret) for field in option.fields][:2] == [("client_id", False), ("client_secret", True)]
    salesforce = CATALOG.get("salesforce").find_option(Type.OAUTH2_CLIENT_CREDENTIALS)
    assert salesforce is not None
    assert salesforce.fields[0].label == "Consumer key"


def test_the_secret_of_the_operators_app_never_goes_where_a_person_says() -> None:
    http = CATALOG.get("http")

    assert http.find_option(Type.OAUTH2_AUTHORIZATION_CODE) is None
    assert http.find_option(Type.OAUTH2_BRING_YOUR_OWN_APP) is not None


def test_github_is_asked_for_json_and_answers_scopes_with_commas() -> None:
    option = CATALOG.get("github").find_option(Type.OAUTH2_AUTHORIZATION_CODE)

    assert option is not None
    assert option.grant is not None
    assert option.grant.token_headers == {"Accept": Template("application/json")}
    assert (option.grant.scope_separator, option.grant.granted_scope_separator) == (" ", ",")
    assert option.grant.revocation is not None
    assert option.grant.revocation.method == "DELETE"


def test_slack_proves_a_token_by_the_body_of_the_answer() -> None:
    option = CATALOG.get("slack").find_option(Type.PERSONAL_ACCESS_TOKEN)

    assert option is not None
    (verification,) = option.verifications
    assert (verification.method, verification.url.text) == ("POST", "https://slack.com/api/auth.test")
    assert [(expectation.path, expectation.values) for expectation in verification.expect] == [("ok", (True,))]


def test_jira_signs_in_at_another_base_url_with_an_api_token() -> None:
    jira = CATALOG.get("jira")
    consent, basic = (jira.find_option(type) for type in (Type.OAUTH2_AUTHORIZATION_CODE, Type.BASIC))

    assert consent is not None
    assert basic is not None
    assert jira.base_url_for(consent).text == "https://api.atlassian.com/ex/jira/{cloud_id}"
    assert jira.base_url_for(basic).text == "https://{site}.atlassian.net"
    assert basic.verifications[0].url.text == "https://{site}.atlassian.net/rest/api/3/myself"


def test_zendesk_composes_the_user_of_its_api_token() -> None:
    option = CATALOG.get("zendesk").find_option(Type.API_KEY)

    assert option is not None
    assert option.basic is not None
    assert option.basic.username.render({"email": "ada@example.com"}) == "ada@example.com/token"


def test_datadog_sends_two_keys_and_learns_the_site_of_a_consent_from_the_callback() -> None:
    api_key, consent = CATALOG.get("datadog").options

    rendered = [placement.render({"api_key": "a", "application_key": "b"}) for placement in api_key.placements]
    assert rendered == [("DD-API-KEY", "a"), ("DD-APPLICATION-KEY", "b")]
    assert consent.grant is not None
    assert (consent.grant.pkce, consent.grant.callback_capture) == (Pkce.REQUIRED, {"site": "domain"})


def test_http_names_the_header_of_an_api_key_by_a_field() -> None:
    option = CATALOG.get("http").find_option(Type.API_KEY)

    assert option is not None
    assert option.placements[0].render({"header_name": "X-Token", "prefix": "Token ", "api_key": "k"}) == ("X-Token", "Token k")


@pytest.mark.parametrize("path", ["@evil.com", ".evil.com", ":80@evil.com", "", "me", "/me#x", "/me\n", "/@evil.com", "\\evil.com"])
def test_the_path_of_a_proof_never_goes_on_with_the_host(path: str) -> None:
    verify_path = next(field for field in CATALOG.get("http").fields if field.name == "verify_path")

    assert verify_path.problem(path) is not None
    assert verify_path.problem("/v1/me?fields=id,name") is None


def test_what_is_unconfirmed_says_so_as_data() -> None:
    assert [fact.key for fact in CATALOG.get("stripe").unconfirmed] == [
        "consent",
        "consent.pkce",
        "consent.revoke",
        "more.app_consent.pkce",
    ]
    assert CATALOG.get("stripe").evidence is Evidence.VENDOR_DOCUMENTED
    assert CATALOG.get("zoominfo").evidence is Evidence.UNCONFIRMED

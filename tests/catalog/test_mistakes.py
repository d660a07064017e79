"""Every mistake that a connector file can make, and the words in which it is told."""

import re
from pathlib import Path

import pytest

from api.catalog.catalog import Catalog, CatalogMistakes
from api.catalog.reading_grant import TOKEN_PATHS

# A file without a mistake; each case changes one thing in it.
GOOD = """
name = "Acme"
category = "dev"
documentation = "https://docs.acme.example/auth"
base_url = "https://{region}.acme.example/v1"
unconfirmed = [{ key = "consent.pkce", what = "nothing says so" }]

[fields.region]
label = "Region"
example = "eu1"
pattern = '[a-z0-9]+'

[verify]
path = "/me"
account = "email"

[consent]
label = "Sign in"
authorize_url = "https://login.acme.example/authorize"
token_url = "https://login.acme.example/token"
pkce = "required"
default_lifetime = "30 minutes"
token_capture = { tenant = "tenant.id" }
scopes = [
  { name = "read", mandatory = true },
  { name = "write", default = true },
]

[consent.fields.tenant]
label = "Tenant"
pattern = '[0-9]+'
asked = false

[consent.revoke]
url = "https://login.acme.example/revoke/{tenant}"
parameters = { token = "{token}" }

[api_key]
label = "API key"
send.headers = { X-Key = "{key}" }

[api_key.fields.key]
label = "Key"
secret = true
"""

CASES = {
    "a length that is none": ('label = "Region"', 'label = "Region"\nlongest = 0', "fields.region.longest: must be at least 1"),
    "an unknown key": (
        'category = "dev"',
        'categories = "dev"\ncategory = "dev"',
        "categories: is not a key of this table; is “category” meant?",
    ),
    "an unknown key in a table": ('account = "email"', "accounts = 1", "verify.accounts: is not a key of this table; is “account” meant?"),
    "an unknown option": ("[api_key]\n", "[saml]\na = 1\n[api_key]\n", "saml: is not a key of this table"),
    "a missing key": ('name = "Acme"', "", "name: is missing"),
    "a missing URL": ('token_url = "https://login.acme.example/token"', "", "consent.token_url: is missing"),
    "a missing label": ('label = "Sign in"', "", "consent.label: is missing"),
    "a number for a text": ('name = "Acme"', "name = 5", "name: must be a text"),
    "a text for a flag": ("mandatory = true", 'mandatory = "yes"', "consent.scopes.0.mandatory: must be true or false"),
    "a text for a table": (
        'send.headers = { X-Key = "{key}" }',
        'send.headers = "{key}"\nsend.query = { k = "{key}" }',
        "api_key.send.headers: must be a table",
    ),
    "a text for a list": ('account = "email"', "statuses = 200", "verify.statuses: must be a list of whole numbers"),
    "a flag in a list of numbers": ('account = "email"', "statuses = [true]", "verify.statuses: must be a list of whole numbers"),
    "a word that is none of the choices": (
        'pkce = "required"',
        'pkce = "S256"',
        "consent.pkce: must be one of required, supported, unsupported",
    ),
    "an unknown client authentication": (
        'pkce = "required"',
        'pkce = "required"\nclient_authentication = "post"',
        "consent.client_authentication: must be one of client_secret_basic, client_secret_basic_raw, client_secret_post, none",
    ),
    "a duration without a unit": ('"30 minutes"', '"30"', "consent.default_lifetime: must be a duration such as “30 minutes” or “90 days”"),
    "a duration that is a number": ('"30 minutes"', "1800", "consent.default_lifetime: must be a text"),
    "a rate without a unit": (
        'pkce = "required"',
        'pkce = "required"\nrefresh.rate = "10"',
        "consent.refresh.rate: must be a rate such as “10 per second” or “300 per minute”",
    ),
    "a rate that is a number": ('pkce = "required"', 'pkce = "required"\nrefresh.rate = 10', "consent.refresh.rate: must be a text"),
    "nothing at once": (
        'pkce = "required"',
        'pkce = "required"\nrefresh.concurrency = 0',
        "consent.refresh.concurrency: must be at least 1",
    ),
    "a placeholder that nothing fills": (
        "/authorize",
        "/{tenants}/authorize",
        "consent.authorize_url: nothing gives {tenants} a value here",
    ),
    "a capture before it is known": ("/authorize", "/{tenant}/authorize", "consent.authorize_url: nothing gives {tenant} a value here"),
    "a capture of another option": (
        'X-Key = "{key}"',
        'X-Key = "{key}{tenant}"',
        "api_key.send.headers.X-Key: nothing gives {tenant} a value here",
    ),
    "an access token where there is none": (
        '"{key}"',
        '"{access_token}"',
        "api_key.send.headers.X-Key: nothing gives {access_token} a value here",
    ),
    "a secret in the consent page's URL": (
        "/authorize",
        "/{client_secret}",
        "consent.authorize_url: nothing gives {client_secret} a value here",
    ),
    "a constant that is not required": ("{region}.acme", "{public_url}.acme", "base_url: nothing gives {public_url} a value here"),
    "a stray brace": ('"{key}"', '"{key}}"', "api_key.send.headers.X-Key: has a brace that belongs to no placeholder"),
    "a placeholder in capitals": ('"{key}"', '"{Key}"', "api_key.send.headers.X-Key: has a brace that belongs to no placeholder"),
    "a field that may be empty": (
        'example = "eu1"',
        'example = "eu1"\nrequired = false',
        "base_url: {region} may be left empty: it needs a default",
    ),
    "an invalid pattern": (
        "'[0-9]+'",
        "'[0-9+'",
        "consent.fields.tenant.pattern: is not a regular expression: unterminated character set at position 0",
    ),
    "an example that does not fit": ('"eu1"', '"EU 1"', "fields.region.example: is not a value that the field takes"),
    "a default that does not fit": ('"eu1"', '"eu1"\ndefault = "-"', "fields.region.default: is not a value that the field takes"),
    "a default that is no option": (
        '"eu1"',
        '"eu1"\noptions = ["eu1"]\ndefault = "us1"',
        "fields.region.default: is not a value that the field takes",
    ),
    "a default of a secret": ("secret = true", 'secret = true\ndefault = "k"', "api_key.fields.key.default: a secret has no default"),
    "an option twice": (
        "[api_key]\n",
        '[api_key]\nlabel = "x"\n[api_key]\n',
        "is not TOML: Cannot declare ('api_key',) twice (at line 40, column 9)",
    ),
    "a scope twice": ('name = "write"', 'name = "read"', "consent.scopes.1.name: “read” is listed already"),
    "two scopes in one": ('name = "write"', 'name = "write all"', "consent.scopes.1.name: is not one scope"),
    "an option that nothing proves": (
        '[verify]\npath = "/me"\naccount = "email"',
        'consent.proof = "token-exchange"',
        "api_key.verify: nothing proves the credential: it needs a request, or a proof that says why there is none",
    ),
    "a token exchange that does not happen": (
        'label = "API key"',
        'label = "A"\nproof = "token-exchange"',
        "api_key.proof: there is no token exchange here",
    ),
    "two proofs": (
        'pkce = "required"',
        'pkce = "required"\nproof = "token-exchange"\nverify.path = "/x"',
        'consent.verify: with proof = "token-exchange" no request proves it',
    ),
    "plain HTTP": (
        '"https://login.acme.example/token"',
        '"http://login.acme.example/token"',
        "consent.token_url: must be an https:// URL, in lower case up to the path",
    ),
    "a user in a URL": (
        "https://login.acme.example/token",
        "https://a@login.acme.example/token",
        "consent.token_url: must be an https:// URL, in lower case up to the path",
    ),
    "a fragment after the host": (
        "https://login.acme.example/token",
        "https://login.acme.example#x",
        "consent.token_url: must be an https:// URL, in lower case up to the path",
    ),
    "a documentation page over HTTP": ('"https://docs', '"http://docs', "documentation: must be an https:// URL"),
    "a host part without a pattern": ("pattern = '[a-z0-9]+'", "", "base_url: {region} goes into a URL: it needs a pattern or options"),
    "a host part with a loose pattern": ("'[a-z0-9]+'", "'.+'", "base_url: {region} would lead elsewhere: its pattern takes 'eu1/#'"),
    "a host part that takes its end of line": (
        "'[a-z0-9]+'",
        r"'[a-z0-9]+\s?'",
        r"base_url: {region} would lead elsewhere: its pattern takes 'eu1\n'",
    ),
    "a path part without a pattern": ('"/me"', '"/me/{key}"', "verify.path: {key} goes into a URL: it needs a pattern or options"),
    "a host that the access token chooses": (
        "login.acme.example/revoke",
        "{token}.acme.example/revoke",
        "consent.revoke.url: {token} may not choose the host",
    ),
    "a host that the person chooses": (
        "https://login.acme.example/token",
        "https://login.{region}/token",
        'consent.token_url: {region} lets a person choose any host, which would be sent the operator\'s secret: it needs apps = ["own"]',
    ),
    "a domain that the person chooses": (
        "https://login.acme.example/token",
        "https://login.{region}.example/token",
        'consent.token_url: {region} lets a person choose any host, which would be sent the operator\'s secret: it needs apps = ["own"]',
    ),
    "a domain that the person can begin": (
        "https://login.acme.example/token",
        "https://{region}acme.example/token",
        'consent.token_url: {region} lets a person choose any host, which would be sent the operator\'s secret: it needs apps = ["own"]',
    ),
    "a whole URL that goes on with the host": (
        'base_url = "https://{region}.acme.example/v1"',
        'base_url = "{region}.acme.example/v1"',
        "base_url: must be an https:// URL, in lower case up to the path",
    ),
    "a whole URL that is none": (
        'base_url = "https://{region}.acme.example/v1"',
        'base_url = "{region}/v1"',
        "base_url: {region} is a whole URL, so its example must start with https://",
    ),
    "a relative path": ('path = "/me"', 'path = "me"', "verify.path: must start with a slash"),
    "a path beside a URL": (
        'path = "/me"',
        'path = "/me"\nurl = "https://me.acme.example"',
        "verify.url: stands instead of path, not beside it",
    ),
    "neither a path nor a URL": ('path = "/me"', "", "verify.path: is missing"),
    "a capture that is not declared": (
        '"tenant.id"',
        '"tenant.id", org = "org"',
        "consent.token_capture.org: is not a declared field with asked = false",
    ),
    "a capture into a field that is asked for": (
        '"tenant.id"',
        '"tenant.id", region = "r"',
        "consent.token_capture.region: is not a declared field with asked = false",
    ),
    "a declared capture that nothing captures": (
        "secret = true",
        "secret = true\n[api_key.fields.org]\nlabel = 'Org'\npattern = 'o'\nasked = false",
        "api_key.fields.org: is asked of nobody, and nothing captures it",
    ),
    "a captured value without a pattern": (
        "pattern = '[0-9]+'",
        "",
        "consent.fields.tenant.asked: a value that nobody is asked for needs a pattern or options",
    ),
    "a field of the protocol": (
        "[api_key.fields.key]",
        "[api_key.fields.account]\nlabel = 'A'\n[api_key.fields.key]",
        "api_key.fields.account: is a name that has a meaning already",
    ),
    "a field name in capitals": (
        "[api_key.fields.key]",
        "[api_key.fields.Key]\nlabel = 'A'\n[api_key.fields.key]",
        "api_key.fields.Key: a field is named in lower case, with digits and underscores",
    ),
    "a field twice": (
        "[api_key.fields.key]",
        "[api_key.fields.region]\nlabel = 'A'\n[api_key.fields.key]",
        "api_key.fields.region: is a field of the whole connector already",
    ),
    "a parameter of the protocol": (
        'pkce = "required"',
        'pkce = "required"\nauthorize_parameters = { state = "x" }',
        "consent.authorize_parameters.state: is what the protocol says itself",
    ),
    "a credential that goes nowhere": (
        'send.headers = { X-Key = "{key}" }',
        "",
        "api_key.send: says nowhere where the credential goes: it needs headers, query, basic or a signature",
    ),
    "no app at all": ('pkce = "required"', "apps = []", "consent.apps: must name operator, own, or both"),
    "an unknown app": ('pkce = "required"', 'pkce = "required"\napps = ["any"]', "consent.apps: must name operator, own, or both"),
    "an issuer that is not said": (
        'pkce = "required"',
        'pkce = "required"\nsends_issuer = true',
        "consent.sends_issuer: needs the issuer that is to be expected",
    ),
    "an unknown path of the token": (
        'pkce = "required"',
        'pkce = "required"\ntoken_paths = { jwt = "a" }',
        "consent.token_paths.jwt: must be one of " + ", ".join(TOKEN_PATHS),
    ),
    "an unconfirmed key that is not there": (
        '"consent.pkce"',
        '"consent.pkec"',
        "unconfirmed.0.key: there is no “consent.pkec” in this file",
    ),
}


def mistakes_of(folder: Path, text: str) -> list[str]:
    (folder / "acme.toml").write_text(text)
    try:
        Catalog.load(folder)
    except CatalogMistakes as error:
        return [re.sub(r"^acme\.toml: ", "", str(mistake)) for mistake in error.mistakes]
    return []


def test_the_file_that_the_cases_change_has_no_mistake(tmp_path: Path) -> None:
    assert mistakes_of(tmp_path, GOOD) == []


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_told_with_key_and_reason(case: str, tmp_path: Path) -> None:
    old, new, expected = CASES[case]
    assert GOOD.count(old) >= 1

    assert expected in mistakes_of(tmp_path, GOOD.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('[verify]\npath = "/me"\naccount = "email"', '[verify]\npath = "/me"\nexpect = { a = { } }'),
        ("[fields.region]", "[fields]\nregion = 3\n[other]"),
        ("[consent]\n", "[[consent]]\n"),
        ("scopes = [", 'scopes = [ "all", '),
        ('token_capture = { tenant = "tenant.id" }', 'token_capture = "tenant"'),
    ],
)
def test_nonsense_is_told_too_and_reading_goes_on_behind_it(old: str, new: str, tmp_path: Path) -> None:
    assert old in GOOD

    found = mistakes_of(tmp_path, GOOD.replace(old, new, 1) + "last = 1\n")

    assert any("must be" in mistake for mistake in found)
    assert "api_key.fields.key.last: is not a key of this table" in found


def test_without_any_option_there_is_nothing_to_connect(tmp_path: Path) -> None:
    text = 'name = "Acme"\ncategory = "dev"\nbase_url = "https://acme.example"\n'

    assert mistakes_of(tmp_path, text) == [
        "offers no way to authenticate: it needs one of consent, client_credentials, password, assertion, personal_access_token, "
        "api_key, basic, aws_access_key, custom"
    ]


@pytest.mark.parametrize("pattern", [r"[a-z.]+", r".*\.example", r"[a-z-]+acme\.example|eu1"])
def test_a_value_from_outside_must_hold_to_the_vendors_hosts(pattern: str, tmp_path: Path) -> None:
    text = GOOD.replace("login.acme.example/token", "{site}/token").replace(
        "token_capture", 'callback_capture = { site = "site" }\ntoken_capture'
    )
    text += f"[consent.fields.site]\nlabel = 'Site'\nexample = 'login.acme.example'\npattern = '{pattern}'\nasked = false\n"

    found = mistakes_of(tmp_path, text)

    assert any(mistake == "consent.token_url: {site} comes from outside: its pattern must hold to the vendor's hosts" for mistake in found)


def test_a_host_of_ones_own_is_fine_with_an_app_of_ones_own(tmp_path: Path) -> None:
    text = GOOD.replace("https://login.acme.example/token", "https://{host}/token").replace(
        'pkce = "required"', 'pkce = "required"\napps = ["own"]'
    )
    text += "[consent.fields.host]\nlabel = 'Host'\nexample = 'login.acme.example'\npattern = '[a-z.]+'\n"

    assert mistakes_of(tmp_path, text) == []

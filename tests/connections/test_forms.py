"""The form that a connection needs, and every mistake in it at once."""

from hypothesis import given
from hypothesis import strategies as st

from api.catalog.connector import Connector, Field, Option, Scope
from api.catalog.grant import Grant
from api.catalog.template import Template
from api.connections.forms import fields_of, fill, scope_mistakes
from api.secret import Secret
from models import AuthenticationType

BYO = AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP
CONSENT = AuthenticationType.OAUTH2_AUTHORIZATION_CODE

FIELDS = (
    Field("host", "Host", pattern=r"[a-z.]+", example="acme.example"),
    Field("region", "Region", options=("eu", "us"), default="eu"),
    Field("note", "Note", required=False),
    Field("token", "Token", secret=True),
)

MANDATORY = ("read", "sign")


def given_values(**values: str) -> dict[str, Secret]:
    return {name: Secret(value) for name, value in values.items()}


def option(type: AuthenticationType = CONSENT, *, client_authentication: str = "client_secret_basic") -> Option:
    grant = Grant(Template("https://acme.example/token"), client_authentication=client_authentication)
    scopes = (Scope("read", mandatory=True), Scope("sign", mandatory=True), Scope("write"))
    return Option("consent", type, "Sign in", fields=FIELDS[1:], scopes=scopes, grant=grant)


def connector(option: Option) -> Connector:
    hidden = Field("instance", "Instance", asked=False)
    return Connector("acme", "Acme", "crm", Template("https://{host}"), (option,), fields=(FIELDS[0], hidden))


def test_a_form_that_is_filled_in_well_parts_secrets_from_the_rest() -> None:
    filled, mistakes = fill(FIELDS, given_values(host="acme.example", note="mine", token="hush"))

    assert mistakes == {}
    assert filled.site == {"host": "acme.example", "region": "eu", "note": "mine"}
    assert filled.secrets == {"token": Secret("hush")}
    assert "hush" not in repr(filled)


def test_what_is_left_empty_is_not_kept() -> None:
    filled, mistakes = fill(FIELDS, given_values(host="acme.example", note="", token="hush"))

    assert mistakes == {}
    assert filled.site == {"host": "acme.example", "region": "eu"}


def test_a_secret_has_the_form_that_its_connector_says() -> None:
    key = Field("key", "Key", secret=True, pattern="[a-z]+")

    assert fill([key], given_values(key="hush"))[1] == {}
    for value in ("hush#", "hush&also=this", "hush\n", "HUSH"):
        filled, mistakes = fill([key], given_values(key=value))
        assert (list(mistakes), dict(filled.secrets)) == (["fields.key"], {})


def test_every_mistake_is_told_at_once_by_its_field() -> None:
    values = given_values(host="ACME!", region="moon", note="a\nb", colour="blue", shape="round")

    filled, mistakes = fill(FIELDS, values)

    assert mistakes == {
        "fields.colour": "is not a field of this connector",
        "fields.shape": "is not a field of this connector",
        "fields.host": "does not have the form of “acme.example”",
        "fields.region": "must be one of eu, us",
        "fields.note": "must not contain control or invisible characters",
        "fields.token": "is required",
    }
    assert (filled.site, filled.secrets) == ({}, {})


def test_no_mistake_repeats_a_value() -> None:
    for value in ("hidden\0value", "hidden\x1bvalue", "hidden" * 5000, "hidden\ud800value", "hidden value"):
        _, mistakes = fill(FIELDS, given_values(host=value, region=value, note=value, token=value))
        assert mistakes.keys() >= {"fields.host", "fields.region"}
        assert "hidden" not in repr(mistakes)


def test_a_secret_may_have_lines_and_no_other_controls() -> None:
    key = Field("key", "Key", secret=True)

    assert fill([key], given_values(key="-----BEGIN-----\r\nabc\n-----END-----\n"))[1] == {}
    for value in ("a\tb", "a\0b", "a\x7fb", "a\u2028b", "a\u202eb"):
        assert fill([key], given_values(key=value))[1] == {"fields.key": "must be printable characters"}


def test_a_value_is_no_longer_than_sixteen_thousand_characters() -> None:
    note, key = Field("note", "Note"), Field("key", "Key", secret=True)
    too_long = "must not be longer than 16384 characters"

    assert fill([note, key], given_values(note="x" * 16_384, key="x" * 16_384))[1] == {}
    assert fill([note, key], given_values(note="x" * 16_385, key="x" * 16_385))[1] == {"fields.note": too_long, "fields.key": too_long}


@given(st.dictionaries(st.text(max_size=10) | st.sampled_from([field.name for field in FIELDS]), st.text(max_size=30), max_size=6))
def test_each_field_is_kept_or_told_of_and_never_both(values: dict[str, str]) -> None:
    filled, mistakes = fill(FIELDS, given_values(**values))

    kept = filled.site.keys() | filled.secrets.keys()
    told = {path.removeprefix("fields.") for path in mistakes}
    assert kept.isdisjoint(told)
    assert {name for name, value in values.items() if value} <= kept | told
    assert {"host", "token", "region"} <= kept | told


def test_what_the_provider_tells_is_not_asked_for() -> None:
    asked = fields_of(connector(option()), option(), CONSENT)

    assert [field.name for field in asked] == ["host", "region", "note", "token"]


def test_an_app_of_ones_own_is_asked_for_with_its_secret() -> None:
    asked = fields_of(connector(option()), option(), BYO)

    assert [(field.name, field.secret, field.required) for field in asked[-2:]] == [
        ("client_id", False, True),
        ("client_secret", True, True),
    ]


def test_a_public_client_needs_no_secret() -> None:
    public = option(client_authentication="none")

    asked = fields_of(connector(public), public, BYO)

    assert [(field.name, field.secret, field.required) for field in asked[-2:]] == [
        ("client_id", False, True),
        ("client_secret", True, False),
    ]


def test_scopes_may_be_left_to_the_connector() -> None:
    assert scope_mistakes(MANDATORY, None) == {}
    assert scope_mistakes(MANDATORY, ["read", "sign", "anything.else/they:have"]) == {}


def test_mandatory_scopes_must_be_among_those_asked_for() -> None:
    assert scope_mistakes(MANDATORY, ["write"]) == {"scopes": "must include read, sign"}
    assert scope_mistakes(MANDATORY, ["READ", "sign"]) == {"scopes": "must include read"}


def test_a_scope_that_cannot_be_sent_is_refused() -> None:
    for scope in ("", "a b", "a\nb", "schlüssel", "\ud800", "x" * 501):
        assert scope_mistakes(MANDATORY, ["read", "sign", scope]) == {"scopes": "must each be printable characters without spaces"}
    many = [f"scope-{number}" for number in range(199)]
    assert scope_mistakes(MANDATORY, ["read", "sign", *many]) == {"scopes": "must be at most 200"}

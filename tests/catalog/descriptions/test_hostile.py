"""Documents that were made to do harm, and whatever else may be given as one."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.catalog.defining import define
from api.catalog.descriptions.bounds import LONGEST_DOCUMENT, NotReadable
from api.catalog.descriptions.description import Draft, Hints
from api.catalog.descriptions.drafting import draft_of
from api.catalog.descriptions.reading import read_description
from api.catalog.descriptions.texts import read_document
from tests.catalog.descriptions.drafts import GUARD, draft, openapi


def refusal_of(document: str) -> str:
    with pytest.raises(NotReadable) as refused:
        read_description(document)
    return refused.value.fields["document"]


def laughs(levels: int) -> str:
    lines = ["a0: &a0 [lol, lol]"]
    lines += [f"a{level}: &a{level} [" + ", ".join([f"*a{level - 1}"] * 10) + "]" for level in range(1, levels)]
    return "\n".join(lines)


def merges(levels: int) -> str:
    lines = ["a0: &a0 {k0: 1, l0: 1}"]
    lines += [f"a{level}: &a{level} {{<<: [{', '.join([f'*a{level - 1}'] * 10)}], k{level}: 1}}" for level in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ("", "is empty: give the text of an API description"),
        (" \n\t ", "is empty: give the text of an API description"),
        ("\ufeff", "is empty: give the text of an API description"),
        ("[]", "must be one object, as OpenAPI, Swagger and Postman have it"),
        ("just a text", "must be one object, as OpenAPI, Swagger and Postman have it"),
        ("- a\n- b", "must be one object, as OpenAPI, Swagger and Postman have it"),
        ('{"a": 1', "is not JSON: line 1, column 8 is not what it should be"),
        ("a: [1, 2", "is neither JSON nor YAML: line 2 is not what it should be"),
        ("a: \x01", "is neither JSON nor YAML: it holds characters that neither has"),
        ('{"a": 1, "a": 2}', "has a key twice in one object, so nobody can tell which is meant"),
        ("a: 1\na: 2", "has a key twice in one object, so nobody can tell which is meant"),
        ("? [a, b]\n: 1", "has a YAML key that is not a text"),
        ("? {a: b}\n: 1", "has a YAML key that is not a text"),
        ("a: &x b\n? *x\n: 1", "has a YAML key that is not a text"),
        ("a: !!python/object/apply:os.system [ls]", "has a tag of YAML, such as !!python, which stands for nothing here. Take it out"),
        ("a: !secret b", "has a tag of YAML, such as !!python, which stands for nothing here. Take it out"),
        ("a: &a [*a]", "has an alias of YAML that names nothing, or itself"),
        ("a: *nothing", "has an alias of YAML that names nothing, or itself"),
        ("a: 1\n---\nb: 2", "has several YAML documents: give one"),
        ("a:\n  <<: 5", "merges (<<) what is not an object"),
        ('{"a": ' + "9" * 401 + "}", "has a number of more than 400 digits"),
        ("a: " + "9" * 401, "has a number of more than 400 digits"),
        ("{}", "is none of OpenAPI 3.0 to 3.2, Swagger 2.0, and Postman collection 2: it does not say so at its top"),
        ('{"openapi": "4.0.0"}', "is none of OpenAPI 3.0 to 3.2, Swagger 2.0, and Postman collection 2: it does not say so at its top"),
        ('{"swagger": "1.2"}', "is none of OpenAPI 3.0 to 3.2, Swagger 2.0, and Postman collection 2: it does not say so at its top"),
        ('{"info": {}, "item": []}', "is a Postman collection of another version than 2: export it as version 2.1"),
    ],
)
def test_what_is_no_description_is_refused_in_clear_words(document: str, problem: str) -> None:
    assert refusal_of(document) == problem


@pytest.mark.parametrize("depth", [250, 5_000, 200_000])
@pytest.mark.parametrize(("opening", "closing"), [('{"a":', "}"), ("[", "]")])
def test_deep_nesting_is_refused_in_json(opening: str, closing: str, depth: int) -> None:
    document = '{"openapi": "3.1.0", "x": ' + opening * depth + "1" + closing * depth + "}"

    assert refusal_of(document) == "is nested too deeply: at most 200 levels"


@pytest.mark.parametrize("depth", [250, 900, 200_000])
def test_deep_nesting_is_refused_in_yaml(depth: int) -> None:
    problem = refusal_of("openapi: 3.1.0\nx: " + "[" * depth)

    # From some depth on it is the library that refuses it.
    assert problem in ("is nested too deeply: at most 200 levels", "is neither JSON nor YAML: line 2 is not what it should be")


@pytest.mark.parametrize("bomb", [laughs(9), laughs(30), merges(9), merges(30)])
def test_aliases_that_multiply_are_refused_before_they_do(bomb: str) -> None:
    assert refusal_of(bomb) == "has too many values: at most 600,000, with all that aliases repeat"


def test_aliases_and_merges_of_people_are_read() -> None:
    text = "base: &base {type: string, maxLength: 5}\nname: {<<: *base, maxLength: 9}\nboth: [*base, *base]"

    assert read_document(text) == {
        "base": {"type": "string", "maxLength": 5},
        "name": {"type": "string", "maxLength": 9},
        "both": [{"type": "string", "maxLength": 5}, {"type": "string", "maxLength": 5}],
    }


@pytest.mark.parametrize("start", ["{", "a: "])
def test_a_document_that_is_too_long_is_refused_with_what_to_do(start: str) -> None:
    assert refusal_of(start + " " * LONGEST_DOCUMENT) == (
        "must not be longer than 16,000,000 bytes. Take out what is not about authentication, such as most schemas, and give the rest"
    )


def test_the_length_is_that_of_the_bytes() -> None:
    assert refusal_of("a: " + "é" * (LONGEST_DOCUMENT // 2)).startswith("must not be longer than 16,000,000 bytes")


@pytest.mark.parametrize("many", ["[" + "0," * 1_900_000 + "0]", "[" + "[]," * 700_000 + "0]"])
def test_more_values_than_any_description_has_are_refused(many: str) -> None:
    assert refusal_of('{"openapi": "3.1.0", "x": ' + many + "}") == "has too many values: at most 600,000, with all that aliases repeat"


@pytest.mark.parametrize(
    "reference",
    [
        "file:///etc/passwd",
        "http://169.254.169.254/latest/meta-data/",
        "https://evil.example/schemas.yaml#/User",
        "http://localhost:6379/",
        "../../etc/passwd",
        "./schemas.yaml#/User",
        "schemas.json",
        "",
    ],
)
def test_a_reference_to_another_document_is_refused_and_never_fetched(reference: str) -> None:
    document = openapi()
    document["paths"]["/me"]["get"]["responses"]["200"]["content"] = {"application/json": {"schema": {"$ref": reference}}}

    assert refusal_of(json.dumps(document)).startswith("refers to another document ($ref), and those are never fetched.")


def test_a_reference_in_the_authors_own_words_is_none() -> None:
    document = openapi()
    document["paths"]["/me"]["get"]["responses"]["200"]["content"] = {"application/json": {"example": {"$ref": "https://other.example"}}}

    assert draft(document).undecided == ()


def test_references_in_a_circle_lead_nowhere() -> None:
    document = openapi()
    schemas = {
        "A": {"$ref": "#/components/schemas/B"},
        "B": {"$ref": "#/components/schemas/A"},
        "C": {"allOf": [{"$ref": "#/components/schemas/C"}] * 20, "properties": {"user": {"$ref": "#/components/schemas/C"}}},
        "D": {"$ref": "#"},
    }
    document["components"]["schemas"] = schemas
    document["paths"] = {
        f"/{name}/me": {
            "get": {"responses": {"200": {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}}}}
        }
        for name in schemas
    }
    document["paths"]["/round"] = {"$ref": "#/paths/~1round"}

    assert draft(document).definition.verify is not None


def test_a_long_schema_that_many_operations_share_is_looked_at_so_often_and_no_more() -> None:
    document = openapi()
    document["components"]["schemas"] = {"Deep": {"allOf": [{"allOf": [{"allOf": [{}] * 20}] * 20}] * 20}}
    answer = {"200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Deep"}}}}}
    document["paths"] = {f"/a{number}": {"get": {"responses": answer}} for number in range(5_000)}

    assert "It is so large, or refers to so much, that only a part of it was looked at." in [each.message for each in draft(document).found]


def test_numbers_of_yaml_are_those_of_json_and_other_words_stay_texts() -> None:
    text = "a: 1\nb: -1.5e3\nc: true\nd: ~\ne: no\nf: 2020-01-01\ng: 0x10\nh: '1'\n200: ok\ni: 1_000\nj: .inf"

    assert read_document(text) == {
        "a": 1, "b": -1500.0, "c": True, "d": None, "e": "no", "f": "2020-01-01", "g": "0x10", "h": "1", "200": "ok", "i": "1_000",
        "j": ".inf",
    }  # fmt: skip


def test_nothing_of_a_hostile_title_is_left_that_cannot_be_seen() -> None:
    made = draft(openapi(info={"title": "Acme\u202e\x00\ud800 \n<script>" + "x" * 200}))

    assert made.definition.name.startswith("Acme <script>xxx")
    assert len(made.definition.name) == 120


# Any value at all


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)
# Where something is looked for, anything may stand.
WORDS = st.sampled_from([
    "openapi", "swagger", "info", "title", "servers", "url", "variables", "default", "enum", "security", "paths", "/me", "/users/me", "get",
    "parameters", "required", "responses", "200", "content", "application/json", "schema", "properties", "allOf", "email", "components",
    "securitySchemes", "securityDefinitions", "type", "in", "name", "scheme", "flows", "authorizationCode", "tokenUrl", "authorizationUrl",
    "scopes", "openIdConnectUrl", "$ref", "host", "basePath", "schemes", "item", "request", "auth", "header", "key", "value", "variable",
])  # fmt: skip
VALUES = st.sampled_from([
    "3.0.3", "3.1.0", "2.0", "apiKey", "http", "oauth2", "openIdConnect", "basic", "bearer", "digest", "header", "query", "cookie", "/",
    "https://api.acme.example/{a}", "https://{b}.acme.example", "http://[::1", "#/", "#/paths/~1me", "{{url}}/me", "{{a}}", "bearer {{t}}",
    "https://schema.getpostman.com/json/collection/v2.1.0/collection.json", "GET",
    "authorization_code", "Authorization", "\ud800", "{", "}",
])  # fmt: skip
SHAPED = st.recursive(
    VALUES | WORDS | st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=5),
    max_leaves=30,
)
TOPS = [
    {"openapi": "3.1.0"},
    {"openapi": "3.0.3"},
    {"swagger": "2.0"},
    {"info": {"schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"}},
]


def draft_or_refusal(document: str) -> Draft | NotReadable:
    try:
        return draft_of(read_description(document), Hints(), GUARD)
    except NotReadable as refusal:
        return refusal


@given(st.text())
def test_any_text_gives_a_draft_or_a_refusal(document: str) -> None:
    assert isinstance(draft_or_refusal(document), Draft | NotReadable)


@given(JSON)
def test_any_json_gives_a_draft_or_a_refusal(value: Any) -> None:
    assert isinstance(draft_or_refusal(json.dumps(value)), Draft | NotReadable)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.sampled_from(TOPS), st.dictionaries(WORDS, SHAPED, max_size=8))
def test_any_value_in_any_place_gives_a_draft_or_a_refusal(top: dict[str, Any], rest: dict[str, Any]) -> None:
    outcome = draft_or_refusal(json.dumps({**rest, **top}))

    assert isinstance(outcome, Draft | NotReadable)
    if isinstance(outcome, Draft):
        # What is decided can be made.
        assert outcome.undecided or define(outcome.definition, GUARD)
        # What goes into an answer must be Unicode.
        repr(outcome.definition).encode()
        repr((outcome.undecided, outcome.found)).encode()


PLAIN = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
# What is not a number of JSON, and whole numbers that are written as such.
PLAIN_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**300), 10**300) | st.floats(allow_nan=False, allow_infinity=False) | PLAIN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PLAIN.filter(lambda key: key != "<<"), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(PLAIN, PLAIN_JSON, min_size=1, max_size=4))
def test_yaml_means_what_the_same_json_means(value: dict[str, Any]) -> None:
    if "$ref" in value or "<<" in value:
        return

    assert read_document("# YAML\n" + json.dumps(value)) == value

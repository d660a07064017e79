"""Texts with names in them: each value stands where its name stood, and in a document it is one string, whatever it holds."""

import json
from xml.etree import ElementTree as XmlTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api.catalog.template import Template

HOSTILE = [
    "",
    '"',
    '","admin":true,"x":"',
    "\\",
    '\\"',
    "a\nb\r\n\tc",
    "\x00\x1f\x7f\u2028\ufeff",
    "{password}",
    "{username}{password}",
    "</wsse:Password><evil/>",
    "]]>",
    "&amp;&lt;&#60;&evil;",
    "<!--",
    "'",
    "wörd €𝄞",
]
TEXTS = st.text()
# What a form lets through: no control characters but those of lines, and none of the two that XML cannot hold.
PRINTABLE = st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters="\r\n\t", exclude_characters="\ufffe\uffff"))

JSON = [
    Template('{"user":"{username}","nested":{"list":["{password}","x {password} y"]},"id":1}'),
    Template('  \n{"user": "{username}",\n "nested": {"list": ["{password}", "x {password} y"]}}'),
    Template('{\n  "user": "{username}", "nested": {"list": ["{password}", "x {password} y"]}\n}'),
]
JSON_LISTS = [
    Template('["{username}","{password}"]'),
    Template('[{"a":"{username}"},"{password}"]'),
    Template('[["{username}"],"{password}"]'),
    Template('[ "{username}", "{password}" ]'),
]
XML = Template(
    '<?xml version="1.0" encoding="utf-8"?>\n'
    '<login xmlns="urn:x" user="{username}" again=\'{username}\'>\n<password>{password}</password><!-- {none} --></login>'
)


def test_every_name_is_filled_in_once_and_what_comes_in_is_no_template() -> None:
    template = Template("https://{subdomain}.zendesk.com/{a}/{a}?{b_1}")

    assert template.names == {"subdomain", "a", "b_1"}
    assert template.render({"subdomain": "x", "a": "{b_1}", "b_1": "{a}", "other": "y"}) == "https://x.zendesk.com/{b_1}/{b_1}?{a}"


def test_a_name_without_a_value_is_missed() -> None:
    for render in (Template("{a}").render, Template('{"x":"{a}"}').render_document, Template("<a>{a}</a>").render_document):
        with pytest.raises(KeyError):
            render({"b": "x"})


def test_other_braces_are_themselves() -> None:
    template = Template('{} {A} {1} { a } {a-b} ${x} {"a":1}')

    assert template.names == {"x"}
    assert template.render({"x": "1"}) == '{} {A} {1} { a } {a-b} $1 {"a":1}'


@pytest.mark.parametrize("text", ["{token}", "token={token}", "{token}&x", "x {token}", "", "null"])
def test_a_text_that_is_no_document_takes_values_as_they_are(text: str) -> None:
    assert Template(text).render_document({"token": 'a"<&'}) == text.replace("{token}", 'a"<&')


def read_json(template: Template, username: str, password: str) -> object:
    return json.loads(template.render_document({"username": username, "password": password}))


@given(TEXTS, TEXTS)
@example("{password}", "{username}")
@example('","admin":true,"x":"', "\\")
def test_any_value_is_one_string_of_json(username: str, password: str) -> None:
    for template in JSON:
        document = read_json(template, username, password)
        assert isinstance(document, dict)
        document.pop("id", None)
        assert document == {"user": username, "nested": {"list": [password, f"x {password} y"]}}
    expected: list[object] = [[username, password], [{"a": username}, password], [[username], password], [username, password]]
    assert [read_json(template, username, password) for template in JSON_LISTS] == expected


@given(PRINTABLE, PRINTABLE)
@example("{password}", "{username}")
@example("\"><evil x='", "</password><evil/>&evil;]]>")
def test_any_value_is_one_text_of_xml(username: str, password: str) -> None:
    login = XmlTree.fromstring(XML.render_document({"username": username, "password": password, "none": "none"}))

    assert login.attrib == {"user": username, "again": username}
    assert [element.tag for element in login.iter()] == ["{urn:x}login", "{urn:x}password"]
    assert (login[0].text or "") == password


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_stay_values(value: str) -> None:
    assert read_json(JSON_LISTS[0], value, value) == [value, value]
    filled = XML.render_document({"username": value, "password": value, "none": "none"})
    # A parser may refuse what XML cannot hold; it never reads more than one text.
    if value.isprintable():
        assert XmlTree.fromstring(filled).get("user") == value
    assert filled.count("<") == XML.text.count("<")
    assert filled.count(">") == XML.text.count(">")
    assert filled.count('"') == XML.text.count('"')

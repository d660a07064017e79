"""Finding a connector as a person would type it."""

import pytest

from api.catalog.catalog import CONNECTORS, Catalog

CATALOG = Catalog.load(CONNECTORS)


def found(text: str) -> list[str]:
    return [connector.key for connector in CATALOG.search(text)]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Salesforce", "salesforce"),
        ("SALESFORCE", "salesforce"),
        ("sálesförce", "salesforce"),
        ("sales force marketing", "salesforce-marketing-cloud"),
        ("google-sheets", "google-sheets"),
        ("googlesheets", "google-sheets"),
        ("hubspot crm", "hubspot-crm"),
        ("  act!  365 ", "act-365"),
        ("atlassian", "jira"),
        ("project management", "trello"),
    ],
)
def test_a_connector_is_found_by_words_of_its_name_vendor_and_category(text: str, key: str) -> None:
    assert key in found(text)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("salesfroce", "salesforce"),
        ("gihub", "github"),
        ("slak", "slack"),
        ("jria", "jira"),
        ("googel shets", "google-sheets"),
        ("zendeks", "zendesk"),
    ],
)
def test_small_slips_are_forgiven(text: str, key: str) -> None:
    assert key in found(text)


def test_nothing_close_is_shown_beside_what_was_meant() -> None:
    assert found("slack") == ["slack"]
    assert found("dropbox") == ["dropbox", "dropbox-business"]


def test_every_word_counts() -> None:
    assert found("zoho mail") == ["zoho-mail"]
    assert found("zoho salesforce") == []


@pytest.mark.parametrize("text", ["", " ", "!?", "\u0301"])
def test_a_text_without_a_letter_means_everything(text: str) -> None:
    assert len(found(text)) == len(CATALOG.all)


@pytest.mark.parametrize("text", ["qqqqqq", "xyz", "\0", "\ud800", "%", "a" * 320])
def test_what_means_nothing_finds_nothing_or_everything_and_never_fails(text: str) -> None:
    assert len(found(text)) in (0, len(CATALOG.all))

"""Connectors of one's own in the catalogue, in their versions, beside those of files."""

import json
from dataclasses import replace

import pytest

from api.catalog.catalog import Catalog
from api.catalog.comparing import Change, changes_between
from api.catalog.connector import Connector
from api.catalog.defining import define
from api.catalog.definition import FieldDefinition, ScopeDefinition
from api.catalog.definition_json import definition_from_json, definition_to_json
from api.errors import NotFound
from api.outbound.egress import EgressGuard
from tests.catalog.test_defining import BARE, FULL, OAUTH2

pytestmark = pytest.mark.anyio

FILE = replace(define(BARE, EgressGuard()).connector, key="file", name="From a file")


def own(version: int, name: str = "Acme", key: str = "acme") -> Connector:
    return replace(FILE, key=key, name=name, version=version)


def test_the_newest_version_is_offered_and_each_is_kept() -> None:
    catalog = Catalog([FILE])

    catalog.adopt([own(2, "Newer"), own(1), own(10, "Newest")])

    assert catalog.find("acme") == own(10, "Newest")
    assert catalog.find_version("acme", 1) == own(1)
    assert catalog.find_version("acme", 3) is None
    assert catalog.find_version("acme", None) is None
    assert [connector.name for connector in catalog.all] == ["From a file", "Newest"]
    assert [connector.key for connector in catalog.search("newest")] == ["acme"]


def test_what_is_not_adopted_again_is_gone() -> None:
    catalog = Catalog([FILE])
    catalog.adopt([own(1)])

    catalog.adopt([])

    assert catalog.find("acme") is None
    assert catalog.search("acme") == ()
    assert catalog.all == (FILE,)


def test_one_of_ones_own_is_offered_in_the_place_of_a_file_which_stays_for_those_who_have_it() -> None:
    catalog = Catalog([FILE])

    catalog.adopt([own(1, key="file")])

    assert catalog.shadowed == {"file"}
    assert catalog.find("file") == own(1, key="file")
    assert catalog.find_version("file", None) == catalog.find_file("file") == FILE


async def test_what_is_not_here_is_looked_for_once_more() -> None:
    catalog, looked = Catalog([FILE]), []

    async def look_again() -> None:
        looked.append("again")
        catalog.adopt([own(1)])

    catalog.follow(look_again)

    assert await catalog.look_up("file") == FILE
    assert looked == []
    assert await catalog.look_up("acme") == own(1)
    assert await catalog.look_up_version("acme", 1) == own(1)
    assert looked == ["again"]
    assert await catalog.look_up_version("acme", 2) is None
    with pytest.raises(NotFound):
        await catalog.look_up("nothing")


def test_a_definition_is_the_same_after_it_was_kept() -> None:
    for definition in (FULL, BARE):
        kept = json.loads(json.dumps(definition_to_json(definition)))

        assert kept == definition_to_json(definition)
        assert definition_from_json(kept) == definition


def test_every_difference_is_told_by_its_field() -> None:
    oauth2 = replace(OAUTH2, scopes=(ScopeDefinition("read"),), authorize_parameters={"access_type": "online"}, pkce=True)
    after = replace(FULL, fields=(FieldDefinition("region", "Area", pattern="[a-z0-9]+", example="eu1"),), oauth2=oauth2, verify=None)

    changes = changes_between(FULL, after)

    assert sorted(changes, key=lambda change: change.field) == [
        Change("fields.note.help", "If any.", None),
        Change("fields.note.label", "Note", None),
        Change("fields.note.required", "false", None),
        Change("fields.note.secret", "true", None),
        Change("fields.region.label", "Region", "Area"),
        Change("oauth2.authorizeParams.access_type", "offline", "online"),
        Change("oauth2.pkce", "false", "true"),
        Change("oauth2.scopes.read.description", "Read", None),
        Change("oauth2.scopes.read.mandatory", "true", "false"),
        Change("oauth2.scopes.write.default", "true", None),
        Change("oauth2.scopes.write.mandatory", "false", None),
        Change("verify.account", "user.email", None),
        Change("verify.method", "POST", None),
        Change("verify.path", "/me", None),
    ]
    assert changes_between(FULL, FULL) == ()

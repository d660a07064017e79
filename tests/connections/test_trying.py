"""A definition tried out at its provider: what each step finds, and that nothing is kept and no secret told."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

import models
from api.catalog.definition import ConnectorDefinition, FieldDefinition, OAuth2Definition, PlacementDefinition, VerifyDefinition
from api.connections import trying
from api.connections.requests import OwnApp
from api.connections.trial import Line, Outcome, Report, Step, Trial
from api.errors import Conflict, InvalidInput, PermissionDenied
from api.secret import Secret
from models import AuditOutcome, AuthenticationType
from tests.clock import HeldClock
from tests.connections.described import CLIENT_ID, CLIENT_SECRET, KEY, Vendor, vending
from tests.installation import Installation, installed

pytestmark = pytest.mark.anyio

MACHINE = AuthenticationType.OAUTH2_CLIENT_CREDENTIALS
CODE = AuthenticationType.OAUTH2_AUTHORIZATION_CODE
OWN_APP = OwnApp(CLIENT_ID, Secret(CLIENT_SECRET))
MACHINE_FIELDS = {"client_id": Secret(CLIENT_ID), "client_secret": Secret(CLIENT_SECRET)}


@pytest.fixture
async def vendor(tmp_path: Path) -> AsyncIterator[Vendor]:
    async with vending(tmp_path) as vendor:
        yield vendor


@pytest.fixture
async def here(vendor: Vendor, sqlite_url: str, tmp_path: Path) -> AsyncIterator[Installation]:
    async with installed(sqlite_url, tmp_path, HeldClock(), **vendor.settings) as installation:
        yield installation


def key_of(vendor: Vendor, **changes: Any) -> ConnectorDefinition:
    usual = ConnectorDefinition(
        key="acme",
        name="Acme",
        base_url=f"{vendor.origin}/api",
        verify=VerifyDefinition("/me", account="email"),
        api_key=PlacementDefinition(name="X-Key", format="{token}"),
    )
    return replace(usual, **changes)


def oauth_of(vendor: Vendor, *grants: AuthenticationType, **changes: Any) -> ConnectorDefinition:
    usual = OAuth2Definition(
        grants=grants,
        token_url=f"{vendor.origin}/token",
        authorize_url=f"{vendor.origin}/authorize" if CODE in grants else None,
        revoke_url=f"{vendor.origin}/revoke",
        issuer=vendor.origin if CODE in grants else None,
    )
    return key_of(vendor, api_key=None, oauth2=replace(usual, **changes))


async def tried(here: Installation, definition: ConnectorDefinition, **more: Any) -> Report:
    return await here.patchbay.trying.test(here.ada, Trial(definition, **more))


def outcomes(report: Report) -> dict[str, str]:
    return {line.step.value: line.outcome.value for line in report.lines}


def line_of(report: Report, step: Step) -> Line:
    (line,) = [line for line in report.lines if line.step is step]
    return line


async def test_a_key_that_works_is_told_line_by_line(here: Installation, vendor: Vendor) -> None:
    report = await tried(here, key_of(vendor), fields={"api_key": Secret(KEY)})

    assert report.works
    assert report.lines == (
        Line(Step.DEFINITION, Outcome.OK, "The definition has no mistake."),
        Line(Step.VERIFY, Outcome.OK, "Acme took the credential, and its answer names an account."),
        Line(Step.VERIFY_REFUSES, Outcome.OK, "Acme refuses a credential that cannot exist."),
    )


async def test_a_key_that_is_refused_fails_with_what_to_look_at(here: Installation, vendor: Vendor) -> None:
    report = await tried(here, key_of(vendor), fields={"api_key": Secret("another-key-canary")})

    assert not report.works
    line = line_of(report, Step.VERIFY)
    assert line.outcome is Outcome.FAILED
    assert line.remedy == "Look at the values that were given, and at how the definition says that they are sent."


async def test_without_a_credential_only_what_needs_none_is_tried(here: Installation, vendor: Vendor) -> None:
    report = await tried(here, key_of(vendor))

    assert report.works
    assert outcomes(report) == {"DEFINITION": "OK", "VERIFY": "SKIPPED", "VERIFY_REFUSES": "OK"}


async def test_a_verify_request_that_anybody_is_answered_proves_nothing(here: Installation, vendor: Vendor) -> None:
    report = await tried(here, key_of(vendor, verify=VerifyDefinition("/open")), fields={"api_key": Secret(KEY)})

    assert not report.works
    assert outcomes(report) == {"DEFINITION": "OK", "VERIFY": "OK", "VERIFY_REFUSES": "FAILED"}
    assert line_of(report, Step.VERIFY_REFUSES).message == "Acme answers the verify request to anybody."


async def test_a_verify_request_that_is_not_there_fails(here: Installation, vendor: Vendor) -> None:
    report = await tried(here, key_of(vendor, verify=VerifyDefinition("/gone")), fields={"api_key": Secret(KEY)})

    assert outcomes(report) == {"DEFINITION": "OK", "VERIFY": "FAILED", "VERIFY_REFUSES": "WARNING"}
    assert line_of(report, Step.VERIFY).message == "Acme answered with an error of its own. (HTTP 404)"


async def test_an_account_that_is_not_where_it_is_looked_for_is_a_warning(here: Installation, vendor: Vendor) -> None:
    report = await tried(here, key_of(vendor, verify=VerifyDefinition("/me", account="user.login")), fields={"api_key": Secret(KEY)})

    assert report.works
    assert outcomes(report)["VERIFY"] == "WARNING"


async def test_a_definition_without_a_verify_request_is_warned_about(here: Installation, vendor: Vendor) -> None:
    report = await tried(here, key_of(vendor, verify=None), fields={"api_key": Secret(KEY)})

    assert outcomes(report) == {"DEFINITION": "OK", "VERIFY": "WARNING"}
    assert vendor.asked == []


async def test_client_credentials_are_exchanged_verified_and_given_back(here: Installation, vendor: Vendor) -> None:
    report = await tried(here, oauth_of(vendor, MACHINE), fields=MACHINE_FIELDS)

    assert report.works
    assert outcomes(report) == {
        "DEFINITION": "OK",
        "DISCOVERY": "SKIPPED",
        "TOKEN_ENDPOINT": "OK",
        "TOKEN": "OK",
        "VERIFY": "OK",
        "VERIFY_REFUSES": "OK",
    }
    assert vendor.revoked == vendor.tokens
    assert len(vendor.tokens) == 1


async def test_a_client_that_is_refused_fails_at_the_token(here: Installation, vendor: Vendor) -> None:
    fields = {"client_id": Secret(CLIENT_ID), "client_secret": Secret("another-secret-canary")}

    report = await tried(here, oauth_of(vendor, MACHINE), fields=fields)

    assert not report.works
    assert (outcomes(report)["TOKEN"], outcomes(report)["VERIFY"]) == ("FAILED", "SKIPPED")
    assert line_of(report, Step.TOKEN).message.endswith("(invalid_client)")
    assert vendor.tokens == []


async def test_consent_is_tried_as_far_as_it_goes_without_a_person(here: Installation, vendor: Vendor) -> None:
    report = await tried(here, oauth_of(vendor, CODE), own_app=OWN_APP)

    assert report.works
    assert outcomes(report) == {
        "DEFINITION": "OK",
        "DISCOVERY": "OK",
        "AUTHORIZE_ENDPOINT": "OK",
        "PKCE": "OK",
        "TOKEN_ENDPOINT": "OK",
        "CLIENT": "OK",
        "TOKEN": "SKIPPED",
        "VERIFY": "SKIPPED",
        "VERIFY_REFUSES": "OK",
    }


async def test_without_an_app_the_endpoints_are_asked_as_somebody_who_cannot_exist(here: Installation, vendor: Vendor) -> None:
    report = await tried(here, oauth_of(vendor, CODE))

    assert report.works
    assert (outcomes(report)["AUTHORIZE_ENDPOINT"], outcomes(report)["CLIENT"]) == ("OK", "SKIPPED")
    assert line_of(report, Step.TOKEN_ENDPOINT).message == (
        "It answers as a token endpoint, and refuses a client that cannot exist (invalid_client)."
    )


async def test_an_app_with_a_wrong_secret_fails(here: Installation, vendor: Vendor) -> None:
    report = await tried(here, oauth_of(vendor, CODE), own_app=OwnApp(CLIENT_ID, Secret("another-secret-canary")))

    assert not report.works
    assert outcomes(report)["CLIENT"] == "FAILED"


@pytest.mark.parametrize(
    ("metadata", "outcome", "message"),
    [
        ({"token_endpoint": "TOKEN2"}, "WARNING", "The server describes itself with another token URL."),
        (
            {"issuer": "https://another.example"},
            "WARNING",
            "The authorization server does not describe itself: what is there names another issuer than the one whose address it is.",
        ),
        (
            {"token_endpoint": "http://169.254.169.254/token"},
            "WARNING",
            "The authorization server does not describe itself: its token_endpoint cannot be used: "
            "http://169.254.169.254 is not called: only https is allowed.",
        ),
        ({}, "OK", "The server describes itself with the same addresses."),
    ],
)
async def test_what_the_server_says_of_itself_is_held_against_the_definition(
    here: Installation, vendor: Vendor, metadata: dict[str, str], outcome: str, message: str
) -> None:
    vendor.metadata = {name: value.replace("TOKEN2", f"{vendor.origin}/token2") for name, value in metadata.items()}

    line = line_of(await tried(here, oauth_of(vendor, CODE)), Step.DISCOVERY)

    assert (line.outcome, line.message) == (outcome, message)


@pytest.mark.parametrize(
    ("methods", "pkce", "own_app", "outcome"),
    [
        (["S256", "plain"], True, None, "OK"),
        (["S256"], False, None, "WARNING"),
        (["plain"], True, None, "WARNING"),
        (None, True, None, "SKIPPED"),
        (None, True, OWN_APP, "OK"),
        (None, False, None, "SKIPPED"),
    ],
)
async def test_pkce_is_told_by_the_server_or_tried_with_an_app(
    here: Installation, vendor: Vendor, methods: list[str] | None, pkce: bool, own_app: OwnApp | None, outcome: str
) -> None:
    vendor.metadata = {"code_challenge_methods_supported": methods}
    vendor.answers = {"/authorize": PlainTextResponse("Do you allow it?")}

    report = await tried(here, oauth_of(vendor, CODE, pkce=pkce), own_app=own_app)

    assert outcomes(report)["PKCE"] == outcome


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (RedirectResponse("/login"), "OK"),
        (PlainTextResponse("x" * 2_100_000), "OK"),
        (Response(status_code=404), "FAILED"),
        (Response(status_code=503), "FAILED"),
        (Response(status_code=400), "OK"),
    ],
)
async def test_the_page_for_consent_is_looked_for(here: Installation, vendor: Vendor, answer: Response, outcome: str) -> None:
    vendor.answers = {"/authorize": answer}

    assert outcomes(await tried(here, oauth_of(vendor, CODE)))["AUTHORIZE_ENDPOINT"] == outcome


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (JSONResponse({"error": "unsupported_grant_type"}, 400), "OK"),
        (JSONResponse({"error": "invalid_request"}, 400), "OK"),
        (PlainTextResponse("<html>", 404), "FAILED"),
        (PlainTextResponse("<html>", 200), "WARNING"),
        (JSONResponse({"access_token": "for-anybody", "token_type": "Bearer"}), "FAILED"),
    ],
)
async def test_the_token_endpoint_must_answer_as_one(here: Installation, vendor: Vendor, answer: Response, outcome: str) -> None:
    vendor.answers = {"/token": answer}

    assert outcomes(await tried(here, oauth_of(vendor, MACHINE)))["TOKEN_ENDPOINT"] == outcome


async def test_a_provider_that_cannot_be_reached_fails_each_step(here: Installation, vendor: Vendor) -> None:
    definition = oauth_of(vendor, MACHINE, token_url="https://nowhere.invalid/token", revoke_url=None)

    report = await tried(here, replace(definition, base_url="https://nowhere.invalid"), fields=MACHINE_FIELDS)

    assert not report.works
    assert (outcomes(report)["TOKEN_ENDPOINT"], outcomes(report)["TOKEN"]) == ("FAILED", "FAILED")


async def test_what_takes_too_long_is_told_with_what_was_found_until_then(
    here: Installation, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trying, "_PATIENCE_SECONDS", 0.01)
    vendor.silent = {"/token"}

    report = await tried(here, oauth_of(vendor, MACHINE))

    assert not report.works
    line = line_of(report, Step.TOKEN_ENDPOINT)
    assert (line.outcome, line.message) == (Outcome.FAILED, "It took longer than 0.01 s, so not everything was tried.")


# What is refused


async def test_a_definition_with_mistakes_is_refused_as_when_it_is_made_and_nobody_is_asked(here: Installation, vendor: Vendor) -> None:
    with pytest.raises(InvalidInput) as refused:
        await tried(here, key_of(vendor, base_url="http://acme.example", key="Not A Key"))

    assert set(refused.value.fields) == {"baseUrl", "key"}
    assert vendor.asked == []


@pytest.mark.parametrize(
    ("more", "fields"),
    [
        ({"type": AuthenticationType.BASIC}, {"authenticationType"}),
        ({"fields": {"other": Secret("x")}}, {"fields.other"}),
        ({"own_app": OwnApp("x")}, {"oauthApp"}),
        ({"own_app": OwnApp("", Secret(""))}, {"oauthApp", "oauthApp.clientId", "oauthApp.clientSecret"}),
    ],
)
async def test_values_that_the_form_does_not_take_are_refused(
    here: Installation, vendor: Vendor, more: dict[str, Any], fields: set[str]
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await tried(here, key_of(vendor), **more)

    assert set(refused.value.fields) == fields
    assert vendor.asked == []


async def test_what_the_address_depends_on_must_be_given(here: Installation, vendor: Vendor) -> None:
    tenant = FieldDefinition("tenant", "Tenant", pattern="[a-z]+", example="acme")
    definition = key_of(vendor, base_url=f"{vendor.origin}/{{tenant}}", fields=(tenant,), verify=VerifyDefinition("/me"))

    with pytest.raises(InvalidInput) as refused:
        await tried(here, definition)
    report = await tried(here, definition, fields={"tenant": Secret("api"), "api_key": Secret(KEY)})

    assert refused.value.fields == {"fields.tenant": "is required"}
    assert report.works


async def test_who_may_not_manage_connectors_may_not_try(here: Installation, vendor: Vendor) -> None:
    ben = await here.add_person("Ben")

    with pytest.raises(PermissionDenied):
        await here.patchbay.trying.test(ben, Trial(key_of(vendor)))

    assert vendor.asked == []


async def test_an_address_that_is_not_public_is_not_called(here: Installation, vendor: Vendor) -> None:
    with pytest.raises(InvalidInput) as refused:
        await tried(here, key_of(vendor, base_url="https://127.0.0.1/api"))

    assert refused.value.fields == {"baseUrl": "its address is not public"}


async def test_a_name_that_leads_inside_is_not_called(here: Installation, vendor: Vendor) -> None:
    inside = "https://localhost/api"

    report = await tried(here, key_of(vendor, base_url=inside), fields={"api_key": Secret(KEY)})

    assert not report.works
    assert line_of(report, Step.VERIFY).message.startswith("The address of Acme is not one that Patchbay may call")
    assert vendor.asked == []


async def test_one_person_tries_so_often_and_no_more(here: Installation, vendor: Vendor) -> None:
    for _ in range(10):
        await tried(here, key_of(vendor, verify=None))

    with pytest.raises(Conflict):
        await tried(here, key_of(vendor))

    assert vendor.asked == []


async def test_nothing_is_kept_but_that_it_was_tried(here: Installation, vendor: Vendor) -> None:
    report = await tried(here, oauth_of(vendor, MACHINE), fields=MACHINE_FIELDS)

    entry = await models.AuditEntry.get(action="connector.test")
    assert (entry.outcome, entry.subject_id, entry.subject_name) == (AuditOutcome.DONE, "acme", "Acme")
    assert entry.detail == ("DEFINITION: OK, DISCOVERY: SKIPPED, TOKEN_ENDPOINT: OK, TOKEN: OK, VERIFY: OK, VERIFY_REFUSES: OK")
    assert await models.Connection.all().count() == await models.Credential.all().count() == 0
    told = repr(report)
    assert not [secret for secret in (CLIENT_SECRET, *vendor.tokens) if secret in told]

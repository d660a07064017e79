"""Whose fault it is: each answer that a provider may give, and what it means for a connection."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from api.catalog.catalog import CONNECTORS, Catalog
from api.catalog.connector import Connector, Option
from api.catalog.grant import Blame, Grant
from api.catalog.template import Template
from api.connections.attribution import failure_of, reason_of_callback
from api.connections.provider import Provider
from api.oauth.answers import parse_token_answer
from api.oauth.errors import ServerRefused, TokenError
from api.oauth.tokens import AuthorizationServer
from api.outbound.egress import EgressRefused, OutboundError
from api.outbound.http import Answer
from models import AuthenticationType, Fixer, StatusReasonCode

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
SERVER = AuthorizationServer("https://provider.example/token")
OPTION = Option(
    "consent",
    AuthenticationType.OAUTH2_AUTHORIZATION_CODE,
    "Sign in",
    grant=Grant(
        Template("https://provider.example/token"), errors={"token_limit": Blame.BUSY, "no_seat": Blame.PERSON, "gone": Blame.GRANT}
    ),
)
ACME = Provider(Connector("acme", "Acme", "crm", Template("https://api.acme.example"), (OPTION,)), OPTION, {})
CALLBACK = "https://patchbay.example/provisioning_/callback/acme"

DEAD = ("REAUTHENTICATION_REQUIRED", "CONNECTION_OWNER", False)
APP = ("INVALID_CLIENT", "APP_OWNER", False)
REDIRECT = ("REDIRECT_URI_MISMATCH", "APP_OWNER", False)
# Status, body: code, fixer, may be tried again, the provider's error.
ANSWERS = [
    (400, '{"error": "invalid_grant"}', (*DEAD, "invalid_grant")),
    (401, '{"error": "invalid_grant"}', (*DEAD, "invalid_grant")),
    (200, '{"ok": false, "error": "token_revoked"}', (*DEAD, "token_revoked")),
    (200, '{"ok": false, "error": "invalid_refresh_token"}', (*DEAD, "invalid_refresh_token")),
    (200, '{"error": "bad_refresh_token"}', (*DEAD, "bad_refresh_token")),
    (200, '{"error": "bad_verification_code"}', (*DEAD, "bad_verification_code")),
    (400, '{"error": "expired_token"}', (*DEAD, "expired_token")),
    (401, '{"error": "invalid_client"}', (*APP, "invalid_client")),
    (400, '{"error": "invalid_client_id"}', (*APP, "invalid_client_id")),
    (400, '{"error": "unauthorized_client"}', (*APP, "unauthorized_client")),
    (200, '{"ok": false, "error": "bad_client_secret"}', (*APP, "bad_client_secret")),
    (200, '{"error": "incorrect_client_credentials"}', (*APP, "incorrect_client_credentials")),
    (401, "{}", (*APP, "HTTP 401")),
    (400, '{"error": "redirect_uri_mismatch"}', (*REDIRECT, "redirect_uri_mismatch")),
    (200, '{"ok": false, "error": "bad_redirect_uri"}', (*REDIRECT, "bad_redirect_uri")),
    (
        400,
        '{"error": "invalid_grant", "error_description": "redirect_uri must match configuration"}',
        (*REDIRECT, "invalid_grant"),
    ),
    (
        400,
        '{"error": "invalid_request", "error_description": "The Redirect URI is not known."}',
        (*REDIRECT, "invalid_request"),
    ),
    (400, '{"error": "invalid_scope"}', ("INSUFFICIENT_SCOPES", "CONNECTION_OWNER", False, "invalid_scope")),
    (403, '{"error": "insufficient_scope"}', ("INSUFFICIENT_SCOPES", "CONNECTION_OWNER", False, "insufficient_scope")),
    (403, '{"error": "access_denied"}', ("ACCESS_DENIED", "CONNECTION_OWNER", False, "access_denied")),
    (400, '{"error": "interaction_required"}', ("ACCESS_DENIED", "CONNECTION_OWNER", False, "interaction_required")),
    (400, '{"error": "temporarily_unavailable"}', ("PROVIDER_ERROR", "NOBODY", True, "temporarily_unavailable")),
    (200, '{"ok": false, "error": "ratelimited"}', ("RATE_LIMITED", "NOBODY", True, None)),
    (400, '{"error": "slow_down"}', ("RATE_LIMITED", "NOBODY", True, None)),
    (400, '{"error": "429"}', ("PROVIDER_ERROR", "OPERATOR", True, "429")),
    (400, '{"error": "invalid_request"}', ("PROVIDER_ERROR", "OPERATOR", True, "invalid_request")),
    (400, '{"error": "unsupported_grant_type"}', ("PROVIDER_ERROR", "OPERATOR", True, "unsupported_grant_type")),
    (400, '{"error": "a_code_of_their_own"}', ("PROVIDER_ERROR", "OPERATOR", True, "a_code_of_their_own")),
    (400, "{}", ("PROVIDER_ERROR", "OPERATOR", True, "HTTP 400")),
    (429, '{"error": "slow_down"}', ("RATE_LIMITED", "NOBODY", True, None)),
    (429, '{"error": "invalid_grant"}', ("RATE_LIMITED", "NOBODY", True, None)),
    (500, '{"error": "invalid_grant"}', ("PROVIDER_ERROR", "NOBODY", True, "invalid_grant")),
    (503, "Service Unavailable", ("PROVIDER_ERROR", "NOBODY", True, "HTTP 503")),
    (302, "", ("PROVIDER_ERROR", "NOBODY", True, "HTTP 302")),
    (401, "<html>Sign in</html>", ("PROVIDER_ERROR", "NOBODY", True, "HTTP 401")),
    (200, "<html>Maintenance</html>", ("PROVIDER_ERROR", "NOBODY", True, "HTTP 200")),
    (200, '{"token_type": "bearer"}', ("PROVIDER_ERROR", "OPERATOR", True, None)),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "expected"), ANSWERS, ids=[f"{status} {body}" for status, body, _ in ANSWERS])
def test_an_answer_names_who_must_do_what(status: int, body: str, expected: tuple[str, str, bool, str | None]) -> None:
    failure = failure_of(refusal(status, body), ACME, redirect_uri=CALLBACK)

    reason = failure.reason
    assert (reason.code, reason.fixable_by, failure.retryable, reason.provider_error) == expected
    assert "Acme" in reason.message
    assert reason.remedy.endswith((".", CALLBACK))
    assert (failure.message, failure.remedy) == (reason.message, reason.remedy)


def test_a_client_that_is_not_recognised_is_the_app_that_a_person_brought() -> None:
    option = replace(OPTION, type=AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP)

    failure = failure_of(refusal(401, "{}"), replace(ACME, option=option))

    assert failure.reason.code is StatusReasonCode.INVALID_CLIENT


def overrides() -> list[tuple[Provider, str, Blame]]:
    """Every code of which a connector says what its provider means by it."""
    catalog = Catalog.load(CONNECTORS)
    options = [(connector, option) for connector in catalog.all for option in connector.options if option.grant is not None]
    return [
        (Provider(connector, option, {}), code, blame)
        for connector, option in options
        for code, blame in (option.grant.errors if option.grant else {}).items()
    ]


MEANT = {
    Blame.APP: ("INVALID_CLIENT", False),
    Blame.GRANT: ("REAUTHENTICATION_REQUIRED", False),
    Blame.SCOPE: ("INSUFFICIENT_SCOPES", False),
    Blame.PERSON: ("ACCESS_DENIED", False),
    Blame.BUSY: ("RATE_LIMITED", True),
}


def test_what_the_connectors_that_come_along_say_of_a_code_is_what_it_means() -> None:
    found = overrides()

    seen = [failure_of(ServerRefused(400, error=code), provider) for provider, code, _ in found]

    assert [(failure.reason.code, failure.retryable) for failure in seen] == [MEANT[blame] for _, _, blame in found]
    assert {blame for _, _, blame in found} >= {Blame.APP, Blame.GRANT, Blame.BUSY}


@pytest.mark.parametrize("error", sorted({"access_denied", "user_denied", "consent_required", "login_required"}))
def test_a_consent_that_was_refused_is_the_persons(error: str) -> None:
    reason = reason_of_callback("Acme", error, CALLBACK)

    assert (reason.code, reason.fixable_by, reason.provider_error) == (StatusReasonCode.ACCESS_DENIED, Fixer.CONNECTION_OWNER, error)


@pytest.mark.parametrize(
    ("error", "code", "cleaned"),
    [
        ("", "PROVIDER_ERROR", "error"),
        ("redirect_uri_mismatch", "REDIRECT_URI_MISMATCH", "redirect_uri_mismatch"),
        ("invalid_scope", "INSUFFICIENT_SCOPES", "invalid_scope"),
        ("unauthorized_client", "INVALID_CLIENT", "unauthorized_client"),
        ("<script>alert(1)</script>\r\n", "PROVIDER_ERROR", "script_alert_1_script"),
        ("x" * 10_000, "PROVIDER_ERROR", "x" * 64),
    ],
)
def test_what_a_browser_brought_is_cleaned_and_attributed(error: str, code: str, cleaned: str) -> None:
    reason = reason_of_callback("Acme", error, CALLBACK)

    assert (reason.code, reason.provider_error) == (code, cleaned)


def test_a_redirect_mismatch_names_the_url_to_register() -> None:
    reason = reason_of_callback("Acme", "redirect_uri_mismatch", CALLBACK)

    assert reason.remedy == f"Register exactly this callback URL with the app: {CALLBACK}"


def test_no_answer_is_the_providers_trouble() -> None:
    failure = failure_of(OutboundError("https://acme.example", "No answer came."), ACME)

    assert (failure.reason.code, failure.reason.fixable_by, failure.retryable) == ("PROVIDER_UNREACHABLE", "NOBODY", True)


def test_an_address_that_may_not_be_called_is_not_tried_again() -> None:
    failure = failure_of(EgressRefused("https://acme.example", "it is not public"), ACME)

    assert (failure.reason.code, failure.reason.fixable_by, failure.retryable) == ("PROVIDER_UNREACHABLE", "CONNECTION_OWNER", False)


def test_a_wish_for_a_pause_is_passed_on() -> None:
    for status in (400, 429, 503):
        failure = failure_of(refusal(status, "{}", retry_after="120"), ACME)

        assert failure.retry_after == timedelta(minutes=2)


def test_no_description_of_a_provider_is_repeated() -> None:
    body = '{"error": "invalid_grant", "error_description": "Mallory wrote this."}'

    failure = failure_of(refusal(400, body), ACME)

    assert "Mallory" not in repr((failure.reason, failure.message, failure.remedy))


def refusal(status: int, body: str, *, retry_after: str | None = None) -> TokenError:
    """What the client makes of an answer."""
    headers = {"Content-Type": "application/json"} | ({} if retry_after is None else {"Retry-After": retry_after})
    with pytest.raises(TokenError) as error:
        parse_token_answer(Answer(status, headers, body.encode()), SERVER, NOW)
    return error.value


@pytest.mark.parametrize(
    ("code", "reason", "retryable"),
    [
        ("token_limit", StatusReasonCode.RATE_LIMITED, True),
        ("no_seat", StatusReasonCode.ACCESS_DENIED, False),
        ("gone", StatusReasonCode.REAUTHENTICATION_REQUIRED, False),
    ],
)
def test_what_the_connector_says_of_a_code_goes_before_what_it_usually_means(code: str, reason: StatusReasonCode, retryable: bool) -> None:
    failure = failure_of(refusal(400, f'{{"error": "{code}"}}'), ACME)

    assert (failure.reason.code, failure.retryable) == (reason, retryable)

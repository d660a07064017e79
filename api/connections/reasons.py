"""The words for what is wrong: one function a cause. Each says what happened, what to do about it, and who can."""

from collections.abc import Sequence
from datetime import datetime

from api.errors import PatchbayError, PolicyViolation
from models import Fixer, StatusReason, StatusReasonCode


def provider_unreachable(provider: str) -> StatusReason:
    return StatusReason(
        StatusReasonCode.PROVIDER_UNREACHABLE,
        f"{provider} could not be reached.",
        "Nothing to do: Patchbay goes on trying.",
        Fixer.NOBODY,
    )


def address_refused(provider: str) -> StatusReason:
    return StatusReason(
        StatusReasonCode.PROVIDER_UNREACHABLE,
        f"The address of {provider} is not one that Patchbay may call: it is not public, or not https.",
        "Correct the host in the connection's fields; an operator can allow a private host by name in PATCHBAY_EGRESS_ALLOW.",
        Fixer.CONNECTION_OWNER,
    )


def provider_error(provider: str, error: str | None = None) -> StatusReason:
    return StatusReason(
        StatusReasonCode.PROVIDER_ERROR,
        f"{provider} answered with an error of its own.",
        "Nothing to do: Patchbay goes on trying.",
        Fixer.NOBODY,
        error,
    )


def refused(provider: str, error: str | None = None) -> StatusReason:
    return StatusReason(
        StatusReasonCode.PROVIDER_ERROR,
        f"{provider} refused the request, for a reason of its own.",
        f"Look up the error code in the documentation of {provider}; if it says nothing, tell an operator.",
        Fixer.OPERATOR,
        error,
    )


def ambiguous_account(provider: str, field: str | None, offered: Sequence[str]) -> StatusReason:
    choices = ", ".join(offered)
    return StatusReason(
        StatusReasonCode.ACCOUNT_MISMATCH,
        f"The consent covers several accounts at {provider}, and none was chosen.",
        f"Connect again with the field “{field}” set to one of: {choices}."
        if field and choices
        else "Connect again, with one account only.",
        Fixer.CONNECTION_OWNER,
    )


def unusable_answer(provider: str) -> StatusReason:
    return StatusReason(
        StatusReasonCode.PROVIDER_ERROR,
        f"{provider} answered in a form that is no credential.",
        "Check that the address is the right one; if it is, tell an operator.",
        Fixer.OPERATOR,
    )


def rate_limited(provider: str) -> StatusReason:
    return StatusReason(
        StatusReasonCode.RATE_LIMITED,
        f"{provider} asked for fewer requests.",
        "Nothing to do: Patchbay waits for as long as it was asked to, and tries again.",
        Fixer.NOBODY,
    )


def reauthentication_required(provider: str, error: str | None = None) -> StatusReason:
    return StatusReason(
        StatusReasonCode.REAUTHENTICATION_REQUIRED,
        f"{provider} no longer accepts this connection: the consent was withdrawn, has ended, or was replaced.",
        "Reconnect, and sign in again.",
        Fixer.CONNECTION_OWNER,
        error,
    )


def interrupted_refresh(provider: str, error: str | None = None) -> StatusReason:
    return StatusReason(
        StatusReasonCode.REAUTHENTICATION_REQUIRED,
        f"{provider} no longer accepts this connection: an earlier refresh was interrupted after its token was used up.",
        "Reconnect, and sign in again.",
        Fixer.CONNECTION_OWNER,
        error,
    )


def expires_frequently(provider: str, days: int, error: str | None = None) -> StatusReason:
    return StatusReason(
        StatusReasonCode.EXPIRES_FREQUENTLY,
        f"{provider} ended this connection again, {_days(days)} after the last consent.",
        "Ask the owner of the OAuth app to look at it: apps in testing, and short limits on refresh tokens or sessions set at "
        f"{provider}, end consents early. Then reconnect.",
        Fixer.APP_OWNER,
        error,
    )


def no_refresh_token(provider: str) -> StatusReason:
    return StatusReason(
        StatusReasonCode.NO_REFRESH_TOKEN,
        f"The access token has ended, and {provider} gave no refresh token with it.",
        "Reconnect; to keep the connection alive from then on, let the OAuth app or the scopes allow refresh tokens (offline access).",
        Fixer.CONNECTION_OWNER,
    )


def invalid_client(provider: str, error: str | None = None) -> StatusReason:
    return StatusReason(
        StatusReasonCode.INVALID_CLIENT,
        f"{provider} does not accept the OAuth app: its client id or client secret is wrong, or the app was deleted or disabled.",
        f"Compare the client id with the one at {provider}, and give the app a new client secret.",
        Fixer.APP_OWNER,
        error,
    )


def client_secret_expired(provider: str, ended_at: datetime, error: str | None = None) -> StatusReason:
    return StatusReason(
        StatusReasonCode.INVALID_CLIENT,
        f"{provider} does not accept the OAuth app: its client secret ended on {ended_at:%Y-%m-%d}.",
        f"Make a new client secret at {provider}, and give it to the app.",
        Fixer.APP_OWNER,
        error,
    )


def client_secret_missing(provider: str) -> StatusReason:
    return StatusReason(
        StatusReasonCode.INVALID_CLIENT,
        f"The OAuth app has another client id now, and not yet the client secret that {provider} has for it.",
        "Give the app its new client secret.",
        Fixer.APP_OWNER,
    )


def app_deleted() -> StatusReason:
    return StatusReason(
        StatusReasonCode.INVALID_CLIENT,
        "The OAuth app that this consent was for was deleted.",
        "Begin again, with another app.",
        Fixer.APP_OWNER,
    )


def connector_deleted(name: str) -> StatusReason:
    return StatusReason(
        StatusReasonCode.ACCESS_DENIED,
        f"The connector {name} was deleted.",
        "Ask who manages connectors whether there is another one.",
        Fixer.OPERATOR,
    )


def redirect_uri_mismatch(provider: str, redirect_uri: str, error: str | None = None) -> StatusReason:
    return StatusReason(
        StatusReasonCode.REDIRECT_URI_MISMATCH,
        f"The OAuth app at {provider} does not have Patchbay's callback URL.",
        f"Register exactly this callback URL with the app: {redirect_uri}",
        Fixer.APP_OWNER,
        error,
    )


def access_denied(provider: str, error: str | None = None) -> StatusReason:
    return StatusReason(
        StatusReasonCode.ACCESS_DENIED,
        f"The consent at {provider} was refused.",
        f"Connect again and allow the access; if {provider} refused it for you, ask your administrator there to allow the app.",
        Fixer.CONNECTION_OWNER,
        error,
    )


def insufficient_scopes(provider: str, missing: Sequence[str], error: str | None = None) -> StatusReason:
    named = ", ".join(missing)
    return StatusReason(
        StatusReasonCode.INSUFFICIENT_SCOPES,
        f"{provider} did not grant what this connection needs: {named}." if named else f"{provider} refused the scopes asked for.",
        "Connect again and allow all of it; the OAuth app must have these scopes too.",
        Fixer.CONNECTION_OWNER,
        error,
    )


def credential_rejected(provider: str) -> StatusReason:
    return StatusReason(
        StatusReasonCode.CREDENTIAL_REJECTED,
        f"{provider} rejects this credential: it is wrong, was revoked, or may not do what is asked.",
        "Reconnect with a credential that works.",
        Fixer.CONNECTION_OWNER,
    )


def unusable_key(error: PatchbayError) -> StatusReason:
    return StatusReason(StatusReasonCode.CREDENTIAL_REJECTED, error.message, error.remedy or "", Fixer.CONNECTION_OWNER)


def account_mismatch(provider: str) -> StatusReason:
    return StatusReason(
        StatusReasonCode.ACCOUNT_MISMATCH,
        f"Another account is signed in at {provider} than the one of this connection.",
        "Sign in there with the same account, or allow the change of account.",
        Fixer.CONNECTION_OWNER,
    )


def callback_refused(provider: str) -> StatusReason:
    return StatusReason(
        StatusReasonCode.PROVIDER_ERROR,
        f"The answer that came back does not belong to {provider}.",
        "Begin again; if it happens again, tell an operator.",
        Fixer.OPERATOR,
    )


def ours(message: str, remedy: str | None) -> StatusReason:
    """What stopped a consent on our own side, after the provider had agreed."""
    return StatusReason(StatusReasonCode.ACCESS_DENIED, message, remedy or "Begin again.", Fixer.CONNECTION_OWNER)


def disallowed(violation: PolicyViolation) -> StatusReason:
    return StatusReason(StatusReasonCode.DISALLOWED_BY_POLICY, violation.message, violation.remedy or "", Fixer.OPERATOR)


def disabled_by_user() -> StatusReason:
    return StatusReason(
        StatusReasonCode.DISABLED_BY_USER,
        "This connection was switched off.",
        "Enable it to use it again.",
        Fixer.CONNECTION_OWNER,
    )


def secret_unreadable() -> StatusReason:
    return StatusReason(
        StatusReasonCode.SECRET_UNREADABLE,
        "The stored credential cannot be opened with the keys of this installation.",
        "Start with the key ring that sealed it, or reconnect.",
        Fixer.OPERATOR,
    )


def internal_error() -> StatusReason:
    return StatusReason(
        StatusReasonCode.INTERNAL_ERROR,
        "Patchbay fails at this connection, for a reason of its own.",
        "Look in the log for “connection not looked after” with its id, and report what it says there. It is tried again each hour.",
        Fixer.OPERATOR,
    )


def connector_gone(connector_key: str) -> StatusReason:
    return StatusReason(
        StatusReasonCode.PROVIDER_ERROR,
        f"The connector “{connector_key}” is not in this installation.",
        "Add the connector again, or delete the connection.",
        Fixer.OPERATOR,
    )


def _days(days: int) -> str:
    match days:
        case 0:
            return "less than a day"
        case 1:
            return "a day"
        case _:
            return f"{days} days"

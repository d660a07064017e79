"""Whose fault it is: a provider's answer, read as a reason that names who must do what.

no answer, 5xx, 429, a redirect          the provider, try again
invalid_client, unauthorized_client      the OAuth app
redirect_uri_mismatch                    the OAuth app
invalid_scope, insufficient_scope        what was asked for
access_denied                            the person, or their administrator
invalid_grant, and what means the same   the grant is dead: sign in again
an answer that is no grant               the address, or the connector's description
"""

from typing import assert_never

from api.catalog.grant import Blame
from api.connections import reasons
from api.connections.provider import Provider
from api.errors import ProviderFailure
from api.oauth.errors import ServerFailed, TokenError, UnusableAnswer, clean_code
from api.outbound.egress import EgressRefused, OutboundError
from models import AuthenticationType, StatusReason, StatusReasonCode

# RFC 6749 section 5.2, and the codes that vendors use for the same.
_APP = {"invalid_client", "unauthorized_client", "invalid_client_id", "bad_client_secret", "incorrect_client_credentials"}
_GRANT = {
    "invalid_grant",
    "bad_verification_code",
    "bad_refresh_token",
    "invalid_refresh_token",
    "invalid_code",
    "token_revoked",
    "expired_token",
}
_SCOPE = {"invalid_scope", "insufficient_scope"}
_REDIRECT = {"redirect_uri_mismatch", "invalid_redirect_uri", "bad_redirect_uri"}
_DENIED = {"access_denied", "consent_required", "interaction_required", "login_required", "account_selection_required", "user_denied"}
_BUSY = {"temporarily_unavailable", "server_error", "slow_down", "rate_limited", "ratelimited"}
_HAS_CLIENT = {
    AuthenticationType.OAUTH2_AUTHORIZATION_CODE,
    AuthenticationType.OAUTH2_CLIENT_CREDENTIALS,
    AuthenticationType.OAUTH2_PASSWORD,
    AuthenticationType.OAUTH2_JWT_BEARER,
}
_KNOWN = _APP | _GRANT | _SCOPE | _REDIRECT | _DENIED | _BUSY | {"invalid_request", "unsupported_grant_type"}


def failure_of(error: TokenError | OutboundError, asked: Provider, *, redirect_uri: str = "") -> ProviderFailure:
    """What an exchange that failed means for the connection."""
    provider = asked.name
    match error:
        case EgressRefused():
            return ProviderFailure(reasons.address_refused(provider), retryable=False)
        case OutboundError():
            return ProviderFailure(reasons.provider_unreachable(provider), retryable=True)
        case ServerFailed(status=429):
            return ProviderFailure(reasons.rate_limited(provider), retryable=True, retry_after=error.retry_after)
        case ServerFailed():
            code = error.error or f"HTTP {error.status}"
            return ProviderFailure(reasons.provider_error(provider, code), retryable=True, retry_after=error.retry_after)
        case UnusableAnswer():
            return ProviderFailure(reasons.unusable_answer(provider), retryable=True)
        case _ if asked.option.grant is not None and (error.error or "") in asked.option.grant.errors:
            blame = asked.option.grant.errors[error.error or ""]
            return ProviderFailure(_of_blame(blame, provider, error.error), retryable=blame is Blame.BUSY, retry_after=error.retry_after)
        case _:
            reason = _of_refusal(error, asked, redirect_uri)
            retryable = reason.code is StatusReasonCode.PROVIDER_ERROR
            return ProviderFailure(reason, retryable=retryable, retry_after=error.retry_after)


def reason_of_callback(provider: str, error: str, redirect_uri: str) -> StatusReason:
    """What an `error` in the callback means (RFC 6749 section 4.1.2.1). It came through the browser, so it is cleaned first."""
    return _of_code(clean_code(error, ()) or "error", None, provider, redirect_uri)


def _of_blame(blame: Blame, provider: str, code: str | None) -> StatusReason:
    """What the connector says that a code means."""
    match blame:
        case Blame.APP:
            return reasons.invalid_client(provider, code)
        case Blame.GRANT:
            return reasons.reauthentication_required(provider, code)
        case Blame.SCOPE:
            return reasons.insufficient_scopes(provider, (), code)
        case Blame.PERSON:
            return reasons.access_denied(provider, code)
        case Blame.BUSY:
            return reasons.rate_limited(provider)
        case _:
            assert_never(blame)


def _of_refusal(error: TokenError, asked: Provider, redirect_uri: str) -> StatusReason:
    code = error.error or f"HTTP {error.status}"
    # Some servers say nothing with a 401 but that, or a word of their own: at the token endpoint it is the client that was not
    # recognised, or else what somebody typed.
    if error.status == 401 and code not in _KNOWN:
        return reasons.invalid_client(asked.name, code) if asked.option.type in _HAS_CLIENT else reasons.credential_rejected(asked.name)
    return _of_code(code, error.description, asked.name, redirect_uri)


def _of_code(code: str, description: str | None, provider: str, redirect_uri: str) -> StatusReason:
    if code in _REDIRECT or (code in _GRANT | {"invalid_request"} and "redirect" in (description or "").lower()):
        return reasons.redirect_uri_mismatch(provider, redirect_uri, code)
    if code in _APP:
        return reasons.invalid_client(provider, code)
    if code in _GRANT:
        return reasons.reauthentication_required(provider, code)
    if code in _SCOPE:
        return reasons.insufficient_scopes(provider, (), code)
    if code in _DENIED:
        return reasons.access_denied(provider, code)
    if code in _BUSY:
        return reasons.provider_error(provider, code)
    return reasons.refused(provider, code)

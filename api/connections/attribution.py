"""Whose fault it is: a provider's answer, read as a reason that names who must do what.

`TABLE` is all of it. A connector says in its file where a provider means something else by a code (`errors`); that goes before. What
follows for a connection, and when, is decided where outcomes are. Two faults are found before anybody is asked, and are not in the
table: what a policy forbids, and what is our own, such as a key that is missing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from api.catalog.grant import Blame
from api.connections import reasons
from api.connections.provider import Provider
from api.errors import ProviderFailure
from api.oauth.errors import ServerFailed, TokenError, UnusableAnswer, clean_code
from api.outbound.egress import EgressRefused, OutboundError
from models import AuthenticationType, StatusReason


class Answered(StrEnum):
    """What came of asking, where it is not told by a code."""

    REFUSED_BY_US = "the address may not be called"
    NOT_REACHED = "no address, no connection, no TLS"
    BROKEN_OFF = "sent, and no answer read"
    TOO_MANY = "429 Too Many Requests"
    FAILED = "5xx, a redirect, or what cannot be read"
    NO_TOKEN = "a success without a token"
    UNRECOGNISED = "401 without a code that is known"
    ANY_OTHER = "any other code"


@dataclass(frozen=True, slots=True)
class Case:
    """What a reason is told of: who answered, with which code, and the callback URL that we have there."""

    provider: str
    code: str | None = None
    redirect_uri: str = ""
    has_client: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    answers: tuple[str, ...]
    reason: Callable[[Case], StatusReason]
    # Whether it is worth trying again as it is.
    again: bool = False
    # Whether the provider may have used the token up although it gave none: then a refusal of it later may be our own doing.
    spent: bool = False


def _of_provider_alone(say: Callable[[str], StatusReason]) -> Callable[[Case], StatusReason]:
    return lambda case: say(case.provider)


def _with_code(say: Callable[[str, str | None], StatusReason]) -> Callable[[Case], StatusReason]:
    return lambda case: say(case.provider, case.code)


def _unrecognised(case: Case) -> StatusReason:
    # At the token endpoint it is the client that was not recognised, or else what somebody typed.
    return reasons.invalid_client(case.provider, case.code) if case.has_client else reasons.credential_rejected(case.provider)


# Codes of RFC 6749 sections 4.1.2.1 and 5.2, and of OpenID Connect; behind them, those that vendors use for the same.
TABLE = (
    # The provider's trouble: it passes.
    Row((Answered.NOT_REACHED,), _of_provider_alone(reasons.provider_unreachable), again=True),
    Row((Answered.BROKEN_OFF,), _of_provider_alone(reasons.provider_unreachable), again=True, spent=True),
    Row((Answered.FAILED,), _with_code(reasons.provider_error), again=True, spent=True),
    Row(("temporarily_unavailable", "server_error"), _with_code(reasons.provider_error), again=True, spent=True),
    Row((Answered.TOO_MANY, "slow_down", "rate_limited", "ratelimited"), _of_provider_alone(reasons.rate_limited), again=True),
    # The grant is dead: sign in again.
    Row(
        ("invalid_grant", "bad_refresh_token", "invalid_refresh_token", "token_revoked", "expired_token"),
        _with_code(reasons.reauthentication_required),
    ),
    Row(("invalid_code", "bad_verification_code"), _with_code(reasons.reauthentication_required)),
    # The person, or their administrator there, said no; or more was asked for than there is.
    Row(
        ("access_denied", "consent_required", "interaction_required", "login_required", "account_selection_required", "user_denied"),
        _with_code(reasons.access_denied),
    ),
    Row(("invalid_scope", "insufficient_scope"), lambda case: reasons.insufficient_scopes(case.provider, (), case.code)),
    # The OAuth app: one fault of all connections that sign in with it.
    Row(
        ("invalid_client", "unauthorized_client", "invalid_client_id", "bad_client_secret", "incorrect_client_credentials"),
        _with_code(reasons.invalid_client),
    ),
    Row((Answered.UNRECOGNISED,), _unrecognised),
    Row(
        ("redirect_uri_mismatch", "invalid_redirect_uri", "bad_redirect_uri"),
        lambda case: reasons.redirect_uri_mismatch(case.provider, case.redirect_uri, case.code),
    ),
    # The address in the connection's fields, or the connector's description of the provider: an operator looks, and it may pass.
    Row((Answered.REFUSED_BY_US,), _of_provider_alone(reasons.address_refused)),
    Row((Answered.NO_TOKEN,), _of_provider_alone(reasons.unusable_answer), again=True, spent=True),
    Row(("invalid_request", "unsupported_grant_type", Answered.ANY_OTHER), _with_code(reasons.refused), again=True),
)

# By what was answered. The words of `Answered` have spaces, which no code has.
_ROWS = {answer: row for row in TABLE for answer in row.answers}
# The code that usually means what a connector says that another one means.
_MEANT = {
    Blame.APP: "invalid_client",
    Blame.GRANT: "invalid_grant",
    Blame.SCOPE: "invalid_scope",
    Blame.PERSON: "access_denied",
    Blame.BUSY: Answered.TOO_MANY,
}
# Which a server may have in mind that has no code for a callback URL it does not know.
_MAY_BE_REDIRECT = {"invalid_grant", "invalid_code", "bad_verification_code", "invalid_request"}
_HAS_CLIENT = {
    AuthenticationType.OAUTH2_AUTHORIZATION_CODE,
    AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP,
    AuthenticationType.OAUTH2_CLIENT_CREDENTIALS,
    AuthenticationType.OAUTH2_PASSWORD,
    AuthenticationType.OAUTH2_JWT_BEARER,
}


def failure_of(error: TokenError | OutboundError, asked: Provider, *, redirect_uri: str = "") -> ProviderFailure:
    """What an exchange that failed means for the connection."""
    row = _ROWS[_answered(error, asked)]
    if isinstance(error, OutboundError):
        return ProviderFailure(row.reason(Case(asked.name)), retryable=row.again, may_be_spent=row.spent)
    code = error.error or f"HTTP {error.status}"
    case = Case(asked.name, code, redirect_uri, has_client=asked.option.type in _HAS_CLIENT)
    return ProviderFailure(row.reason(case), retryable=row.again, retry_after=error.retry_after, may_be_spent=row.spent)


def reason_of_callback(provider: str, error: str, redirect_uri: str) -> StatusReason:
    """What an `error` in the callback means (RFC 6749 section 4.1.2.1). It came through the browser, so it is cleaned first."""
    code = clean_code(error, ()) or "error"
    return _ROWS.get(code, _ROWS[Answered.ANY_OTHER]).reason(Case(provider, code, redirect_uri))


def _answered(error: TokenError | OutboundError, asked: Provider) -> str:
    """The answer as the table names it."""
    match error:
        case EgressRefused():
            return Answered.REFUSED_BY_US
        case OutboundError():
            return Answered.BROKEN_OFF if error.may_have_arrived else Answered.NOT_REACHED
        case ServerFailed():
            # Whatever the code says: the request was not judged.
            return Answered.TOO_MANY if error.status == 429 else Answered.FAILED
        case UnusableAnswer():
            return Answered.NO_TOKEN
        case _:
            return _refusal(error, asked)


def _refusal(error: TokenError, asked: Provider) -> str:
    code = error.error or ""
    grant = asked.option.grant
    if grant is not None and code in grant.errors:
        return _MEANT[grant.errors[code]]
    # Some servers say nothing with a 401 but that, or a word of their own.
    if error.status == 401 and code not in _ROWS:
        return Answered.UNRECOGNISED
    if code in _MAY_BE_REDIRECT and "redirect" in (error.description or "").lower():
        return "redirect_uri_mismatch"
    return code if code in _ROWS else Answered.ANY_OTHER

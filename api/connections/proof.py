"""Whether a credential works: ask the provider with it, and read the answer as the connector says."""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from api.catalog import using as connectors
from api.catalog.using import Expectation, Verification
from api.clock import Clock
from api.connections import reasons
from api.connections.attribution import failure_of
from api.connections.provider import Provider
from api.connections.secrets import Secrets
from api.errors import ProviderFailure
from api.names import name_problem
from api.oauth.answers import find, parse_json
from api.oauth.errors import read_retry_after
from api.outbound.egress import OutboundError
from api.outbound.http import Answer, OutboundClient
from api.outbound.logins import LoginRejected, log_in

_DEADLINE = timedelta(seconds=15)
_LARGEST_ANSWER = 1_000_000
_LONGEST_ACCOUNT = 320


class Rejected(ProviderFailure):
    """The provider looked at the credential and did not take it."""


@dataclass(frozen=True, slots=True)
class Proof:
    """The provider took the credential. `account` is who it says is signed in, where it says so."""

    account: str | None
    latency_ms: int


class Prover:
    def __init__(self, http: OutboundClient, clock: Clock) -> None:
        self._http = http
        self._clock = clock

    async def prove(self, provider: Provider, secrets: Secrets) -> Proof:
        """Ask the provider. Raises Rejected where the credential is no good, ProviderFailure where nothing can be said."""
        started = time.monotonic()
        match provider.option.proof:
            case connectors.Proof.REQUEST:
                account = await self._ask(provider, secrets)
            case connectors.Proof.LOGIN:
                account = await self._log_in(provider, secrets)
            case connectors.Proof.TOKEN_EXCHANGE | connectors.Proof.NONE:
                account = None
        return Proof(account or provider.account(secrets), round((time.monotonic() - started) * 1000))

    async def _ask(self, provider: Provider, secrets: Secrets) -> str | None:
        """Whom the first answer names that takes the credential."""
        rejected: Rejected | None = None
        for verification in provider.option.verifications:
            try:
                request = provider.verification(verification, secrets)
                answer = await self._http.send(request, deadline=_DEADLINE, max_bytes=_LARGEST_ANSWER)
                return _read(provider, verification, answer, self._clock())
            except Rejected as error:
                rejected = rejected or error
            except OutboundError as error:
                raise failure_of(error, provider) from error
        if rejected is not None:
            raise rejected
        return None

    async def _log_in(self, provider: Provider, secrets: Secrets) -> str | None:
        try:
            return await log_in(provider.login(secrets), self._http)
        except LoginRejected:
            raise Rejected(reasons.credential_rejected(provider.name), retryable=False) from None
        except OutboundError as error:
            raise failure_of(error, provider) from error


def _read(provider: Provider, verification: Verification, answer: Answer, now: datetime) -> str | None:
    """The account that an answer names. Raises Rejected, ProviderFailure."""
    if answer.status in verification.rejected:
        raise Rejected(reasons.credential_rejected(provider.name), retryable=False)
    if answer.status == 429:
        raise ProviderFailure(
            reasons.rate_limited(provider.name), retryable=True, retry_after=read_retry_after(answer.headers.get("Retry-After"), now)
        )
    if answer.status not in verification.statuses:
        raise ProviderFailure(reasons.provider_error(provider.name, f"HTTP {answer.status}"), retryable=True)
    body = _json(answer)
    if any(_holds(sign, body) for sign in verification.busy):
        raise ProviderFailure(reasons.rate_limited(provider.name), retryable=True)
    text = answer.body.decode("utf-8", "replace")
    expected = all(_holds(expectation, body) for expectation in verification.expect)
    if not expected or not all(part in text for part in verification.contains):
        raise Rejected(reasons.credential_rejected(provider.name), retryable=False)
    return next(filter(None, (_account(find(body, path)) for path in verification.account)), None)


def _json(answer: Answer) -> Any:
    try:
        return parse_json(answer.body)
    except ValueError:
        return None


def _holds(expectation: Expectation, body: Any) -> bool:
    found = find(body, expectation.path)
    if not expectation.values:
        return found is not None
    # In Python True equals 1; in JSON it does not.
    return any(found == value and isinstance(found, bool) is isinstance(value, bool) for value in expectation.values)


def _account(found: Any) -> str | None:
    if isinstance(found, bool) or not isinstance(found, str | int):
        return None
    account = str(found)[:_LONGEST_ACCOUNT]
    return account if name_problem(account, longest=_LONGEST_ACCOUNT) is None else None

"""Whether a credential works: ask the provider with it, and read the answer as the connector says."""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from api.catalog.connector import Expectation, Verification
from api.clock import Clock
from api.connections import reasons
from api.connections.attribution import failure_of
from api.connections.provider import Provider
from api.connections.secrets import Secrets
from api.errors import ProviderFailure
from api.names import name_problem
from api.oauth.answers import find, parse_json
from api.oauth.egress import OutboundError
from api.oauth.errors import read_retry_after
from api.oauth.http import Answer, OutboundClient

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
        verification = provider.connector.verification_for(provider.option)
        if verification is None:
            return Proof(None, 0)
        started = time.monotonic()
        try:
            request = provider.verification(verification, secrets)
            answer = await self._http.send(request, deadline=_DEADLINE, max_bytes=_LARGEST_ANSWER)
        except OutboundError as error:
            raise failure_of(error, provider.name) from error
        latency_ms = round((time.monotonic() - started) * 1000)
        return Proof(_read(provider, verification, answer, self._clock()), latency_ms)


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
    if not all(_holds(expectation, body) for expectation in verification.expect):
        raise Rejected(reasons.credential_rejected(provider.name), retryable=False)
    return None if verification.account is None else _account(find(body, verification.account))


def _json(answer: Answer) -> Any:
    try:
        return parse_json(answer.body)
    except ValueError:
        return None


def _holds(expectation: Expectation, body: Any) -> bool:
    found = find(body, expectation.path)
    return found is not None if expectation.equals is None else found == expectation.equals


def _account(found: Any) -> str | None:
    if isinstance(found, bool) or not isinstance(found, str | int):
        return None
    account = str(found)[:_LONGEST_ACCOUNT]
    return account if name_problem(account, longest=_LONGEST_ACCOUNT) is None else None

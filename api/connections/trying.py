"""A definition, tried out at its provider before it is a connector. Keeps nothing, and says what it found line by line.

What is sent: what a connection would send, and besides it what must be refused, a code and a credential that cannot exist. Whoever takes
these as well tells nothing by taking the right ones.
"""

import asyncio
import secrets as chance
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from api.access import Access, Actor
from api.audit import Audit
from api.catalog.connector import Connector, Option
from api.catalog.defining import define
from api.catalog.using import Proof
from api.connections.exchange import Exchange
from api.connections.forms import Filled, fields_of, fill
from api.connections.proof import Prover, Rejected
from api.connections.provider import Provider
from api.connections.secrets import Secrets
from api.connections.server_trial import ServerTrial
from api.connections.sparing import Sparing
from api.connections.trial import Line, Outcome, Report, Step, Trial, failed, said
from api.errors import InvalidInput, ProviderFailure
from api.oauth.tokens import ClientCredentials
from api.organization.apps import client_mistakes
from api.outbound.egress import EgressGuard
from api.secret import Secret
from models import OrganizationPermission

# Shorter than an operation may take, so that what was found until then is told.
_PATIENCE_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class _Subject:
    """A trial whose form is filled in as far as somebody filled it in."""

    provider: Provider
    # None: nothing was given that could be proven.
    secrets: Secrets | None
    client: ClientCredentials | None


class Trying:
    def __init__(
        self,
        *,
        access: Access,
        guard: EgressGuard,
        server: ServerTrial,
        exchange: Exchange,
        prover: Prover,
        audit: Audit,
        sparing: Sparing,
    ) -> None:
        self._access = access
        self._guard = guard
        self._server = server
        self._exchange = exchange
        self._prover = prover
        self._audit = audit
        self._sparing = sparing

    async def test(self, actor: Actor, trial: Trial) -> Report:
        """What works of a definition, and what does not. Needs MANAGE_CONNECTORS.

        Raises PermissionDenied, Conflict where it is too soon for another one, and InvalidInput for what createConnector refuses as well,
        and for values that the form does not take.
        """
        async with self._audit.act(actor, "connector.test") as act:
            await self._access.require(actor, OrganizationPermission.MANAGE_CONNECTORS)
            self._sparing.require(actor)
            connector = define(trial.definition, self._guard).connector
            subject = _subject_of(connector, trial)
            report = Report((Line(Step.DEFINITION, Outcome.OK, "The definition has no mistake."), *await self._tried(subject)))
            await act.done(subject_id=connector.key, subject_name=connector.name, detail=report.summary)
        return report

    async def _tried(self, subject: _Subject) -> list[Line]:
        """The lines of all steps, which are tried side by side, in their order."""
        lines: list[Line] = []
        async with asyncio.TaskGroup() as group:
            if subject.provider.option.grant is not None:
                server, provider, client = self._server, subject.provider, subject.client
                group.create_task(_in_time(Step.DISCOVERY, lines, lambda found: server.describe(provider, client, found)))
                group.create_task(_in_time(Step.TOKEN_ENDPOINT, lines, lambda found: server.ask_for_tokens(provider, client, found)))
            group.create_task(_in_time(Step.VERIFY, lines, lambda found: self._prove(subject, found)))
            if subject.provider.option.proof is Proof.REQUEST:
                group.create_task(_in_time(Step.VERIFY_REFUSES, lines, lambda found: self._prove_nonsense(subject.provider, found)))
        return sorted(lines, key=lambda line: list(Step).index(line.step))

    async def _prove(self, subject: _Subject, lines: list[Line]) -> None:
        secrets = subject.secrets
        if subject.provider.option.grant is not None:
            secrets = await self._with_token(subject, lines)
        lines.append(await self._verified(subject.provider, secrets))
        if secrets is not None and secrets.access_token is not None:
            # Nobody keeps it, so nobody should find it.
            await self._exchange.revoke(subject.provider, subject.provider.client(secrets), secrets)

    async def _with_token(self, subject: _Subject, lines: list[Line]) -> Secrets | None:
        if subject.provider.option.type.needs_consent:
            message = "A person must consent before there is a token."
            lines.append(Line(Step.TOKEN, Outcome.SKIPPED, message, "Create the connector, and connect."))
            return None
        if subject.secrets is None:
            lines.append(_nothing_given(Step.TOKEN))
            return None
        try:
            tokens = await self._exchange.obtain(subject.provider, subject.secrets, subject.provider.default_scopes)
        except ProviderFailure as failure:
            lines.append(failed(Step.TOKEN, failure))
            return None
        lines.append(Line(Step.TOKEN, Outcome.OK, f"{subject.provider.name} gave a token."))
        return subject.secrets.with_tokens(tokens)

    async def _verified(self, provider: Provider, secrets: Secrets | None) -> Line:
        if provider.option.proof is not Proof.REQUEST:
            message = "No request is defined that shows whether a credential works."
            return Line(Step.VERIFY, Outcome.WARNING, message, "Add one, such as GET /me: without it a dead credential looks alive.")
        if secrets is None:
            return _nothing_given(Step.VERIFY)
        try:
            proof = await self._prover.prove(provider, secrets)
        except ProviderFailure as failure:
            return failed(Step.VERIFY, failure)
        if proof.account is not None:
            return Line(Step.VERIFY, Outcome.OK, f"{provider.name} took the credential, and its answer names an account.")
        if any(verification.account for verification in provider.option.verifications):
            message = f"{provider.name} took the credential, and its answer names no account where the definition looks for it."
            return Line(Step.VERIFY, Outcome.WARNING, message, "Look at `account`, or leave it out.")
        return Line(Step.VERIFY, Outcome.OK, f"{provider.name} took the credential.")

    async def _prove_nonsense(self, provider: Provider, lines: list[Line]) -> None:
        """Whether the same request is refused to a credential that cannot exist."""
        nonsense = Secret(f"patchbay-check-{chance.token_hex(16)}")
        made_up = Secrets(fields={field.name: nonsense for field in provider.option.fields}, access_token=nonsense)
        step, name = Step.VERIFY_REFUSES, provider.name
        try:
            await self._prover.prove(provider, made_up)
        except Rejected:
            lines.append(Line(step, Outcome.OK, f"{name} refuses a credential that cannot exist."))
        except ProviderFailure as failure:
            message = f"Asked with a credential that cannot exist, it says neither yes nor no: {said(failure.reason)}"
            lines.append(Line(step, Outcome.WARNING, message, "Look at whether the path of the verify request is right."))
        else:
            remedy = "Choose a request that is only for who is signed in: this one cannot tell a dead credential from a living one."
            lines.append(Line(step, Outcome.FAILED, f"{name} answers the verify request to anybody.", remedy))


async def _in_time(step: Step, lines: list[Line], fill: Callable[[list[Line]], Awaitable[None]]) -> None:
    """Add what is found in time; where there was not enough of it, that it was not."""
    found: list[Line] = []
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await fill(found)
    except TimeoutError:
        message = f"It took longer than {_PATIENCE_SECONDS:g} s, so not everything was tried."
        found.append(Line(step, Outcome.FAILED, message, "Look at whether the addresses are right, and try again."))
    lines += found


def _subject_of(connector: Connector, trial: Trial) -> _Subject:
    """Raises InvalidInput."""
    type = trial.type or connector.options[0].types[0]
    option = connector.find_option(type)
    if option is None:
        raise InvalidInput({"authenticationType": "is not one that the definition offers"})
    filled, mistakes, has_credential = _filled(connector, option, trial.fields)
    client = None
    if trial.own_app is not None:
        client = ClientCredentials(trial.own_app.client_id, trial.own_app.client_secret)
        wrong = client_mistakes(client.client_id, client.client_secret, prefix="oauthApp.")
        mistakes |= {path: problem for path, problem in wrong.items() if problem is not None}
        if not type.needs_consent:
            mistakes["oauthApp"] = "is for authentication types with consent"
    if mistakes:
        raise InvalidInput(mistakes)
    # A client id is no secret, and is asked for with the secret all the same.
    secrets = Secrets(fields=filled.secrets) if has_credential else None
    return _Subject(Provider(connector, option, filled.site), secrets, client)


def _filled(connector: Connector, option: Option, given: Mapping[str, Secret]) -> tuple[Filled, dict[str, str], bool]:
    """The form, where what addresses need must be there, and what is the credential may be missing as a whole."""
    form = fields_of(connector, option, option.type)
    own = {field.name for field in option.fields}
    has_credential = not own.isdisjoint(given)
    asked = form if has_credential else tuple(field for field in form if field.name not in own)
    filled, mistakes = fill(asked, given)
    return filled, mistakes, has_credential


def _nothing_given(step: Step) -> Line:
    return Line(step, Outcome.SKIPPED, "No credential was given.", "Give its fields, to learn whether the provider takes them.")

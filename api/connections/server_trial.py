"""An authorization server, tried out without a person: how it describes itself, and what its endpoints say to who cannot exist."""

import secrets as chance
from datetime import timedelta

from api.catalog.grant import Pkce
from api.connections.app_check import AppCheck, AppQuestion, Verdict
from api.connections.consent import Addresses
from api.connections.provider import Provider
from api.connections.trial import Line, Outcome, Step, said
from api.oauth.client import OAuthClient
from api.oauth.discovery import NotDescribed, ServerMetadata, find_metadata
from api.oauth.errors import ReservedParameter
from api.oauth.tokens import ClientCredentials
from api.outbound.http import AnswerTooLarge, OutboundClient, OutboundError, OutboundRequest
from api.secret import Secret
from models import StatusReasonCode

_DEADLINE = timedelta(seconds=6)
_LARGEST_PAGE = 2_000_000
# With these a token endpoint refuses, and nothing else does.
_WORDS = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "access_denied",
    }
)
_REFUSALS = frozenset({StatusReasonCode.INVALID_CLIENT, StatusReasonCode.REAUTHENTICATION_REQUIRED, StatusReasonCode.REDIRECT_URI_MISMATCH})


class ServerTrial:
    def __init__(self, *, http: OutboundClient, oauth: OAuthClient, check: AppCheck, addresses: Addresses) -> None:
        self._http = http
        self._oauth = oauth
        self._check = check
        self._addresses = addresses

    async def describe(self, provider: Provider, client: ClientCredentials | None, lines: list[Line]) -> None:
        """Hold the definition against what the server says of itself, and ask for the page where a person would consent."""
        metadata = await self._discover(provider, lines)
        if not provider.option.type.needs_consent:
            return
        is_answered = await self._authorize(provider, client, lines)
        methods = None if metadata is None else metadata.challenge_methods
        lines.append(_pkce(provider, methods, asked=is_answered and client is not None))

    async def ask_for_tokens(self, provider: Provider, client: ClientCredentials | None, lines: list[Line]) -> None:
        """What the token endpoint says to a client that cannot exist, and to the app that was given."""
        lines.append(await self._token_endpoint(provider))
        if not provider.option.type.needs_consent:
            return
        if client is None:
            lines.append(Line(Step.CLIENT, Outcome.SKIPPED, "No OAuth app was given.", "Give one, to learn whether the provider takes it."))
        else:
            lines.append(await self._client(provider, client))

    async def _discover(self, provider: Provider, lines: list[Line]) -> ServerMetadata | None:
        issuer = provider.server().issuer
        if issuer is None:
            lines.append(Line(Step.DISCOVERY, Outcome.SKIPPED, "No issuer is given, so there is no description to look at."))
            return None
        try:
            told = await find_metadata(self._http, issuer)
        except NotDescribed as error:
            remedy = "That is no mistake as long as the addresses are right."
            lines.append(Line(Step.DISCOVERY, Outcome.WARNING, error.message, remedy))
            return None
        lines.append(_compared(provider, told))
        return told

    async def _authorize(self, provider: Provider, client: ClientCredentials | None, lines: list[Line]) -> bool:
        """Whether the page answered as if it would go on."""
        who = client or ClientCredentials(f"patchbay-check-{chance.token_hex(8)}")
        server = provider.server(client=who)
        try:
            url = self._oauth.authorization_url(
                server,
                who,
                redirect_uri=self._addresses.redirect_uri(provider.connector.key),
                state=Secret(chance.token_urlsafe(16)),
                scopes=provider.default_scopes,
                code_verifier=self._oauth.new_code_verifier() if server.pkce else None,
            )
            answer = await self._http.send(OutboundRequest("GET", url), deadline=_DEADLINE, max_bytes=_LARGEST_PAGE)
        # Only a page is so long.
        except AnswerTooLarge:
            lines.append(Line(Step.AUTHORIZE_ENDPOINT, Outcome.OK, "The page where a person consents is there."))
            return True
        except (OutboundError, ReservedParameter) as error:
            lines.append(Line(Step.AUTHORIZE_ENDPOINT, Outcome.FAILED, error.message, error.remedy or "Look at the authorize URL."))
            return False
        lines.append(_answered(answer.status, is_known=client is not None))
        return answer.status < 400

    async def _token_endpoint(self, provider: Provider) -> Line:
        reason = await self._check.hears(provider)
        if reason is None:
            message = f"{provider.name} gives a token to anybody."
            return Line(Step.TOKEN_ENDPOINT, Outcome.FAILED, message, "Look at whether the token URL is right.")
        if reason.provider_error in _WORDS or reason.code in _REFUSALS:
            word = f" ({reason.provider_error})" if reason.provider_error else ""
            return Line(Step.TOKEN_ENDPOINT, Outcome.OK, f"It answers as a token endpoint, and refuses a client that cannot exist{word}.")
        # One that answers in words of its own may still be one.
        outcome = Outcome.FAILED if _is_nowhere(reason.code, reason.provider_error) else Outcome.WARNING
        return Line(Step.TOKEN_ENDPOINT, outcome, said(reason), "Look at whether the token URL is right.")

    async def _client(self, provider: Provider, client: ClientCredentials) -> Line:
        findings = {each.what: each for each in await self._check.findings(provider, client, ())}
        secret, known = findings[AppQuestion.SECRET_ACCEPTED], findings[AppQuestion.CLIENT_KNOWN]
        finding = known if secret.verdict is Verdict.UNKNOWN else secret
        match finding.verdict:
            case Verdict.YES:
                return Line(Step.CLIENT, Outcome.OK, finding.detail)
            case Verdict.NO:
                remedy = "Look at the app at the provider: its id, its secret, and its callback URL."
                return Line(Step.CLIENT, Outcome.FAILED, finding.detail, remedy)
            case Verdict.UNKNOWN:
                return Line(Step.CLIENT, Outcome.WARNING, finding.detail, "Only a consent tells: create the connector, and connect.")


def _is_nowhere(code: StatusReasonCode, error: str | None) -> bool:
    return code is StatusReasonCode.PROVIDER_UNREACHABLE or error in ("HTTP 404", "HTTP 405", "HTTP 410")


def _compared(provider: Provider, told: ServerMetadata) -> Line:
    server = provider.server()
    pairs = {
        "token URL": (server.token_url, told.token_url),
        "authorize URL": (server.authorize_url, told.authorize_url),
        "issuer": (server.issuer, told.issuer),
    }
    wrong = [name for name, (ours, theirs) in pairs.items() if ours is not None and theirs is not None and ours != theirs]
    if wrong:
        message = "The server describes itself with another " + " and another ".join(wrong) + "."
        return Line(Step.DISCOVERY, Outcome.WARNING, message, "Compare the addresses of the definition with those that the server names.")
    return Line(Step.DISCOVERY, Outcome.OK, "The server describes itself with the same addresses.")


def _answered(status: int, *, is_known: bool) -> Line:
    step = Step.AUTHORIZE_ENDPOINT
    if status < 400:
        return Line(step, Outcome.OK, f"The page where a person consents is there (HTTP {status}).")
    if status in (404, 405, 410) or status >= 500:
        return Line(step, Outcome.FAILED, f"No page for consent is there (HTTP {status}).", "Look at whether the authorize URL is right.")
    if is_known:
        message = f"The page for consent refuses a request of this app (HTTP {status})."
        return Line(step, Outcome.WARNING, message, "Look at the app at the provider: its id, its callback URL, and its scopes.")
    return Line(step, Outcome.OK, f"It answers, and refuses an app that cannot exist (HTTP {status}).")


def _pkce(provider: Provider, methods: tuple[str, ...] | None, *, asked: bool) -> Line:
    is_on = provider.grant.pkce is not Pkce.UNSUPPORTED
    if methods is not None and "S256" in methods:
        if is_on:
            return Line(Step.PKCE, Outcome.OK, "The server says that it supports PKCE with S256.")
        return Line(Step.PKCE, Outcome.WARNING, "The server supports PKCE with S256, and the definition has it off.", "Switch it on.")
    if not is_on:
        return Line(Step.PKCE, Outcome.SKIPPED, "The definition has PKCE off.")
    if methods is not None:
        return Line(
            Step.PKCE, Outcome.WARNING, "The server names no S256 among what it supports of PKCE.", "Switch it off if consents fail."
        )
    if asked:
        return Line(Step.PKCE, Outcome.OK, "A request for consent with a challenge of S256 was not refused.")
    return Line(Step.PKCE, Outcome.SKIPPED, "The server does not say whether it supports PKCE.", "Give an OAuth app, to have it tried.")

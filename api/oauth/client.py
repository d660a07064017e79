"""The client's side of OAuth 2.0: builds requests, sends each once, and has the answers read strictly.

Authorization code with PKCE (RFC 6749 section 4.1, RFC 7636), refresh (section 6), client credentials (section 4.4), revocation
(RFC 7009). Nothing here tries again or follows a redirect: a code or a refresh token may be good for one use only, and
whoever calls knows better what a second try would cost.

What Authlib writes is imported where it is needed: that takes 30 ms, once, for which a start need not wait.
"""

import base64
import json
import re
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from urllib.parse import parse_qsl, quote_plus, urlencode, urlsplit

from api.clock import Clock
from api.oauth.answers import parse_revocation_answer, parse_token_answer
from api.oauth.errors import ReservedParameter
from api.oauth.tokens import (
    AssertionUse,
    AuthorizationServer,
    BodyFormat,
    ClientAuthentication,
    ClientCredentials,
    RevocationEndpoint,
    TokenHint,
    TokenSet,
)
from api.outbound.http import Answer, OutboundRequest, Sender
from api.secret import Secret

_CLIENT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
# Grants that are what they are, whatever a provider calls the way to the first token.
_ALWAYS_NAMED = frozenset({"refresh_token"})

_DEADLINE = timedelta(seconds=20)
_MAXIMUM_ANSWER = 256_000

_PARAMETER = re.compile(r"[A-Za-z0-9_.:-]{1,64}", re.ASCII)
# `request` and `response_mode` are not among them: vendors ask for them with meanings of their own.
_RESERVED = frozenset({"response_type", "client_id", "redirect_uri", "state", "scope", "nonce", "request_uri"})

Parameters = dict[str, str]


class OAuthClient:
    """Speaks to authorization servers. Every call raises TokenError for an answer that is no grant, OutboundError for none."""

    def __init__(self, http: Sender, clock: Clock) -> None:
        self._http = http
        self._clock = clock

    def through(self, sender: Sender) -> "OAuthClient":
        """The same client, whose requests go another way."""
        return OAuthClient(sender, self._clock)

    @staticmethod
    def new_code_verifier() -> Secret:
        """A PKCE verifier of 256 bits, for one authorization."""
        return Secret(secrets.token_urlsafe(32))

    def authorization_url(
        self,
        server: AuthorizationServer,
        client: ClientCredentials,
        *,
        redirect_uri: str,
        state: Secret,
        scopes: Sequence[str],
        code_verifier: Secret | None,
    ) -> str:
        """The URL at which a person consents. With PKCE, always S256, unless the server is known to refuse it.

        Raises ReservedParameter where the server's extra parameters, or the query of its URL, name a parameter of the protocol.
        """
        from api.oauth import parameters

        if server.authorize_url is None:
            raise ValueError("this server has no authorization endpoint")
        if server.pkce and code_verifier is None:
            raise ValueError("PKCE needs a verifier")
        url = self._http.guard.check(server.authorize_url).url
        reserved = _RESERVED | {server.scope_parameter or "scope", *server.scope_parameters.values()}
        for name in [*server.authorize_parameters, *(name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True))]:
            _refuse_reserved(name, reserved)

        protocol = _scope_parameters(server, scopes)
        if server.pkce and code_verifier is not None:
            protocol |= parameters.of_challenge(code_verifier)
        url = parameters.with_query(url, [*server.authorize_parameters.items(), *protocol.items()])
        return parameters.consent_url(url, client.client_id, redirect_uri, state)

    async def exchange_code(
        self,
        server: AuthorizationServer,
        client: ClientCredentials,
        *,
        code: Secret,
        redirect_uri: str,
        code_verifier: Secret | None,
        asked_scopes: Sequence[str],
    ) -> TokenSet:
        """Turn a code into tokens. Where the answer names no scopes, those asked for are granted (RFC 6749 section 5.1)."""
        parameters = {"code": code.reveal(), "redirect_uri": redirect_uri}
        sent = [code]
        if server.pkce and code_verifier is not None:
            parameters["code_verifier"] = code_verifier.reveal()
            sent.append(code_verifier)
        tokens = await self._ask_for_tokens(server, client, "authorization_code", parameters, server.token_parameters, sent)
        return _with_scopes(tokens, asked_scopes)

    async def refresh(
        self, server: AuthorizationServer, client: ClientCredentials, refresh_token: Secret, *, scopes: Sequence[str]
    ) -> TokenSet:
        """Renew a grant. `scopes` are those granted so far.

        They are not sent, since leaving them out asks for the same again, and a server may refuse more than it granted. The result is
        complete: it has the old refresh token where none came back, and the old scopes where the answer names none.
        """
        tokens = await self._ask_for_tokens(
            _for_refresh(server),
            client,
            "refresh_token",
            {"refresh_token": refresh_token.reveal()},
            server.refresh_parameters,
            [refresh_token],
        )
        refresh_expires_at = tokens.refresh_expires_at
        if tokens.refresh_token is not None and tokens.scopes is not None and (refresh_expires_at or server.refresh_lifetime is None):
            return tokens
        if refresh_expires_at is None and server.refresh_lifetime is not None:
            # It was used just now, and lives on from here, whether or not it comes back.
            refresh_expires_at = self._clock() + server.refresh_lifetime
        return replace(
            tokens,
            refresh_token=tokens.refresh_token or refresh_token,
            refresh_expires_at=refresh_expires_at,
            scopes=tuple(scopes) if tokens.scopes is None else tokens.scopes,
        )

    async def obtain(
        self,
        server: AuthorizationServer,
        client: ClientCredentials,
        grant_type: str,
        parameters: Mapping[str, Secret],
        scopes: Sequence[str],
    ) -> TokenSet:
        """Tokens without a person: for the client itself, for a user name and password, for a key or a signed assertion.

        Where the answer names no scopes, those asked for are granted. Raises UnusableKey where the assertion cannot be signed.
        """
        from api.oauth.assertions import sign

        assertion = server.assertion
        if assertion is not None and assertion.use is AssertionUse.TOKEN:
            now = self._clock()
            return TokenSet(sign(assertion, now), expires_at=now + assertion.lifetime, scopes=tuple(scopes))
        given = {name: value.reveal() for name, value in parameters.items()}
        if scopes and server.scope_parameter is not None:
            given[server.scope_parameter] = server.scope_separator.join(scopes)
        tokens = await self._ask_for_tokens(server, client, grant_type, given, server.token_parameters, list(parameters.values()))
        return _with_scopes(tokens, scopes)

    async def swap(
        self, server: AuthorizationServer, client: ClientCredentials, access_token: Secret, *, scopes: Sequence[str]
    ) -> TokenSet:
        """A token that lasts longer for one that still lasts, as the server's refresh parameters say."""
        tokens = await self._ask_for_tokens(
            _for_refresh(server), client, server.refresh_parameters.get("grant_type", ""), {}, server.refresh_parameters, [access_token]
        )
        return _with_scopes(tokens, scopes)

    async def revoke(
        self, endpoint: RevocationEndpoint, client: ClientCredentials | None, token: Secret, hint: TokenHint | None = None
    ) -> None:
        """End a grant at the provider. Returns when the provider says so."""
        from api.oauth.parameters import of_revocation

        parameters: Parameters
        if endpoint.parameters is None:
            parameters = of_revocation(token, hint)
        else:
            parameters = {name: value.reveal() for name, value in endpoint.parameters.items()}
        sent = [token, *(endpoint.parameters or {}).values()]
        answer = await self._send(
            endpoint.url,
            client,
            endpoint.client_authentication,
            endpoint.body_format,
            parameters,
            endpoint.headers,
            method=endpoint.method,
            whole_body=endpoint.body,
        )
        parse_revocation_answer(answer, self._clock(), secrets=_Sent(sent, client))

    async def _ask_for_tokens(
        self,
        server: AuthorizationServer,
        client: ClientCredentials,
        grant_type: str,
        parameters: Parameters,
        extra: Mapping[str, str],
        sent: Collection[Secret],
    ) -> TokenSet:
        grant_type = grant_type if server.grant_type is None or grant_type in _ALWAYS_NAMED else server.grant_type
        parameters, headers, sent = dict(parameters), dict(server.token_headers), [*sent, *server.secrets]
        # None: the client proves itself as it always does.
        proof: str | None = None
        if server.assertion is not None:
            from api.oauth.assertions import sign

            assertion = sign(server.assertion, self._clock())
            sent = [*sent, assertion]
            match server.assertion.use:
                case AssertionUse.GRANT:
                    parameters["assertion"] = assertion.reveal()
                case AssertionUse.CLIENT:
                    parameters |= {"client_assertion_type": _CLIENT_ASSERTION, "client_assertion": assertion.reveal()}
                case AssertionUse.BEARER:
                    proof = f"Bearer {assertion.reveal()}"
        if server.token_basic is not None:
            proof = _basic(server.token_basic[0], server.token_basic[1].reveal())
        if proof is not None:
            headers["authorization"] = proof
        answer = await self._send(
            server.token_url,
            client if client.client_id and proof is None else None,
            server.client_authentication,
            server.body_format,
            _token_parameters(grant_type, parameters, extra),
            headers,
            method=server.token_method,
            whole_body=server.token_body,
        )
        # An answer that was kept counts from when it came.
        return parse_token_answer(answer, server, answer.received_at or self._clock(), secrets=_Sent(sent, client))

    async def _send(
        self,
        url: str,
        client: ClientCredentials | None,
        authentication: ClientAuthentication | None,
        body_format: BodyFormat,
        parameters: Parameters,
        extra_headers: Mapping[str, str],
        *,
        method: str = "POST",
        whole_body: Secret | None = None,
    ) -> Answer:
        headers = {"accept": "application/json"} | {name.lower(): value for name, value in extra_headers.items()}
        if client is not None and authentication is not None:
            more_parameters, more_headers = _authenticate(client, authentication)
            parameters = parameters | more_parameters
            headers |= more_headers

        body: bytes | None = None
        if whole_body is not None:
            body, parameters = whole_body.reveal().encode(), {}
            headers.setdefault("content-type", "application/json")
        match body_format:
            case BodyFormat.QUERY if parameters:
                from api.oauth.parameters import with_query

                url = with_query(url, list(parameters.items()))
            case BodyFormat.FORM if parameters:
                body = urlencode(parameters).encode()
                headers.setdefault("content-type", "application/x-www-form-urlencoded")
            case BodyFormat.JSON if parameters:
                body = json.dumps(parameters).encode()
                headers.setdefault("content-type", "application/json")
        return await self._http.send(OutboundRequest(method, url, headers, body), deadline=_DEADLINE, max_bytes=_MAXIMUM_ANSWER)


def _scope_parameters(server: AuthorizationServer, scopes: Sequence[str]) -> Parameters:
    """The scopes to ask for, each in the parameter where the server looks for it."""
    asked: dict[str, list[str]] = {}
    for scope in scopes:
        parameter = server.scope_parameters.get(scope, server.scope_parameter)
        if parameter is not None:
            asked.setdefault(parameter, []).append(scope)
    return {parameter: server.scope_separator.join(names) for parameter, names in asked.items()}


def _for_refresh(server: AuthorizationServer) -> AuthorizationServer:
    """The server as it is asked for a renewal."""
    differs = server.refresh_url, server.refresh_method, server.refresh_paths, server.refresh_client_authentication, server.token_body
    if differs == (None, None, None, None, None):
        return server
    return replace(
        server,
        token_url=server.refresh_url or server.token_url,
        token_method=server.refresh_method or server.token_method,
        paths=server.refresh_paths or server.paths,
        client_authentication=server.refresh_client_authentication or server.client_authentication,
        token_body=None,
    )


def _token_parameters(grant_type: str, parameters: Parameters, extra: Mapping[str, str]) -> Parameters:
    """The members of a token request. A connector's own may add to those of the grant and replace none but the grant's name.

    Vendors have grant types of their own, and some take no `grant_type` at all: then the connector gives an empty one.
    """
    given = {"grant_type": extra.get("grant_type", grant_type), **parameters}
    return {name: value for name, value in extra.items() if name not in given} | {name: value for name, value in given.items() if value}


def _authenticate(client: ClientCredentials, authentication: ClientAuthentication) -> tuple[Parameters, dict[str, str]]:
    """Parameters and headers by which a client proves itself (RFC 6749 section 2.3.1). A public client only names itself."""
    if client.client_secret is None:
        return {"client_id": client.client_id}, {}
    secret = client.client_secret.reveal()
    match authentication:
        case ClientAuthentication.CLIENT_SECRET_BASIC:
            return {}, {"authorization": _basic(quote_plus(client.client_id), quote_plus(secret))}
        case ClientAuthentication.CLIENT_SECRET_BASIC_RAW:
            return {}, {"authorization": _basic(client.client_id, secret)}
        case ClientAuthentication.CLIENT_SECRET_POST:
            return {"client_id": client.client_id, "client_secret": secret}, {}
        case ClientAuthentication.NONE:
            return {"client_id": client.client_id}, {}


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@dataclass(frozen=True, slots=True)
class _Sent:
    """All that was sent in secret, also in the forms in which Basic authentication sends it: told only where something is refused."""

    secrets: Iterable[Secret]
    client: ClientCredentials | None

    def __iter__(self) -> Iterator[Secret]:
        yield from self.secrets
        if self.client is not None and self.client.client_secret is not None:
            id, secret = self.client.client_id, self.client.client_secret
            yield secret
            for pair in ((id, secret.reveal()), (quote_plus(id), quote_plus(secret.reveal()))):
                yield Secret(_basic(*pair).removeprefix("Basic "))


def _with_scopes(tokens: TokenSet, scopes: Sequence[str]) -> TokenSet:
    return replace(tokens, scopes=tuple(scopes)) if tokens.scopes is None else tokens


def _refuse_reserved(name: str, reserved: Collection[str]) -> None:
    """Raises ReservedParameter for a name that a server might take for one of the protocol's: letter case and separators do not count."""
    canonical = re.sub(r"[^a-z0-9]", "", name.lower())
    if not _PARAMETER.fullmatch(name) or canonical.startswith("codechallenge") or canonical in {one.replace("_", "") for one in reserved}:
        raise ReservedParameter(name)

"""The requests that a vendor understands, composed from its description by what OAuth and the kinds of credential have in common."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qsl

from tests.catalog.simulator.vendor import Request, Sends, Signed, Tokens, Way

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_CLIENT_ASSERTION = {
    "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    "client_assertion": "{assertion}",
}
_CLIENTS = {
    "post": {"client_id": "{client_id}", "client_secret": "{client_secret}"},
    "public": {"client_id": "{client_id}"},
    "assertion": {"client_id": "{client_id}", **_CLIENT_ASSERTION},
}


class Act(StrEnum):
    """What a request is for."""

    EXCHANGE = "exchange"
    RENEW = "renew"
    LOOK_UP = "look up"
    CALL = "call"
    REVOKE = "revoke"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A whole request; values in braces are those of the moment."""

    act: Act
    asked: Request | Tokens
    method: str
    url: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    basic: Sequence[str] | None = None
    form: Mapping[str, Any] | None = None
    json: Any = None
    contains: Sequence[str] = ()
    signed: Signed | None = None


def routes_of(way: Way, scopes: Sequence[str], *, has_challenge: bool) -> Iterator[Route]:
    """`scopes`: those that a token without consent is asked for."""
    if way.token is not None:
        yield _tokens(Act.EXCHANGE, way.token, _exchange(way, way.token, scopes, has_challenge=has_challenge))
    if way.refresh is not None:
        given = {} if way.refresh.swaps else {"grant_type": "refresh_token", "refresh_token": "{refresh_token}"}
        yield _tokens(Act.RENEW, way.refresh, given)
    for call in way.calls:
        yield _request(Act.CALL, call, way.sends)
    for lookup in way.lookups:
        yield _request(Act.LOOK_UP, lookup, way.sends)
    if way.revoke is not None:
        yield _request(Act.REVOKE, way.revoke, Sends())


def _exchange(way: Way, token: Tokens, scopes: Sequence[str], *, has_challenge: bool) -> dict[str, str]:
    """What the grant itself sends."""
    if way.authorize is not None:
        given = {"grant_type": "authorization_code", "code": "{code}", "redirect_uri": "{redirect_uri}"}
        given |= {"code_verifier": "{code_verifier}"} if has_challenge else {}
    else:
        given = {"scope": way.scope_separator.join(scopes)} if scopes and way.scope_parameter else {}
    match token.grant:
        case "password":
            given |= {"username": "{username}", "password": "{password}"}
        case "jwt-bearer":
            given |= {"assertion": "{assertion}"}
    name = _JWT_BEARER if token.grant == "jwt-bearer" else token.grant
    if name is not None:
        given["grant_type"] = name
    return {name: value for name, value in given.items() if value}


def _tokens(act: Act, tokens: Tokens, given: Mapping[str, str]) -> Route:
    method, url, query = _parts(tokens.request)
    parameters = {**given, **_CLIENTS.get(tokens.client, {}), **tokens.parameters}
    # A parameter that is empty is one that is not there.
    parameters = {name: value for name, value in parameters.items() if value}
    return Route(
        act=act,
        asked=tokens,
        method=method,
        url=url,
        query={**query, **(parameters if tokens.body == "query" else {})},
        headers=tokens.headers,
        basic=("{client_id}", "{client_secret}") if tokens.client == "basic" else tokens.basic,
        form=parameters if tokens.body == "form" and tokens.json is None and parameters else None,
        json=parameters if tokens.body == "json" and tokens.json is None else tokens.json,
    )


def _request(act: Act, asked: Request, usual: Sends) -> Route:
    method, url, query = _parts(asked.request)
    sends = asked.sends or usual
    return Route(
        act=act,
        asked=asked,
        method=method,
        url=url,
        query={**query, **asked.query, **sends.query},
        headers={**asked.headers, **sends.headers},
        basic=asked.basic or sends.basic,
        form=asked.form,
        json=asked.json,
        contains=asked.contains,
        signed=sends.signed,
    )


def _parts(request: str) -> tuple[str, str, dict[str, str]]:
    method, _, url = request.partition(" ")
    url, _, query = url.partition("?")
    return method, url, dict(parse_qsl(query, keep_blank_values=True))

"""Which ways to authenticate a draft offers: of each kind the one that most requests ask for."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from api.catalog.definition import ClientAuthentication, OAuth2Definition, PlacementDefinition, ScopeDefinition
from api.catalog.descriptions.addresses import Address, Fields, address_of
from api.catalog.descriptions.description import Description, Discovered, Finding, FindingKind, Flow, Scheme, SchemeKind, Undecided
from api.catalog.descriptions.document import line
from models import AuthenticationType

_MOST_SCOPES = 100
_SCOPE = re.compile(r"[!-z|~]{1,500}", re.ASCII)
# How an Authorization header is written by those whose word for it is not “Bearer”.
_WRITTEN = re.compile(r"(?:authorization\s*:\s*|[`'\"])(bearer|token|bot|apikey|api-key|key|basic)\s+[`'\"<{\[$a-z]", re.IGNORECASE)
_USUAL_WORDS = ("Bearer {token}", "Token {token}", "{token}")
_OPENID_SCOPES = ("openid", "email", "profile", "offline_access")


@dataclass(slots=True)
class Offers:
    """`schemes`: the names of what is offered, as the description has them."""

    schemes: set[str] = field(default_factory=set)
    oauth2: OAuth2Definition | None = None
    personal_access_token: PlacementDefinition | None = None
    api_key: PlacementDefinition | None = None
    basic: bool = False
    undecided: list[Undecided] = field(default_factory=list)
    found: list[Finding] = field(default_factory=list)

    def take(self, scheme: Scheme, message: str) -> None:
        self.schemes.add(scheme.name)
        self.found.append(Finding(FindingKind.FOUND, scheme.where, message))

    def ignore(self, scheme: Scheme, message: str) -> None:
        self.found.append(Finding(FindingKind.IGNORED, scheme.where, message))


def offers_of(description: Description, fields: Fields, base_url: str | None, discovered: Mapping[str, Discovered]) -> Offers:
    """`base_url`: where relative addresses of token endpoints count from."""
    offers = Offers()
    # Sorting keeps the order of those that are asked for equally often.
    schemes = sorted(description.schemes, key=lambda scheme: -scheme.uses)
    for scheme in schemes:
        match scheme.kind:
            case SchemeKind.UNSUPPORTED:
                offers.ignore(scheme, f"{scheme.problem}.")
            case SchemeKind.API_KEY:
                _offer_key(offers, scheme)
            case SchemeKind.BEARER:
                _offer_bearer(offers, scheme)
            case SchemeKind.BASIC:
                offers.basic = True
                offers.take(scheme, "HTTP Basic: user name and password.")
            case SchemeKind.OAUTH2:
                _offer_oauth2(offers, scheme, fields, base_url)
            case SchemeKind.OPENID_CONNECT:
                _offer_openid(offers, scheme, discovered)
    _ask_about_pairs(offers, description.together)
    if not offers.schemes and not offers.undecided:
        why = "Nothing that it says about authentication is supported" if schemes else "It says nothing about authentication"
        offers.undecided.append(Undecided("oauth2", f"{why}. How does one authenticate: oauth2, personalAccessToken, apiKey or basic?"))
    return offers


def _offer_key(offers: Offers, scheme: Scheme) -> None:
    if offers.api_key is not None:
        offers.ignore(scheme, "A second API key; a definition has one. More requests ask for the other.")
        return
    is_authorization = scheme.parameter.lower() == "authorization"
    written = scheme.format or (_written_format(scheme.description) if is_authorization else "{token}")
    offers.api_key = PlacementDefinition(scheme.location, scheme.parameter, written or "Bearer {token}")
    offers.take(scheme, f"An API key in the {scheme.location.value}: {scheme.parameter}.")
    if is_authorization and scheme.format is None:
        others = tuple(word for word in _USUAL_WORDS if word != offers.api_key.format)
        offers.undecided.append(Undecided("apiKey.format", "How is the key written in the Authorization header?", others))


def _written_format(description: str) -> str | None:
    match = _WRITTEN.search(description)
    return None if match is None else f"{match[1]} {{token}}"


def _offer_bearer(offers: Offers, scheme: Scheme) -> None:
    if offers.personal_access_token is not None:
        offers.ignore(scheme, "A second bearer token, which goes to the same place as the first.")
        # Whoever has such a token enters it in the same way.
        offers.schemes.add(scheme.name)
        return
    offers.personal_access_token = PlacementDefinition()
    offers.take(scheme, "A bearer token, offered as a personal access token.")


def _ask_about_pairs(offers: Offers, together: Iterable[frozenset[str]]) -> None:
    for group in together:
        if group & offers.schemes:
            names = ", ".join(sorted(line(name) for name in group))
            question = f"Some requests need several credentials at once ({names}), which a definition cannot say. Is one of them enough?"
            offers.undecided.append(Undecided("apiKey", question))
            return


# OAuth 2.0


def _offer_oauth2(offers: Offers, scheme: Scheme, fields: Fields, base_url: str | None) -> None:
    if offers.oauth2 is not None:
        offers.ignore(scheme, "A second authorization server; a definition has one. More requests ask for the other.")
        return
    addressed = [(flow, address) for flow in scheme.flows if (address := address_of(flow.token_url, fields, base_url)) is not None]
    if not addressed:
        offers.ignore(scheme, "It does not say where tokens are asked for.")
        offers.undecided.append(
            Undecided("oauth2", "It has OAuth 2.0, and does not say where tokens are asked for. What is the token URL?")
        )
        return
    # A person who consents is what most services mean.
    addressed.sort(key=lambda each: not each[0].grant.needs_consent)
    token_url = addressed[0][1]
    flows = [flow for flow, address in addressed if address == token_url]
    authorize_url = next((url for flow in flows if flow.grant.needs_consent and (url := _authorize_url(flow, fields, base_url))), None)
    flows = [flow for flow in flows if authorize_url is not None or not flow.grant.needs_consent]
    if not flows:
        offers.ignore(scheme, "It does not say where a person consents.")
        return
    for flow in scheme.flows:
        if flow not in flows:
            offers.ignore(scheme, f"The flow for {flow.grant}: it has another token URL, or lacks an address.")
    offers.oauth2 = OAuth2Definition(
        grants=tuple(_grants(flows, token_url, authorize_url)),
        token_url=token_url.url,
        authorize_url=None if authorize_url is None else authorize_url.url,
        scopes=_scopes(offers, scheme, flows),
    )
    offers.take(scheme, "OAuth 2.0 with " + ", ".join(offers.oauth2.grants) + ".")
    if any(address.was_plain for address in (token_url, authorize_url) if address is not None):
        question = "It names its authorization server by http, which is not called. Does it answer by https under the same address?"
        offers.undecided.append(Undecided("oauth2.tokenUrl", question))


def _authorize_url(flow: Flow, fields: Fields, base_url: str | None) -> Address | None:
    return None if flow.authorize_url is None else address_of(flow.authorize_url, fields, base_url)


def _grants(flows: Iterable[Flow], *addresses: Address | None) -> list[AuthenticationType]:
    grants = [flow.grant for flow in flows]
    if AuthenticationType.OAUTH2_AUTHORIZATION_CODE not in grants:
        return grants
    others = [grant for grant in grants if not grant.needs_consent]
    # Where a person may choose the host, the operator's app would send its secret there.
    is_chosen = any(address is not None and _has_chosen_host(address.url) for address in addresses)
    consent = [] if is_chosen else [AuthenticationType.OAUTH2_AUTHORIZATION_CODE]
    return [*consent, AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP, *others]


def _has_chosen_host(url: str) -> bool:
    host = url.removeprefix("https://").partition("/")[0]
    # Behind the last name there must be a domain that stays the vendor's.
    return "{" in host and re.fullmatch(r"(\.[a-z0-9-]+){2,}", host.rpartition("}")[2], re.ASCII) is None


def _scopes(offers: Offers, scheme: Scheme, flows: Iterable[Flow]) -> tuple[ScopeDefinition, ...]:
    named: dict[str, str | None] = {}
    for flow in flows:
        named = {**flow.scopes, **named}
    usable = {name: description for name, description in named.items() if _SCOPE.fullmatch(name) is not None}
    left_out = len(named) - min(len(usable), _MOST_SCOPES)
    if left_out:
        offers.ignore(scheme, f"{left_out} scopes: a definition has at most {_MOST_SCOPES}, each one word.")
    return tuple(ScopeDefinition(name, description=description) for name, description in list(usable.items())[:_MOST_SCOPES])


def _offer_openid(offers: Offers, scheme: Scheme, discovered: Mapping[str, Discovered]) -> None:
    told = discovered.get(scheme.discovery_url or "")
    if offers.oauth2 is not None:
        offers.ignore(scheme, "OpenID Connect, beside an authorization server that is described in full; a definition has one.")
        return
    if told is None:
        offers.ignore(scheme, "OpenID Connect, whose provider does not say where tokens are asked for.")
        offers.undecided.append(Undecided("oauth2", "It signs in with OpenID Connect. What are the provider's authorize and token URLs?"))
        return
    names = [name for name in _OPENID_SCOPES if name in told.scopes] + [name for name in told.scopes if name not in _OPENID_SCOPES]
    usable = [name for name in names if _SCOPE.fullmatch(name) is not None][:_MOST_SCOPES]
    authentication = ClientAuthentication.CLIENT_SECRET_POST if told.posts_client_secret else ClientAuthentication.CLIENT_SECRET_BASIC
    offers.oauth2 = OAuth2Definition(
        grants=(AuthenticationType.OAUTH2_AUTHORIZATION_CODE, AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP),
        token_url=told.token_url,
        authorize_url=told.authorize_url,
        revoke_url=told.revoke_url,
        issuer=told.issuer,
        client_authentication=authentication,
        scopes=tuple(ScopeDefinition(name, default=name in ("openid", "offline_access")) for name in usable),
    )
    offers.take(scheme, f"OpenID Connect, as {told.issuer} says of itself.")

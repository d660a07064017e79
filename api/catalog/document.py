"""A definition as the table of a connector file: what the file would say that offers the same."""

from collections.abc import Mapping
from typing import Any

import tomli_w

from api.catalog.definition import ConnectorDefinition, FieldDefinition, OAuth2Definition, PlacementDefinition
from api.catalog.patterns import LONGEST_VALUE
from api.catalog.using import PlacementLocation, Proof
from models import AuthenticationType

Document = dict[str, Any]

CONSENT = (AuthenticationType.OAUTH2_AUTHORIZATION_CODE, AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP)
GRANTS = {
    AuthenticationType.OAUTH2_CLIENT_CREDENTIALS: "client_credentials",
    AuthenticationType.OAUTH2_PASSWORD: "password",
    AuthenticationType.OAUTH2_JWT_BEARER: "assertion",
}
_LABELS = {
    AuthenticationType.OAUTH2_CLIENT_CREDENTIALS: "OAuth client (client credentials)",
    AuthenticationType.OAUTH2_PASSWORD: "OAuth client with user name and password",
    AuthenticationType.OAUTH2_JWT_BEARER: "OAuth client with a signed JWT",
}
_LOCATIONS = {PlacementLocation.HEADER: "headers", PlacementLocation.QUERY: "query"}


def document_of(definition: ConnectorDefinition) -> Document:
    """The table. It may have mistakes: whoever reads it tells."""
    return _present(
        {
            "name": definition.name,
            "vendor": definition.vendor,
            "category": definition.category,
            "documentation": definition.documentation_url,
            "base_url": definition.base_url,
            "fields": {field.name: _field(field) for field in definition.fields} or None,
            "verify": _verify(definition),
            **_oauth2(definition),
            "personal_access_token": _token("Personal access token", "token", definition.personal_access_token, definition),
            "api_key": _token("API key", "api_key", definition.api_key, definition),
            "basic": _basic(definition) if definition.basic else None,
        }
    )


def toml_of(document: Mapping[str, Any]) -> str:
    """The text of the connector file."""
    return tomli_w.dumps(document)


def _field(field: FieldDefinition) -> Document:
    return _present(
        {
            "label": field.label,
            "secret": field.secret or None,
            "required": None if field.required else False,
            "pattern": field.pattern,
            "longest": None if field.pattern is None else LONGEST_VALUE,
            "example": field.example,
            "help": field.help,
        }
    )


def _verify(definition: ConnectorDefinition) -> Document | None:
    verify = definition.verify
    if verify is None:
        return None
    return _present({"path": verify.path, "method": None if verify.method == "GET" else verify.method, "account": verify.account})


def _token(label: str, name: str, placement: PlacementDefinition | None, definition: ConnectorDefinition) -> Document | None:
    """An option that asks for one secret."""
    if placement is None:
        return None
    return {
        "label": label,
        **_proof(definition, Proof.NONE),
        "send": {_LOCATIONS[placement.location]: {placement.name: placement.format.replace("{token}", f"{{{name}}}")}},
        "fields": {name: {"label": label, "secret": True}},
    }


def _basic(definition: ConnectorDefinition) -> Document:
    return {
        "label": "User name and password",
        **_proof(definition, Proof.NONE),
        "send": {"basic": {"username": "{username}", "password": "{password}"}},
        "fields": {"username": {"label": "User name"}, "password": {"label": "Password", "secret": True}},
    }


def _proof(definition: ConnectorDefinition, otherwise: Proof) -> Document:
    """Without a request that proves it, a credential is proven by having been got, or not at all."""
    return {} if definition.verify is not None else {"proof": otherwise.value}


def _oauth2(definition: ConnectorDefinition) -> Document:
    oauth2 = definition.oauth2
    if oauth2 is None:
        return {}
    options = {"consent": _consent(definition, oauth2)} if set(CONSENT) & set(oauth2.grants) else {}
    return options | {GRANTS[grant]: _grant(definition, oauth2, grant) for grant in oauth2.grants if grant in GRANTS}


def _consent(definition: ConnectorDefinition, oauth2: OAuth2Definition) -> Document:
    apps = [app for app, grant in zip(("operator", "own"), CONSENT, strict=True) if grant in oauth2.grants]
    return _present(
        {
            "label": f"Sign in with {definition.name}",
            **_proof(definition, Proof.TOKEN_EXCHANGE),
            "apps": apps if len(apps) < len(CONSENT) else None,
            "authorize_url": oauth2.authorize_url,
            "issuer": oauth2.issuer,
            "pkce": "supported" if oauth2.pkce else "unsupported",
            "authorize_parameters": dict(oauth2.authorize_parameters) or None,
            **_tokens(oauth2, oauth2.client_authentication.value.lower()),
        }
    )


def _grant(definition: ConnectorDefinition, oauth2: OAuth2Definition, grant: AuthenticationType) -> Document:
    """A grant without consent. What it gives a token for, it can be asked for again."""
    is_signed = grant is AuthenticationType.OAUTH2_JWT_BEARER
    return {
        "label": _LABELS[grant],
        **_proof(definition, Proof.TOKEN_EXCHANGE),
        **_tokens(oauth2, "none" if is_signed else oauth2.client_authentication.value.lower()),
        "refresh": {"supported": False},
        **(_assertion(oauth2) if is_signed else {}),
    }


def _tokens(oauth2: OAuth2Definition, client_authentication: str) -> Document:
    revoke = {"url": oauth2.revoke_url, "client_authentication": client_authentication, "parameters": {"token": "{token}"}}
    return _present(
        {
            "token_url": oauth2.token_url,
            "client_authentication": client_authentication,
            "scope_separator": None if oauth2.scope_separator == " " else oauth2.scope_separator,
            "scopes": [_present(_scope(oauth2, place)) for place in range(len(oauth2.scopes))] or None,
            "token_parameters": dict(oauth2.token_parameters) or None,
            "revoke": None if oauth2.revoke_url is None else revoke,
        }
    )


def _scope(oauth2: OAuth2Definition, place: int) -> Document:
    scope = oauth2.scopes[place]
    return {
        "name": scope.name,
        "mandatory": scope.mandatory or None,
        "default": scope.default or None,
        "description": scope.description,
    }


def _assertion(oauth2: OAuth2Definition) -> Document:
    """As RFC 7523 section 3 has it: the client says for whom, to the one whose token URL it is."""
    return {
        "assertion": {"claims": {"iss": "{client_id}", "sub": "{subject}", "aud": oauth2.issuer or oauth2.token_url}},
        "fields": {
            "client_id": {"label": "Client ID"},
            "subject": {"label": "Subject", "help": "On whose behalf: an account, or the client itself."},
            "private_key": {"label": "Private key (PEM)", "secret": True},
        },
    }


def _present(table: Mapping[str, Any]) -> Document:
    """Without what is not said."""
    return {key: value for key, value in table.items() if value is not None}

"""The OAuth 2.0 part of a connector file."""

from api.catalog.binding import Binding
from api.catalog.connector import Discovery, OAuth2, Pkce, Refresh, Revocation
from api.catalog.table import Table, words
from api.catalog.templates import read_templates, read_url
from models import AuthenticationType

# Words of the OAuth engine; a test holds them equal to its own.
CLIENT_AUTHENTICATIONS = words("client_secret_basic", "client_secret_basic_raw", "client_secret_post", "none")
BODY_FORMATS = words("form", "json", "query")
TOKEN_PATHS = words(
    "access_token", "refresh_token", "token_type", "expires_in", "refresh_expires_in", "scope", "error", "error_description"
)

_PKCE = {pkce.value: pkce for pkce in Pkce}
_METHODS = words("GET", "POST", "PUT", "PATCH", "DELETE")

# What the protocol says itself: a file may not say it differently.
_AUTHORIZE_RESERVED = {"response_type", "client_id", "redirect_uri", "state", "scope", "code_challenge", "code_challenge_method"}
_TOKEN_RESERVED = {"grant_type", "code", "redirect_uri", "code_verifier", "refresh_token", "client_id", "client_secret", "scope"}


def read_oauth2(table: Table, type: AuthenticationType, binding: Binding, operator_app: bool) -> OAuth2:
    consent = type is AuthenticationType.OAUTH2_AUTHORIZATION_CODE
    gets_app_secret = consent and operator_app
    callback, token, discovery = _capture(table, "callback_capture", binding), _capture(table, "token_capture", binding), None
    before = binding.before_captures().plus("client_id")
    after_callback = binding.after_capturing(callback).plus("client_id", "client_secret")
    after_token = binding.after_capturing({*callback, *token}).plus("client_id", "client_secret")
    if (found := table.find_table("discovery")) is not None:
        discovery = _discovery(found, binding, after_token)
    later = binding.after_capturing({*callback, *token, *(discovery.capture if discovery else ())}).plus("client_id", "client_secret")
    if not consent:
        for key in ("authorize_url", "authorize_parameters", "callback_capture", "pkce", "apps", "sends_issuer"):
            if key in table:
                table.complain(key, "belongs to consent only")
    return OAuth2(
        token_url=read_url(table, "token_url", after_callback, gets_app_secret),
        authorize_url=read_url(table, "authorize_url", before, gets_app_secret) if consent else None,
        issuer=read_url(table, "issuer", before, gets_app_secret) if "issuer" in table else None,
        sends_issuer=_sends_issuer(table),
        client_authentication=table.choice("client_authentication", CLIENT_AUTHENTICATIONS, "client_secret_basic"),
        pkce=table.choice("pkce", _PKCE, Pkce.SUPPORTED.value),
        # An empty text: scopes are never sent, the app has them.
        scope_parameter=table.find_text("scope_parameter", "scope") or None,
        scope_separator=table.find_text("scope_separator", " ") or " ",
        granted_scope_separator=table.find_text("granted_scope_separator"),
        body_format=table.choice("body_format", BODY_FORMATS, "form"),
        authorize_parameters=read_templates(table, "authorize_parameters", before, _AUTHORIZE_RESERVED),
        token_parameters=read_templates(table, "token_parameters", after_callback, _TOKEN_RESERVED),
        token_headers=table.mapping("token_headers"),
        token_paths=_token_paths(table),
        accepts_form_answer=table.flag("accepts_form_answer", False),
        token_types=table.texts("token_types", ("bearer",)),
        default_lifetime=table.find_duration("default_lifetime"),
        refresh_lifetime=table.find_duration("refresh_lifetime"),
        refresh=_refresh(table.table("refresh"), later.plus("refresh_token"), gets_app_secret),
        revocation=_revocation(table.find_table("revoke"), later, gets_app_secret),
        callback_capture=callback,
        token_capture=token,
        discovery=discovery,
    )


def _sends_issuer(table: Table) -> bool:
    sends_issuer = table.flag("sends_issuer", False)
    if sends_issuer and "issuer" not in table:
        table.complain("sends_issuer", "needs the issuer that is to be expected")
    return sends_issuer


def _token_paths(table: Table) -> dict[str, str]:
    paths = table.mapping("token_paths")
    for name in paths.keys() - TOKEN_PATHS.keys():
        table.table("token_paths").complain(name, "must be one of " + ", ".join(TOKEN_PATHS))
    return paths


def _refresh(table: Table, binding: Binding, gets_app_secret: bool) -> Refresh:
    return Refresh(
        supported=table.flag("supported", True),
        rotates=table.find_flag("rotates"),
        url=read_url(table, "url", binding, gets_app_secret) if "url" in table else None,
        client_authentication=table.find_choice("client_authentication", CLIENT_AUTHENTICATIONS),
        parameters=read_templates(table, "parameters", binding, _TOKEN_RESERVED - {"redirect_uri", "scope"}),
        reuse_window=table.find_duration("reuse_window"),
    )


def _revocation(table: Table | None, binding: Binding, gets_app_secret: bool) -> Revocation | None:
    if table is None:
        return None
    binding = binding.plus("token", "access_token", "refresh_token", "account")
    return Revocation(
        url=read_url(table, "url", binding, gets_app_secret),
        method=table.choice("method", _METHODS, "POST"),
        client_authentication=table.find_choice("client_authentication", CLIENT_AUTHENTICATIONS),
        body_format=table.choice("body_format", BODY_FORMATS, "form"),
        parameters=read_templates(table, "parameters", binding),
        headers=read_templates(table, "headers", binding),
    )


def _discovery(table: Table, binding: Binding, after_token: Binding) -> Discovery:
    discovery = Discovery(
        url=read_url(table, "url", after_token),
        entries=table.find_text("entries") or "",
        choose_field=table.find_text("choose_field"),
        choose_by=table.find_text("choose_by"),
        capture=_capture(table, "capture", binding),
    )
    if not discovery.capture:
        table.complain("capture", "a discovery keeps something")
    if (discovery.choose_field is None) != (discovery.choose_by is None):
        table.complain("choose_field", "stands with choose_by")
    if discovery.choose_field is not None and discovery.choose_field not in binding.before_captures().fields:
        table.complain("choose_field", f"“{discovery.choose_field}” is not a field that is asked for")
    return discovery


def _capture(table: Table, key: str, binding: Binding) -> dict[str, str]:
    captured = table.mapping(key)
    for name in captured:
        if name not in binding.fields or binding.fields[name].asked:
            table.table(key).complain(name, "is not a declared field with asked = false")
    return captured

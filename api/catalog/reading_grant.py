"""The part of a connector file that tells how a token is got, renewed and taken back."""

import re
from datetime import timedelta

from api.catalog.binding import Binding
from api.catalog.grant import Assertion, AssertionUse, Blame, CallbackSignature, Discovery, Grant, Pkce, Refresh, Revocation
from api.catalog.reading_using import read_basic
from api.catalog.table import Table, words
from api.catalog.template import Template
from api.catalog.templates import read_template, read_templates, read_url
from models import AuthenticationType

# Words of the OAuth engine; a test holds them equal to its own.
CLIENT_AUTHENTICATIONS = words("client_secret_basic", "client_secret_basic_raw", "client_secret_post", "none")
BODY_FORMATS = words("form", "json", "query")
TOKEN_PATHS = words(
    "access_token", "refresh_token", "token_type", "expires_in", "expires_at", "refresh_expires_in", "scope", "error", "error_description"
)
ALGORITHMS = words("RS256", "RS384", "RS512", "PS256", "ES256")

_PKCE = {pkce.value: pkce for pkce in Pkce}
_METHODS = words("GET", "POST", "PUT", "PATCH", "DELETE")
_TOKEN_METHODS = words("GET", "POST")
_USES = {use.value: use for use in AssertionUse}
_BLAMES = {blame.value: blame for blame in Blame}
_RATE = re.compile(r"([1-9][0-9]{0,5}) per (second|minute|hour)")
_SECONDS = {"second": 1, "minute": 60, "hour": 3600}

# What the protocol says itself: a file may not say it differently.
_AUTHORIZE_RESERVED = {
    "response_type", "client_id", "redirect_uri", "state", "scope", "nonce", "request_uri", "code_challenge", "code_challenge_method",
}  # fmt: skip
_TOKEN_RESERVED = {"grant_type", "code", "redirect_uri", "code_verifier", "refresh_token", "client_id", "client_secret", "scope"}
# Vendors ask for these where the protocol does not have them; where they do, the file says so.
_TOKEN_ALLOWED = {"scope"}
_TOKEN_ALLOWED_WITHOUT_CONSENT = {"scope", "refresh_token"}
_CONSENT_ONLY = ("authorize_url", "authorize_parameters", "callback_capture", "callback_signature", "pkce", "apps", "sends_issuer")
_ASSERTION_CLAIMS = ("iat", "exp", "jti")


def read_grant(table: Table, type: AuthenticationType, binding: Binding, operator_app: bool) -> Grant:
    consent = type.needs_consent
    gets_app_secret = consent and operator_app
    callback, token = read_capture(table, "callback_capture", binding), read_capture(table, "token_capture", binding)
    before = binding.before_captures().plus("client_id")
    after_callback = binding.after_capturing(callback).plus("client_id", "client_secret")
    later = binding.after_capturing({*callback, *token, *table.table("discovery").mapping("capture")}).plus("client_id", "client_secret")
    if not consent:
        for key in _CONSENT_ONLY:
            if key in table:
                table.complain(key, "belongs to consent only")
    assertion = _assertion(table, after_callback)
    own_token = assertion is not None and assertion.use is AssertionUse.TOKEN
    if own_token and "token_url" in table:
        table.complain("token_url", "nobody is asked for a token that is an assertion of our own")
    return Grant(
        token_url=None if own_token else read_url(table, "token_url", after_callback, gets_app_secret),
        token_method=table.choice("token_method", _TOKEN_METHODS, "POST"),
        grant_type=table.find_text("grant_type"),
        token_body=read_template(table, "token_body", after_callback, other_braces=True) if "token_body" in table else None,
        token_basic=read_basic(table.table("token_basic"), after_callback) if "token_basic" in table else None,
        assertion=assertion,
        authorize_url=read_url(table, "authorize_url", before, gets_app_secret) if consent else None,
        issuer=read_url(table, "issuer", before, gets_app_secret) if "issuer" in table else None,
        sends_issuer=_sends_issuer(table),
        client_authentication=table.choice("client_authentication", CLIENT_AUTHENTICATIONS, _usual_client_authentication(type)),
        pkce=table.choice("pkce", _PKCE, Pkce.SUPPORTED.value),
        # An empty text: scopes are never sent, the app has them.
        scope_parameter=table.find_text("scope_parameter", "scope") or None,
        scope_separator=table.find_text("scope_separator", " ") or " ",
        granted_scope_separator=table.find_text("granted_scope_separator"),
        body_format=table.choice("body_format", BODY_FORMATS, "form"),
        authorize_parameters=read_templates(table, "authorize_parameters", before, _AUTHORIZE_RESERVED),
        token_parameters=read_templates(
            table, "token_parameters", after_callback, _TOKEN_RESERVED - (_TOKEN_ALLOWED if consent else _TOKEN_ALLOWED_WITHOUT_CONSENT)
        ),
        token_headers=read_templates(table, "token_headers", after_callback),
        token_paths=_token_paths(table),
        accepts_form_answer=table.flag("accepts_form_answer", False),
        token_types=table.texts("token_types", ("bearer",)),
        default_lifetime=table.find_duration("default_lifetime"),
        refresh_lifetime=table.find_duration("refresh_lifetime"),
        refresh_lifetime_is_fixed=table.flag("refresh_lifetime_is_fixed", False),
        refresh=_refresh(table.table("refresh"), later.plus("refresh_token", "access_token", "redirect_uri"), gets_app_secret),
        revocation=_revocation(table.find_table("revoke"), later, gets_app_secret),
        callback_capture=callback,
        token_capture=token,
        callback_signature=_callback_signature(table),
        scopes_ignore_case=table.flag("scopes_ignore_case", False),
        scopes_unanswered=table.flag("scopes_unanswered", False),
        errors={code: table.table("errors").choice(code, _BLAMES, Blame.GRANT.value) for code in table.table("errors")},
    )


def read_discovery(table: Table, binding: Binding, before: Binding) -> Discovery:
    """`before` has what is known once there is a credential; `binding` all fields."""
    discovery = Discovery(
        url=read_url(table, "url", before),
        method=table.choice("method", _TOKEN_METHODS, "GET"),
        headers=read_templates(table, "headers", before),
        is_list=table.flag("list", True),
        entries=table.find_text("entries") or "",
        choose_field=table.find_text("choose_field"),
        choose_by=table.find_text("choose_by"),
        default_by=table.find_text("default_by"),
        capture=read_capture(table, "capture", binding),
    )
    if not discovery.capture:
        table.complain("capture", "a discovery keeps something")
    if (discovery.choose_field is None) != (discovery.choose_by is None):
        table.complain("choose_field", "stands with choose_by")
    if discovery.choose_field is not None and discovery.choose_field not in binding.before_captures().fields:
        table.complain("choose_field", f"“{discovery.choose_field}” is not a field that is asked for")
    return discovery


def read_capture(table: Table, key: str, binding: Binding) -> dict[str, str]:
    captured = table.mapping(key)
    for name in captured:
        field = binding.fields.get(name)
        if field is None or field.asked or field.derivation is not None:
            table.table(key).complain(name, "is not a declared field with asked = false")
    return captured


def _usual_client_authentication(type: AuthenticationType) -> str:
    """What stands where the file says nothing: a login by what somebody typed has no client."""
    has_client = type.needs_consent or type in (AuthenticationType.OAUTH2_CLIENT_CREDENTIALS, AuthenticationType.OAUTH2_PASSWORD)
    return "client_secret_basic" if has_client else "none"


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


def _assertion(table: Table, binding: Binding) -> Assertion | None:
    found = table.find_table("assertion")
    if found is None:
        return None
    claims = read_templates(found, "claims", binding, _ASSERTION_CLAIMS)
    return Assertion(
        key=read_template(found, "key", binding) if "key" in found else Template("{private_key}"),
        passphrase=read_template(found, "passphrase", binding, may_be_empty=True) if "passphrase" in found else None,
        algorithm=found.choice("algorithm", ALGORITHMS, "RS256"),
        use=found.choice("use", _USES, AssertionUse.GRANT.value),
        header=read_templates(found, "header", binding, ("alg", "typ")),
        claims=claims,
        lifetime=found.find_duration("lifetime") or timedelta(minutes=5),
    )


def _refresh(table: Table, binding: Binding, gets_app_secret: bool) -> Refresh:
    swaps = table.flag("swaps", False)
    reserved = set() if swaps else _TOKEN_RESERVED - {"redirect_uri", "scope"}
    refresh = Refresh(
        supported=table.flag("supported", True),
        rotates=table.find_flag("rotates"),
        url=read_url(table, "url", binding, gets_app_secret) if "url" in table else None,
        method=table.find_choice("method", _TOKEN_METHODS),
        client_authentication=table.find_choice("client_authentication", CLIENT_AUTHENTICATIONS),
        parameters=read_templates(table, "parameters", binding, reserved),
        token_paths=_token_paths(table) if "token_paths" in table else None,
        reuse_window=table.find_duration("reuse_window"),
        swaps=swaps,
        swaps_at_once=table.flag("swaps_at_once", False),
        minimum_age=table.find_duration("minimum_age"),
        idle_lifetime=table.find_duration("idle_lifetime"),
        rate=_rate(table),
        concurrency=table.find_number("concurrency"),
    )
    if refresh.concurrency is not None and refresh.concurrency < 1:
        table.complain("concurrency", "must be at least 1")
    if refresh.swaps and "grant_type" not in refresh.parameters:
        table.complain("parameters", "a swap names its grant_type")
    if refresh.swaps_at_once and not refresh.swaps:
        table.complain("swaps_at_once", "stands with swaps")
    return refresh


def _rate(table: Table) -> float | None:
    text = table.find_text("rate")
    if text is None:
        return None
    match = _RATE.fullmatch(text)
    if match is None:
        table.complain("rate", "must be a rate such as “10 per second” or “300 per minute”")
        return None
    return int(match[1]) / _SECONDS[match[2]]


def _revocation(table: Table | None, binding: Binding, gets_app_secret: bool) -> Revocation | None:
    if table is None:
        return None
    binding = binding.plus("token", "access_token", "refresh_token", "account")
    return Revocation(
        url=read_url(table, "url", binding, gets_app_secret),
        method=table.choice("method", _METHODS, "POST"),
        client_authentication=table.find_choice("client_authentication", CLIENT_AUTHENTICATIONS),
        body_format=table.choice("body_format", BODY_FORMATS, "form"),
        body=read_template(table, "body", binding, other_braces=True) if "body" in table else None,
        parameters=read_templates(table, "parameters", binding),
        headers=read_templates(table, "headers", binding),
    )


def _callback_signature(table: Table) -> CallbackSignature | None:
    found = table.find_table("callback_signature")
    return None if found is None else CallbackSignature(found.text("parameter"))

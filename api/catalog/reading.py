"""A connector file, read into the frozen types.

- `name`, `vendor`, `category`, `stage`, `documentation`, `base_url`, `headers`: who it is, and where its API is
- `requires`: constants without which the connector is not offered here
- `unconfirmed`: facts that nobody has seen confirmed yet, by key
- `fields`: what every option asks for, by name
- `verify`: the request that proves a credential; every option may have one of its own
- `consent`, `client_credentials`, `personal_access_token`, `api_key`, `basic`: the ways to authenticate, the best first

What goes where: `path` of a proof stands below the base URL, `send` says where a credential goes in a call, and `{names}` are
filled in with fields, captured values and required constants.
"""

import re
from collections.abc import Iterable, Mapping

from api.catalog.binding import Binding
from api.catalog.connector import (
    VERIFY_EVERY,
    Basic,
    Connector,
    ConnectorStage,
    Expectation,
    Field,
    OAuth2,
    Option,
    Placement,
    PlacementLocation,
    Proof,
    Scope,
    Template,
    Unconfirmed,
    Verification,
)
from api.catalog.reading_oauth import read_oauth2
from api.catalog.table import Table, words
from api.catalog.templates import read_template, read_templates, read_url
from models import AuthenticationType

OPTIONS = {
    "consent": AuthenticationType.OAUTH2_AUTHORIZATION_CODE,
    "client_credentials": AuthenticationType.OAUTH2_CLIENT_CREDENTIALS,
    "personal_access_token": AuthenticationType.PERSONAL_ACCESS_TOKEN,
    "api_key": AuthenticationType.API_KEY,
    "basic": AuthenticationType.BASIC,
}
OAUTH = (AuthenticationType.OAUTH2_AUTHORIZATION_CODE, AuthenticationType.OAUTH2_CLIENT_CREDENTIALS)

_STAGES = {"generally-available": ConnectorStage.GENERALLY_AVAILABLE, "preview": ConnectorStage.PREVIEW, "legacy": ConnectorStage.LEGACY}
_PROOFS = {proof.value: proof for proof in Proof}
_METHODS = words("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")
_APPS = words("operator", "own")

# Names that the engine gives values to itself.
_RESERVED_FIELDS = {"access_token", "refresh_token", "client_id", "client_secret", "account"}

_CLIENT_FIELDS = {
    "client_id": Field("client_id", "Client ID"),
    "client_secret": Field("client_secret", "Client secret", secret=True),
}


def read_connector(key: str, root: Table, constants: Mapping[str, str]) -> Connector:
    """The connector that the file describes; worth something only where it made no mistake."""
    requires = root.texts("requires")
    binding = Binding({}, frozenset(requires)).with_fields(_fields(root, _RESERVED_FIELDS | {"token"}))
    connector = Connector(
        key=key,
        name=root.text("name"),
        vendor=root.find_text("vendor"),
        category=_slug(root, "category"),
        stage=root.choice("stage", _STAGES, "generally-available"),
        documentation_url=_documentation(root),
        base_url=Template(root.text("base_url")),
        headers={name: Template(text) for name, text in root.mapping("headers").items()},
        fields=tuple(binding.fields.values()),
        options=tuple(_option(root, name, binding) for name in root if name in OPTIONS),
        constants={name: constants[name] for name in requires if name in constants},
        unconfirmed=_unconfirmed(root),
    )
    if not connector.options:
        root.complain("", "offers no way to authenticate: it needs one of " + ", ".join(OPTIONS))
    _complain_about_unused_captures(root, connector)
    for name in OPTIONS:
        root.find_table(name)
    root.find_table("verify")
    return connector


def _option(root: Table, name: str, binding: Binding) -> Option:
    table, type = root.table(name), OPTIONS[name]
    own = _option_fields(table, type, binding)
    binding = binding.with_fields(own)
    operator_app, own_app = _apps(table, type)
    oauth2 = None
    usable = binding.before_captures()
    if type in OAUTH:
        oauth2 = read_oauth2(table, type, binding, operator_app)
        captured = {*oauth2.callback_capture, *oauth2.token_capture, *(oauth2.discovery.capture if oauth2.discovery else ())}
        usable = binding.after_capturing(captured)
    proof = table.choice("proof", _PROOFS, Proof.REQUEST.value)
    placements, basic = _send(table, usable.plus("access_token") if oauth2 else usable, oauth2 is not None)
    base_url = read_url(table if "base_url" in table else root, "base_url", usable)
    for header in root.mapping("headers"):
        read_template(root.table("headers"), header, usable)
    return Option(
        type=type,
        label=table.text("label"),
        fields=tuple(own.values()),
        scopes=_scopes(table, oauth2),
        oauth2=oauth2,
        placements=placements,
        basic=basic,
        base_url=base_url if "base_url" in table else None,
        proof=proof,
        verification=_proof(root, table, proof, base_url, usable, oauth2 is not None),
        bring_your_own_app=own_app,
        operator_app=operator_app,
        verify_every=table.find_duration("verify_every") or VERIFY_EVERY,
    )


# Fields and scopes


def _fields(table: Table, reserved: Iterable[str]) -> dict[str, Field]:
    fields = table.table("fields")
    for name in fields:
        if re.fullmatch(r"[a-z][a-z0-9_]*", name) is None:
            fields.complain(name, "a field is named in lower case, with digits and underscores")
        if name in reserved:
            fields.complain(name, "is a name that has a meaning already")
    return {name: _field(fields.table(name), name) for name in fields}


def _field(table: Table, name: str) -> Field:
    field = Field(
        name=name,
        label=table.text("label"),
        secret=table.flag("secret", False),
        required=table.flag("required", True),
        default=table.find_text("default"),
        example=table.find_text("example"),
        pattern=_pattern(table),
        help=table.find_text("help"),
        options=table.texts("options") or None,
        asked=table.flag("asked", True),
    )
    for key, value in (("default", field.default), ("example", field.example)):
        # An empty text in the form is no value: it is never held against the pattern.
        if value and field.problem(value):
            table.complain(key, "is not a value that the field takes")
    if field.secret and field.default is not None:
        table.complain("default", "a secret has no default")
    if not field.asked and field.pattern is None and field.options is None:
        table.complain("asked", "a value that nobody is asked for needs a pattern or options")
    return field


def _pattern(table: Table) -> str | None:
    pattern = table.find_text("pattern")
    try:
        re.compile(pattern or "", re.ASCII)
    except re.error as error:
        table.complain("pattern", f"is not a regular expression: {error}")
        return None
    return pattern


def _option_fields(table: Table, type: AuthenticationType, binding: Binding) -> dict[str, Field]:
    if type is not AuthenticationType.OAUTH2_CLIENT_CREDENTIALS:
        own = _fields(table, _RESERVED_FIELDS | ({"token"} if type in OAUTH else set()))
    else:
        # Asked for in any case, first, and by the vendor's words where the file has them.
        own = _CLIENT_FIELDS | _fields(table, _RESERVED_FIELDS - _CLIENT_FIELDS.keys() | {"token"})
    for name in own.keys() & binding.fields.keys():
        table.table("fields").complain(name, "is a field of the whole connector already")
    return own


def _scopes(table: Table, oauth2: OAuth2 | None) -> tuple[Scope, ...]:
    if oauth2 is None:
        return ()
    scopes: dict[str, Scope] = {}
    for entry in table.tables("scopes"):
        name = entry.text("name")
        if name in scopes:
            entry.complain("name", f"“{name}” is listed already")
        if re.fullmatch(r"[!-~]+", name) is None or oauth2.scope_separator in name:
            entry.complain("name", "is not one scope")
        scopes[name] = Scope(name, entry.flag("mandatory", False), entry.flag("default", False), entry.find_text("description"))
    return tuple(scopes.values())


def _apps(table: Table, type: AuthenticationType) -> tuple[bool, bool]:
    """Whose OAuth apps may be used: the operator's, one's own."""
    if type is not AuthenticationType.OAUTH2_AUTHORIZATION_CODE:
        return True, True
    apps = table.texts("apps", tuple(_APPS))
    if not apps or not set(apps) <= set(_APPS):
        table.complain("apps", "must name " + ", ".join(_APPS) + ", or both")
    return "operator" in apps, "own" in apps


def _complain_about_unused_captures(root: Table, connector: Connector) -> None:
    captured: set[str] = set()
    for option in connector.options:
        if option.oauth2 is not None:
            captured |= {*option.oauth2.callback_capture, *option.oauth2.token_capture}
            captured |= set(option.oauth2.discovery.capture) if option.oauth2.discovery else set()
    declared = [(root.table("fields"), field) for field in connector.fields]
    for name in root:
        if name in OPTIONS:
            option = next(option for option in connector.options if option.type is OPTIONS[name])
            declared += [(root.table(name).table("fields"), field) for field in option.fields]
    for table, field in declared:
        if not field.asked and field.name not in captured:
            table.complain(field.name, "is asked of nobody, and nothing captures it")


# Requests


def _send(table: Table, binding: Binding, is_oauth: bool) -> tuple[tuple[Placement, ...], Basic | None]:
    """Where the credential goes; an access token goes into the Authorization header unless the file says otherwise."""
    send = table.table("send")
    placements = [
        Placement(location, name, value)
        for location, key in ((PlacementLocation.HEADER, "headers"), (PlacementLocation.QUERY, "query"))
        for name, value in read_templates(send, key, binding, names_too=True).items()
    ]
    basic = None
    if (found := send.find_table("basic")) is not None:
        basic = Basic(read_template(found, "username", binding), read_template(found, "password", binding))
    if not placements and basic is None:
        if not is_oauth:
            table.complain("send", "says nowhere where the credential goes: it needs headers, query or basic")
        placements = [Placement(PlacementLocation.HEADER, "Authorization", Template("Bearer {access_token}"))]
    return tuple(placements), basic


def _proof(root: Table, table: Table, proof: Proof, base_url: Template, binding: Binding, is_oauth: bool) -> Verification | None:
    if proof is Proof.TOKEN_EXCHANGE:
        if not is_oauth:
            table.complain("proof", "there is no token exchange here")
        if "verify" in table:
            table.complain("verify", "the token exchange is the proof already")
        return None
    found = table.find_table("verify") or root.find_table("verify")
    if found is None:
        table.complain("verify", 'nothing proves the credential: it needs a request, or proof = "token-exchange"')
        return None
    return _verification(found, base_url, binding)


def _verification(table: Table, base_url: Template, binding: Binding) -> Verification:
    expect = [Expectation(path, value) for path, value in table.scalars("expect").items()]
    return Verification(
        url=_proof_url(table, base_url, binding),
        method=table.choice("method", _METHODS, "GET"),
        headers=read_templates(table, "headers", binding),
        body=read_template(table, "body", binding, other_braces=True) if "body" in table else None,
        statuses=table.numbers("statuses", (200,)),
        expect=(*expect, *(Expectation(path) for path in table.texts("expect_present"))),
        account=table.find_text("account"),
        rejected=table.numbers("rejected", (401, 403)),
    )


def _proof_url(table: Table, base_url: Template, binding: Binding) -> Template:
    """`path` below the option's base URL, or a `url` elsewhere."""
    path = table.find_text("path")
    if "url" in table:
        if path is not None:
            table.complain("url", "stands instead of path, not beside it")
        return read_url(table, "url", binding)
    if path is None:
        table.complain("path", "is missing")
    elif not path.startswith(("/", "{")):
        table.complain("path", "must start with a slash")
    else:
        for problem in binding.url_problems(Template(base_url.text + path)):
            table.complain("path", problem)
    return Template(base_url.text + (path or ""))


# The head of the file


def _slug(table: Table, key: str) -> str:
    text = table.text(key)
    if text and re.fullmatch(r"[a-z][a-z0-9-]*", text) is None:
        table.complain(key, "is written in lower case, with hyphens")
    return text


def _documentation(root: Table) -> str | None:
    url = root.find_text("documentation")
    if url is not None and re.fullmatch(r"https://[!-~]+", url) is None:
        root.complain("documentation", "must be an https:// URL")
    return url


def _unconfirmed(root: Table) -> tuple[Unconfirmed, ...]:
    facts = []
    for entry in root.tables("unconfirmed"):
        facts.append(Unconfirmed(entry.text("key"), entry.text("what")))
        if facts[-1].key and not root.has(facts[-1].key):
            entry.complain("key", f"there is no “{facts[-1].key}” in this file")
    return tuple(facts)

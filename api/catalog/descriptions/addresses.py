"""From the addresses of a description to URLs of a definition: with fields for what differs from one account to the next."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urljoin, urlsplit

from api.catalog.definition import FieldDefinition
from api.catalog.descriptions.description import Finding, FindingKind, Server, Undecided, Variable
from api.catalog.descriptions.document import line

_NAME = re.compile(r"\{([^{}]{1,100})\}")
_PARTS = re.compile(r"(?P<scheme>https?)://(?P<host>[^/?#@\s]+)(?P<path>(?:/[!-\"$->@-~]*)?)(?:[?#].*)?", re.ASCII | re.IGNORECASE)
_HOST = re.compile(r"([a-z0-9.-]|\{[a-z][a-z0-9_]*\})+(:[0-9]{1,5})?", re.ASCII)
_LABEL_PATTERN = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_HOST_PATTERN = "[a-z0-9-]+([.][a-z0-9-]+)+"
_STEP_PATTERN = "[A-Za-z0-9_-][A-Za-z0-9._~-]{0,127}"
_LONGEST_PATTERN = 200
_LONGEST_URL = 1_000
_MOST_CANDIDATES = 10
_LOCAL_NAMES = ("localhost", ".localhost", ".local", ".internal", ".lan", ".home.arpa")


@dataclass(slots=True)
class Fields:
    """The fields that addresses need, made as they are met."""

    variables: Mapping[str, Variable] = field(default_factory=dict)
    made: dict[str, FieldDefinition] = field(default_factory=dict)

    def name_for(self, written: str, before: str, after: str) -> str | None:
        """The field that stands for a variable; None where none can."""
        name = _field_name(written)
        if name is None:
            return None
        if name not in self.made:
            self.made[name] = _field(name, self.variables.get(written, Variable()), before, after)
        return name


@dataclass(frozen=True, slots=True)
class Address:
    """An https URL, with `{fields}` where something differs. What had to be assumed for it is told."""

    url: str
    was_plain: bool = False

    @property
    def is_local(self) -> bool:
        host = urlsplit(self.url).netloc
        # Where a person names the host, it is theirs to be public.
        return "{" not in host and is_local(host)


@dataclass(frozen=True, slots=True)
class Base:
    """The base URL of a draft, and what is not certain about it."""

    url: str = ""
    undecided: tuple[Undecided, ...] = ()
    found: tuple[Finding, ...] = ()


def base_of(servers: Iterable[Server], fields: Fields, document_url: str | None) -> Base:
    """The first server that is https and public; the others are told."""
    usable: list[tuple[Server, Address]] = []
    found: list[Finding] = []
    relative: list[str] = []
    for server in servers:
        trial = Fields(server.variables)
        address = address_of(server.url, trial, document_url)
        if address is not None:
            usable.append((server, address))
        elif server.url.startswith("/"):
            relative.append(line(server.url))
        else:
            found.append(Finding(FindingKind.IGNORED, server.where, "Is not an address that a connector can have."))
    usable.sort(key=lambda each: (each[1].is_local, each[1].was_plain))
    if not usable:
        what = "It says only where the API is below its own address" if relative else "It does not say where the API is"
        return Base("", (Undecided("baseUrl", f"{what}. What is its base URL?", tuple(relative)),), tuple(found))
    server, address = usable[0]
    fields.variables = server.variables
    chosen = address_of(server.url, fields, document_url) or address
    found.append(Finding(FindingKind.FOUND, server.where, f"The base URL: {chosen.url}"))
    return Base(chosen.url, tuple(_doubts(chosen, usable)), tuple(found))


def _doubts(chosen: Address, usable: list[tuple[Server, Address]]) -> Iterable[Undecided]:
    others = tuple(dict.fromkeys(address.url for _, address in usable if address.url != chosen.url))[:_MOST_CANDIDATES]
    if chosen.is_local:
        yield Undecided("baseUrl", "Its only address is one of a private network. What is its public one?", others)
    elif chosen.was_plain:
        yield Undecided("baseUrl", "It names only http, which is not called. Does it answer by https under the same address?", others)
    elif others:
        yield Undecided("baseUrl", "It names several servers, of which the first was taken. Is that the one?", others)


def address_of(url: str, fields: Fields, base_url: str | None = None) -> Address | None:
    """What a URL of a description becomes. `base_url`: where a relative one counts from. None for what is no such URL."""
    url = _with_defaults(url.strip()[:_LONGEST_URL], fields.variables)[:_LONGEST_URL]
    if base_url is not None and not re.match(r"https?:|\{", url, re.IGNORECASE):
        url = _joined(base_url, url)
    match = _PARTS.fullmatch(url)
    if match is None:
        return None
    host, path = match["host"].lower() if "{" not in match["host"] else match["host"], match["path"].rstrip("/")
    filled = _filled(f"https://{host}{path}", fields)
    if filled is None or _HOST.fullmatch(filled.removeprefix("https://").partition("/")[0]) is None:
        return None
    return Address(filled, was_plain=match["scheme"].lower() == "http")


def _joined(base_url: str, url: str) -> str:
    # Braces stay what they are.
    try:
        return urljoin(base_url, url)
    except ValueError:
        return ""


def _with_defaults(url: str, variables: Mapping[str, Variable]) -> str:
    """With the values of what is no choice of a person's: schemes, ports and versions, and what has one value only."""

    def value(match: re.Match[str]) -> str:
        variable = variables.get(match[1])
        if variable is None:
            return match[0]
        only = variable.choices[0] if len(variable.choices) == 1 else variable.default
        before, after = url[: match.start()], url[match.end() :]
        is_whole = not before and (only or "").startswith(("https://", "http://"))
        is_scheme = not before and after.startswith("://")
        if is_scheme and "https" in (only, *variable.choices):
            return "https"
        in_path = "/" in before.partition("://")[2] or url.startswith("/")
        is_port = before.endswith(":") and not before.endswith("//")
        is_given = len(variable.choices) == 1 or (in_path and len(variable.choices) < 2)
        return only if only is not None and (is_whole or is_scheme or is_port or is_given) else match[0]

    return _NAME.sub(value, url)


def _filled(url: str, fields: Fields) -> str | None:
    """With names of fields in place of variables. None where a variable stands where no field can."""
    parts: list[str] = []
    at = 0
    for match in _NAME.finditer(url):
        before, after = url[: match.start()], url[match.end() :]
        name = fields.name_for(match[1], before, after)
        if name is None or (before.endswith(":") and not before.endswith("//")):
            return None
        parts += [url[at : match.start()], "{" + name + "}"]
        at = match.end()
    filled = "".join([*parts, url[at:]])
    return None if set("{}") & set(re.sub(r"\{[a-z][a-z0-9_]*\}", "", filled)) else filled


def _field_name(written: str) -> str | None:
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", written)
    name = re.sub(r"[^a-z0-9]+", "_", snake.lower()).strip("_")[:60].strip("_")
    if not name or not name[0].isalpha():
        return None
    # Words that the engine gives values to itself.
    taken = {"token", "access_token", "refresh_token", "client_id", "client_secret", "account", "redirect_uri", "username", "password"}
    return f"site_{name}" if name in taken | {"api_key"} else name


def _field(name: str, variable: Variable, before: str, after: str) -> FieldDefinition:
    in_host = "/" not in before.partition("://")[2]
    is_whole_host = in_host and before.endswith("://") and not after.startswith(".")
    pattern = _HOST_PATTERN if is_whole_host else _LABEL_PATTERN if in_host else _STEP_PATTERN
    chosen = "|".join(re.escape(choice) for choice in variable.choices)
    if chosen and len(chosen) <= _LONGEST_PATTERN - 2 and all(re.fullmatch(pattern, choice, re.ASCII) for choice in variable.choices):
        pattern = f"({chosen})"
    fitting = [value for value in (variable.default, *variable.choices) if value and re.fullmatch(pattern, value, re.ASCII)]
    one_of = line("One of " + ", ".join(variable.choices) + "." if variable.choices else "", longest=300)
    return FieldDefinition(
        name=name,
        label=name.replace("_", " ").capitalize(),
        pattern=pattern,
        example=fitting[0] if fitting else None,
        help=" ".join(filter(None, (variable.description, one_of))) or None,
    )


def is_local(host: str) -> bool:
    """Whether a host is one of this machine, or of a private network."""
    host = host.partition(":")[0]
    try:
        return not ip_address(host).is_global
    except ValueError:
        return host.endswith(_LOCAL_NAMES) or "." not in host

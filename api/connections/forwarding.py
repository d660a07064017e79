"""What of a call goes on to the provider, and what of its answer comes back: its address, its headers, and where a redirect leads.

Protected: the credential, which only the provider is sent, and only below the connection's base URL; and Patchbay's own origin, at which
answers of others arrive. Not protected: what the provider itself repeats in a body, which is passed on as it is.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, unquote_plus, urljoin, urlsplit, urlunsplit

from api.errors import InvalidInput

# They hold for one connection alone (RFC 9110 section 7.6.1, and what came before it).
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings"})
# Whom the caller is to Patchbay, by which way they came, and what would lead to another address than the one that is checked.
_NOT_UP = _HOP_BY_HOP | {
    "authorization",
    "cdn-loop",
    "cf-connecting-ip",
    "content-length",
    "cookie",
    "cookie2",
    "expect",
    "forwarded",
    "host",
    "origin",
    "referer",
    "true-client-ip",
    "via",
    "x-client-ip",
    "x-original-host",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
}
_NOT_UP_BEGINNINGS = ("access-control-", "patchbay-", "proxy-", "sec-", "x-forwarded", "x-patchbay-")
# What a browser, or a proxy in front of Patchbay, would take for the word of Patchbay itself.
_NOT_DOWN = _HOP_BY_HOP | {
    "accept-ch",
    "activate-storage-access",
    "alt-svc",
    "alt-used",
    "cache-control",
    "clear-site-data",
    "critical-ch",
    "date",
    "document-policy",
    "expect-ct",
    "expires",
    "feature-policy",
    "nel",
    "origin-agent-cluster",
    "permissions-policy",
    "pragma",
    "public-key-pins",
    "referrer-policy",
    "refresh",
    "report-to",
    "reporting-endpoints",
    "server",
    "server-timing",
    "service-worker-allowed",
    "set-cookie",
    "set-cookie2",
    "set-login",
    "sourcemap",
    "speculation-rules",
    "strict-transport-security",
    "supports-loading-mode",
    "surrogate-control",
    "timing-allow-origin",
    "via",
    "x-content-type-options",
    "x-dns-prefetch-control",
    "x-frame-options",
    "x-permitted-cross-domain-policies",
    "x-sourcemap",
    "x-xss-protection",
}
_NOT_DOWN_BEGINNINGS = (
    "access-control-",
    "attribution-reporting-",
    "content-security-policy",
    "cross-origin-",
    "observe-browsing-",
    "patchbay-",
    "proxy-",
    "sec-",
    "x-accel-",
    "x-lighttpd-",
    "x-patchbay-",
    "x-reproxy-",
    "x-sendfile",
)
_NOT_DOWN_ENDINGS = ("cdn-cache-control", "-sendfile")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

# Nobody encodes a path more often than this but to hide something in it.
_DECODINGS = 4
_STEPS = re.compile(r"[/\\]")
# What some servers leave away at the ends of a step.
_PADDING = " \t\r\n\x00"
# Dot and slash in UTF-8 that is longer than it may be, which old servers take.
_OVERLONG = (("\xc0\xae", "."), ("\xc0\xaf", "/"), ("\xc1\x9c", "\\"))
# What a URL is made of (RFC 3986 section 2). All else has to be encoded, and is not guessed at.
_PLAIN = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@/?%\[\]-]*", re.ASCII)
_LONGEST_URL = 12_000
_SHORTEST_SECRET = 6


@dataclass(frozen=True, slots=True)
class Passage:
    """The way of one call: `base_url` at the provider, `prefix` here. A base URL may be secret, as a whole or in parts."""

    base_url: str = field(repr=False)
    prefix: str
    # Of what the query may hold, what the credential alone says.
    parameters: frozenset[str] = frozenset()

    def target(self, path: str, query: str) -> str:
        """The address for a path and a query as they were sent. Raises InvalidInput for one that could lead away from the base URL."""
        if path and not path.startswith("/"):
            raise InvalidInput({"path": "must begin with /"})
        require_below(path)
        if not _PLAIN.fullmatch(path + query):
            raise InvalidInput({"path": "must have what is not plain in it percent-encoded, also in its query"})
        address, _, own_query = self.base_url.partition("?")
        parts = [part for part in (own_query, self.without_credential(query)) if part]
        url = (address.rstrip("/") if path else address) + path + ("?" + "&".join(parts) if parts else "")
        if len(url) > _LONGEST_URL:
            raise InvalidInput({"path": f"must not be longer than {_LONGEST_URL:,} characters with its query"})
        return url

    def without_credential(self, query: str) -> str:
        """A query without those parameters that the credential is sent in."""
        if not self.parameters:
            return query
        return "&".join(part for part in query.split("&") if unquote_plus(part.partition("=")[0]) not in self.parameters)

    def inward(self, location: str, target: str) -> str:
        """Where a redirect leads, for whoever calls through here: below the base URL through here again, else where it says."""
        url = urlsplit(urljoin(target, location))
        if url.scheme not in ("http", "https"):
            return location
        query = self.without_credential(url.query)
        rest = self._below(url.scheme, url.netloc, url.path)
        if rest is None:
            return urlunsplit(url._replace(query=query))
        return urlunsplit(("", "", self.prefix + rest, query, url.fragment))

    def outward(self, reference: str) -> str:
        """An address below `prefix`, as that at the provider; any other as it is. Raises InvalidInput as `target` does."""
        path = urlsplit(reference).path
        if not path.startswith(self.prefix + "/"):
            return reference
        return self.target(path.removeprefix(self.prefix), "")

    def _below(self, scheme: str, authority: str, path: str) -> str | None:
        base = urlsplit(self.base_url)
        base_path = base.path.rstrip("/")
        if (scheme, _authority(scheme, authority)) != (base.scheme, _authority(base.scheme, base.netloc)):
            return None
        return path.removeprefix(base_path) if path == base_path or path.startswith(base_path + "/") else None


def require_below(path: str) -> None:
    """Raises InvalidInput for a path that could lead above where it begins."""
    if leads_away(path):
        raise InvalidInput({"path": "must not have steps like “..”, however they are written"})


def leads_away(path: str) -> bool:
    """Whether a server may read a step to the folder above in this path, by whichever of the ways in which servers decode."""
    for _ in range(_DECODINGS):
        for overlong, meant in _OVERLONG:
            path = path.replace(overlong, meant)
        if any(step.partition(";")[0].strip(_PADDING) in (".", "..") for step in _STEPS.split(path)):
            return True
        decoded = unquote(path, encoding="latin-1")
        if decoded == path:
            return False
        path = decoded
    return True


def headers_up(headers: Iterable[tuple[str, str]], spelled: Collection[str]) -> dict[str, str]:
    """What of a caller's headers is for the provider: several of one name as one list, spelled as in `spelled` where they stand there."""
    headers = [(name.lower(), value) for name, value in headers]
    spelling = {name.lower(): name for name in spelled}
    dropped = _named_by_connection(headers)
    kept: dict[str, str] = {}
    for name, value in headers:
        if name in _NOT_UP or name in dropped or name.startswith(_NOT_UP_BEGINNINGS):
            continue
        name = spelling.get(name, name)
        kept[name] = f"{kept[name]}, {value}" if name in kept else value
    return kept


def headers_down(headers: Iterable[tuple[bytes, bytes]], status: int, *, challenges: bool) -> Iterator[tuple[bytes, bytes]]:
    """What of the provider's headers is for the caller. `challenges`: also those that a browser would ask a person for a password by."""
    lowered = [(name.lower(), value.strip()) for name, value in headers]
    dropped = _named_by_connection((name.decode("latin-1"), value.decode("latin-1")) for name, value in lowered)
    has_length = status in (204, 304)
    for name, value in lowered:
        text = name.decode("latin-1")
        if text in _NOT_DOWN or text in dropped or text.startswith(_NOT_DOWN_BEGINNINGS) or text.endswith(_NOT_DOWN_ENDINGS):
            continue
        if (name == b"www-authenticate" and not challenges) or _CONTROL.search(value):
            continue
        if name == b"content-length":
            if has_length:
                continue
            has_length = True
        yield name, value


class Redaction:
    """Takes a credential out of what a provider repeats of it in its headers."""

    def __init__(self, secrets: Iterable[str]) -> None:
        texts = {text for text in secrets if len(text) >= _SHORTEST_SECRET}
        forms = {form.encode() for text in texts for form in (text, quote(text, safe=""), quote(text))}
        # The longest first: one may be a part of another.
        self._forms = sorted(forms, key=len, reverse=True)

    def __repr__(self) -> str:
        return f"Redaction({len(self._forms)} forms)"

    def of(self, value: bytes) -> bytes:
        for form in self._forms:
            value = value.replace(form, b"***")
        return value


def _named_by_connection(headers: Iterable[tuple[str, str]]) -> frozenset[str]:
    return frozenset(item.strip().lower() for name, value in headers if name == "connection" for item in value.split(","))


def _authority(scheme: str, authority: str) -> str:
    return authority.lower().removesuffix({"https": ":443", "http": ":80"}.get(scheme, ""))


def secrets_of(headers: Mapping[str, str], query: Mapping[str, str], fields: Iterable[str]) -> Iterator[str]:
    """Every text that a provider could repeat a credential by."""
    yield from fields
    for value in (*headers.values(), *query.values()):
        yield value
        # Behind `Bearer` or `Basic`.
        yield value.rpartition(" ")[2]

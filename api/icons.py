"""Pictures for connectors: monograms that we draw ourselves, so that nobody's logo is used."""

import hashlib
from html import escape
from urllib.parse import quote

_COLOURS = 360


def icon_path(connector_key: str) -> str:
    """Where the picture of a connector is served."""
    return f"/connectors/{quote(connector_key, safe='')}.svg"


def monogram(key: str, name: str) -> str:
    """An SVG with the initials of a name, on a colour that is the key's for good."""
    hue = int.from_bytes(hashlib.sha256(key.encode()).digest()[:2], "big") % _COLOURS
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64" role="img">'
        f"<title>{escape(name)}</title>"
        f'<rect width="64" height="64" rx="14" fill="hsl({hue} 45% 38%)"/>'
        '<text x="32" y="33" fill="#fff" font-family="system-ui, sans-serif" font-size="26" font-weight="600" '
        f'text-anchor="middle" dominant-baseline="central">{escape(_initials(name))}</text></svg>'
    )


def _initials(name: str) -> str:
    words = [word for word in name.split() if word[0].isalnum()] or ["?"]
    return (words[0][0] + words[1][0] if len(words) > 1 else words[0][:2]).upper()

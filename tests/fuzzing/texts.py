"""Texts that somewhere mean something else than in most places, and ways to spoil a text or bytes."""

import random

HOSTILE_TEXTS = [
    "", " ", "\x00", "a\x00b", "\ud800", "\U0010ffff", "\ufeff", "\u202e", "\r\n", "x" * 5_000, "%s%n{0}${x}", "../../etc/passwd",
    "' OR 1=1 --", "%", "_", "\\", "*", '"', "NaN", "null", "-1", "1" * 400, "🙂" * 100, "é", "e\u0301", "İ", "ß", "javascript:alert(1)",
    "https://[::1", "http://127.0.0.1/", "//evil.example", "https://a@b.example/", "00000000-0000-0000-0000-000000000000",
    "urn:uuid:00000000-0000-0000-0000-000000000000", "{00000000-0000-0000-0000-00000000000}", "9999999999999999999999", "١٢٣",
]  # fmt: skip
_PIECES = [
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "$",
    "@",
    "...",
    '"',
    '"""',
    "\\u{110000}",
    "\\ud800",
    "#",
    "\x00",
    "\ufeff",
    "1e999",
    "fragment",
    "on",
]


def shaken(text: str, chance: random.Random) -> str:
    """The text with something of it gone, twice there, or with something strange in it."""
    here, there = sorted(chance.randrange(len(text) + 1) for _ in range(2))
    match chance.randrange(4):
        case 0:
            return text[:here] + text[there:]
        case 1:
            return text[:there] + text[here:]
        case 2:
            return text[:here]
    return text[:here] + chance.choice(_PIECES) + text[here:]

"""Values that follow from others, such as the region in a key or the client in a key file."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence

from api.catalog.connector import Case, Derivation, Field
from api.oauth.answers import Refused, Unreadable, find, parse_json


def derived(fields: Sequence[Field], given: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The values of all fields that are derived, and what is wrong with their sources: field path → problem."""
    values: dict[str, str] = {}
    mistakes: dict[str, str] = {}
    for field in fields:
        if field.derivation is None or not given.get(field.derivation.source):
            continue
        value = _follow(field.derivation, given[field.derivation.source], given.get(field.derivation.passphrase or ""))
        if value is None or field.problem(value):
            mistakes[f"fields.{field.derivation.source}"] = f"does not hold a usable {field.label.lower()}"
        else:
            values[field.name] = value
    return values, mistakes


def _follow(steps: Derivation, value: str, passphrase: str | None) -> str | None:
    if steps.path is not None:
        found = _in_json(value, steps.path)
        if found is None:
            return None
        value = found
    if steps.match is not None:
        match = re.fullmatch(steps.match, value, re.ASCII)
        # A group that may be absent has nothing in it then.
        if match is None or match[1] is None:
            return None
        value = match[1]
    if steps.fingerprint:
        fingerprint = _fingerprint(value, passphrase)
        if fingerprint is None:
            return None
        value = fingerprint
    for text, other in steps.replace.items():
        value = value.replace(text, other)
    match steps.case:
        case Case.LOWER:
            return value.lower()
        case Case.UPPER:
            return value.upper()
    return value


def _in_json(text: str, path: str) -> str | None:
    try:
        found = find(parse_json(text.encode()), path)
    except (Unreadable, Refused, UnicodeEncodeError):
        return None
    return found if isinstance(found, str) else None


def _fingerprint(pem: str, passphrase: str | None) -> str | None:
    # Few connectors ask for it, and it takes 15 ms and 2 MB to import.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    try:
        key = load_pem_private_key(pem.encode(), password=passphrase.encode() if passphrase else None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return base64.b64encode(hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()).decode()

"""What stands in braces, and what is put there."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from tests.catalog.simulator.keys import encrypted_key, private_key, public_key

_NAME = re.compile(r"\{([a-z][a-z0-9_]*)\}")
PASSPHRASE = "open sesame"


def names_in(template: Any) -> frozenset[str]:
    """All names in a text, or in the texts of a table or list."""
    return frozenset(_NAME.findall(template if isinstance(template, str) else json.dumps(template)))


def pattern_of(template: str) -> re.Pattern[str]:
    """What a text looks like whatever is put into it, as one step of a path each."""
    return re.compile("[^/]+".join(re.escape(part) for part in _NAME.split(template)[::2]))


def filled(template: Any, values: Mapping[str, str]) -> Any:
    """The same with every name filled in that has a value."""
    match template:
        case str():
            return _NAME.sub(lambda match: values.get(match[1], match[0]), template)
        case dict():
            return {str(filled(name, values)): filled(value, values) for name, value in template.items()}
        case list() | tuple():
            return [filled(value, values) for value in template]
    return template


def typed(template: Mapping[str, str], *, holder: str = "") -> dict[str, str]:
    """What a person types: with the keys of this holder where `{rsa}` and the like stand."""
    values = {}
    for name, text in template.items():
        for kind in ("rsa", "ec"):
            if f"{{{kind}" in text:
                key = private_key(kind + holder)
                text = text.replace(f"{{{kind}}}", key).replace(f"{{{kind}_in_json}}", json.dumps(key)[1:-1])
                text = text.replace(f"{{{kind}_locked}}", encrypted_key(kind + holder, PASSPHRASE))
        values[name] = text
    return values


def fingerprint() -> str:
    """Of the RSA key that vendors know."""
    return base64.b64encode(hashlib.sha256(public_key("rsa")).digest()).decode()

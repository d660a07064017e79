"""A text with names in it, and how values come into it."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from html import escape

_JSON = re.compile(r'\s*(\{\s*["}]|\[|")')
# What attributes would not keep as it is, beside what must always be escaped.
_WHITESPACE = str.maketrans({"\r": "&#13;", "\n": "&#10;", "\t": "&#9;"})
_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Template:
    """A text with `{names}` in it, such as `https://{subdomain}.zendesk.com/api/v2`."""

    text: str

    @property
    def names(self) -> frozenset[str]:
        return _names(self.text)

    def render(self, values: Mapping[str, str]) -> str:
        """Fill every name in. Raises KeyError for one that has no value."""
        if "{" not in self.text:
            return self.text
        return _PLACEHOLDER.sub(lambda match: values[match[1]], self.text)

    def render_document(self, values: Mapping[str, str]) -> str:
        """As `render`, where the text is JSON or XML: then every value is written as a string of it, whatever it holds."""
        escape = _escape_of(self.text)
        return self.render({name: escape(values[name]) for name in self.names})


# Asked for again and again of the same texts: those of connectors.
@lru_cache(maxsize=4096)
def _names(text: str) -> frozenset[str]:
    return frozenset(_PLACEHOLDER.findall(text))


def _escape_of(text: str) -> Callable[[str], str]:
    # An object or a list of JSON; a placeholder is a brace with a letter behind it.
    if _JSON.match(text):
        return lambda value: json.dumps(value)[1:-1]
    if text.lstrip().startswith("<"):
        return lambda value: escape(value).translate(_WHITESPACE)
    return lambda value: value

"""Documents from a grammar over the schema that is served: most are valid, some are wrong in one place, some are meant to be too much."""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    get_introspection_query,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_enum_type,
    is_input_object_type,
    is_list_type,
    is_non_null_type,
    is_required_argument,
    is_required_input_field,
    is_union_type,
)

from api.graphql.schema import schema
from tests.fuzzing.texts import HOSTILE_TEXTS, shaken

_SCHEMA = schema._schema
# By request and answer a subscription is refused, but it is read.
_KINDS = ("query",) * 10 + ("mutation",) * 9 + ("subscription",)
_SECRET_FIELDS = {"value", "clientSecret"}
_MOMENTS = ["2999-01-31T12:00:00Z", "2020-01-01T00:00:00+02:00", "soon", "", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]
_NUMBERS = [0, 1, 2, 5, 50, 100, 101, -1, 2**31 - 1, 2**31, 10**30, 1.5]
# Which ids fit where, by a part of the name.
_NOUNS = ("folder", "connection", "app", "user", "group", "authorization", "token", "parent", "owner", "actor", "client")
_SAME = {"parent": "folder", "owner": "user", "actor": "user"}


class Word(str):
    """A text that stands in a document without quotes: one of an enumeration."""

    __slots__ = ()


@dataclass(frozen=True)
class Asked:
    query: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    operation: str | None = None

    @property
    def body(self) -> dict[str, Any]:
        return {"query": self.query, "variables": self.variables} | ({"operationName": self.operation} if self.operation else {})


class Documents:
    """Makes documents, by chance. `ids` are those of things that are there; `canary` stands for every secret."""

    def __init__(self, chance: random.Random, ids: Mapping[str, Sequence[str]], canary: str) -> None:
        self._chance = chance
        self._ids = ids
        self._canary = canary

    def next(self, kinds: Sequence[str] = _KINDS) -> Asked:
        if self._chance.random() < 0.04:
            return Asked(self._chance.choice(_TOO_MUCH)(self._chance.choice([3, 30, 300, 1500])))
        asked = _Writer(self._chance, self._ids, self._canary).write(self._chance.choice(kinds))
        return Asked(shaken(asked.query, self._chance), asked.variables, asked.operation) if self._chance.random() < 0.05 else asked


class _Writer:
    """Writes one document."""

    def __init__(self, chance: random.Random, ids: Mapping[str, Sequence[str]], canary: str) -> None:
        self._chance = chance
        self._ids = ids
        self._canary = canary
        self._wrong = chance.choice([0.0, 0.0, 0.0, 0.01, 0.03])
        self._may_come_back = chance.random() < 0.05
        self._aliases = 0
        self._declared: list[str] = []
        self._given: dict[str, Any] = {}
        # The type of each fragment, and its text once it is written.
        self._fragments: dict[str, tuple[Any, str]] = {}

    def write(self, kind: str) -> Asked:
        root = {"query": _SCHEMA.query_type, "mutation": _SCHEMA.mutation_type, "subscription": _SCHEMA.subscription_type}[kind]
        body = self._selection(root, self._chance.randint(2, 6), most=3 if kind == "query" else 1)
        if self._happens(0.03):
            self._spread(_SCHEMA.type_map["User"], 2)
        declared = f"({', '.join(self._declared)})" if self._declared else ""
        directives = self._directives() if self._happens(self._wrong) else ""
        parts = [f"{kind} Asked{declared}{directives} {body}", *(text for _, text in self._fragments.values())]
        several = self._happens(0.03)
        if several:
            parts.append("query Other { viewer { id } }")
        self._chance.shuffle(parts)
        chosen = self._chance.choice(["Asked", "Other", "None", "", None]) if several or self._happens(0.03) else None
        return Asked(" ".join(parts), self._given, chosen)

    def _happens(self, share: float) -> bool:
        return self._chance.random() < share

    def _selection(self, type_: Any, depth: int, *, most: int = 6) -> str:
        if is_union_type(type_):
            members = self._chance.sample(type_.types, min(len(type_.types), 3))
            return "{ __typename " + " ".join(f"... on {each.name} {self._selection(each, depth)}" for each in members) + " }"
        names = [name for name, each in type_.fields.items() if depth > 0 or not is_composite_type(get_named_type(each.type))]
        chosen = self._chance.sample(names, min(len(names), self._chance.randint(1, most)))
        parts = [self._field(name, type_.fields[name], depth) for name in chosen] or ["__typename"]
        may_have_more = type_ is not _SCHEMA.subscription_type or self._happens(self._wrong)
        if may_have_more and self._happens(0.1):
            parts.append(f"...{self._spread(type_, depth)}{self._directives()}")
        if may_have_more and self._happens(0.1):
            parts.append(f"... on {type_.name} {self._directives()} {{ __typename }}")
        if self._happens(self._wrong):
            parts.append(
                self._chance.choice(["unknown", "id { id }", "...Nowhere", "... on Nothing { id }", "__schema { types { name } }"])
            )
        return "{ " + " ".join(parts) + " }"

    def _spread(self, type_: Any, depth: int) -> str:
        """The name of a fragment of this type: of one that is there already, or of a new one."""
        there = [name for name, (kind, text) in self._fragments.items() if kind is type_ and (text or self._may_come_back)]
        if there and self._happens(0.6):
            return self._chance.choice(there)
        name = f"F{len(self._fragments)}"
        self._fragments[name] = (type_, "")
        body = self._selection(type_, depth - 1 if depth > 0 else 0)
        self._fragments[name] = (type_, f"fragment {name} on {type_.name} {body}")
        return name

    def _field(self, name: str, definition: GraphQLField, depth: int) -> str:
        alias = self._alias() if self._happens(0.5 if definition.args else 0.05) else ""
        below = get_named_type(definition.type)
        selection = self._selection(below, depth - 1) if is_composite_type(below) and not self._happens(self._wrong) else ""
        return f"{alias}{name}{self._arguments(name, definition)}{self._directives()} {selection}"

    def _alias(self) -> str:
        self._aliases += 1
        return f"a{self._chance.randrange(3) if self._happens(self._wrong) else self._aliases}: "

    def _arguments(self, owner: str, definition: GraphQLField) -> str:
        given = {
            name: each
            for name, each in definition.args.items()
            if (is_required_argument(each) and not self._happens(self._wrong)) or self._happens(0.4)
        }
        written = [f"{name}: {self._argument(owner if name == 'id' else name, each)}" for name, each in given.items()]
        if self._happens(self._wrong):
            written.append("unknown: 1")
        return f"({', '.join(written)})" if written else ""

    def _argument(self, name: str, argument: GraphQLArgument) -> str:
        value = self._value(name, argument.type)
        if not self._happens(0.5):
            return literal(value)
        variable = f"v{len(self._declared)}"
        type_ = self._chance.choice(["Int", "[String!]!", "ConnectInput", "Nothing"]) if self._happens(self._wrong) else str(argument.type)
        default = f" = {literal(self._value(name, argument.type))}" if self._happens(0.1) else ""
        self._declared.append(f"${variable}: {type_}{default}")
        if not self._happens(self._wrong):
            self._given[variable] = value
        return f"${variable}"

    def _value(self, name: str, type_: Any, depth: int = 0) -> Any:
        if self._happens(self._wrong):
            return self._wrong_value(type_)
        if not is_non_null_type(type_) and self._happens(0.1):
            return None
        kind = get_nullable_type(type_)
        if is_list_type(kind):
            length = 500 if self._happens(self._wrong) else self._chance.randrange(4)
            return [self._value(name, kind.of_type, depth) for _ in range(length)]
        if is_input_object_type(kind):
            chosen = {key: each for key, each in kind.fields.items() if is_required_input_field(each) or self._happens(0.5)}
            more = {"unknown": self._canary} if self._happens(self._wrong) else {}
            return {key: self._value(key, each.type, depth + 1) for key, each in chosen.items()} | more
        return self._leaf(name, kind)

    def _leaf(self, name: str, kind: Any) -> Any:
        match kind.name:
            case _ if is_enum_type(kind):
                return self._enum(kind)
            case "Int":
                return self._chance.choice(_NUMBERS[:6] if not self._happens(self._wrong) else _NUMBERS)
            case "Boolean":
                return self._happens(0.5)
            case "DateTime":
                return self._chance.choice(_MOMENTS)
            case "ID":
                return self._id(name)
        return self._text(name)

    def _enum(self, kind: GraphQLEnumType) -> Word:
        return Word(self._chance.choice([*kind.values, "NOTHING"] if self._happens(self._wrong) else list(kind.values)))

    def _id(self, name: str) -> str:
        if self._happens(0.1):
            return self._chance.choice([str(UUID(int=self._chance.getrandbits(128))), *HOSTILE_TEXTS])
        noun = next((_SAME.get(each, each) for each in _NOUNS if each in name.lower()), None)
        known = self._ids.get(noun or "") if not self._happens(0.1) else None
        return self._chance.choice(known or [id for ids in self._ids.values() for id in ids])

    def _text(self, name: str) -> str:
        if name in _SECRET_FIELDS:
            return self._canary
        if (name == "key" or "connector" in name.lower()) and not self._happens(0.1):
            # No other: its provider would be asked.
            return "sandbox"
        if name == "name" and self._happens(0.3):
            return "token"
        return self._chance.choice(["x", "Sales", "https://a.example/b", *HOSTILE_TEXTS]) if self._happens(0.7) else ""

    def _wrong_value(self, type_: Any) -> Any:
        kind = get_named_type(type_)
        # Where a text is taken it is no secret, and is shown again.
        planted = [] if getattr(kind, "name", "") in ("String", "ID") else [self._canary, {"name": self._canary}, [self._canary] * 3]
        return self._chance.choice([None, [], {}, True, 1, -0.5, 10**30, [[[]]], {"a": {"b": [None]}}, [1] * 1000, *planted])

    def _directives(self) -> str:
        if not self._happens(0.05):
            return ""
        if self._happens(self._wrong):
            return self._chance.choice([" @nothing", " @include", " @skip(if: 1)", " @deprecated", " @include(if: $none)"])
        return self._chance.choice([" @include(if: true)", " @skip(if: false)", " @skip(if: false) @include(if: true)", " @skip(if: true)"])


def literal(value: Any) -> str:
    """A value as it stands in a document."""
    match value:
        case Word():
            return value
        case dict():
            return "{" + ", ".join(f"{key}: {literal(each)}" for key, each in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(literal, value)) + "]"
    return json.dumps(value)


def _chain(size: int, *, closed: bool) -> str:
    spreads = [f"fragment F{number} on User {{ ...F{number + 1} ...F{number + 1} }}" for number in range(size)]
    return " ".join(["{ viewer { ...F0 } }", *spreads, f"fragment F{size} on User {{ {'...F0' if closed else 'id'} }}"])


# Documents that grow with a number, each in its own direction.
_TOO_MUCH: list[Callable[[int], str]] = [
    lambda size: _chain(size, closed=False),
    lambda size: _chain(size, closed=True),
    lambda size: "{ viewer { " + "workspace { parent { " * size + "id" + " } }" * size + " } }",
    lambda size: "{ " + "... { " * size + "viewer { id }" + " }" * size + " }",
    lambda size: "{ viewer { " + " ".join(f"a{number}: id" for number in range(size)) + " } }",
    lambda size: "{ viewer { id " + "@skip(if: false) " * size + "} }",
    lambda size: "{ viewer { " + "id " * size + "} }",
    lambda size: "{ " + "viewer { id } " * size + "}",
    lambda size: f"{{ connections(first: {10**size}) {{ nodes {{ id }} }} }}",
    lambda size: f"{{ connections(filter: {{status: [{'CONNECTED ' * size}]}}) {{ nodes {{ id }} }} }}",
    lambda size: "{ connections(filter: " + "{filter: " * size + "1" + "}" * size + ") { nodes { id } } }",
    lambda size: "{ connections(filter: " + "[" * size + "]" * size + ") { nodes { id } } }",
    lambda size: "query(" + " ".join(f"$v{number}: Int" for number in range(size)) + ") { viewer { id } }",
    lambda size: "query($v: " + "[" * size + "Int" + "]" * size + ") { viewer { id } }",
    lambda size: " ".join(f"query Q{number} {{ viewer {{ id }} }}" for number in range(size)),
    lambda size: "{ __schema { types { " + "fields { type { " * size + "name" + " } }" * size + " } } }",
    lambda size: "{ folders(first: 100) { nodes { " * min(size, 20) + "id" + " } } }" * min(size, 20),
    lambda size: get_introspection_query() + " " + "# comment\n" * size,
    lambda size: f'{{ connector(key: """{chr(10) * size}""") {{ name }} }}',
    lambda size: "{ viewer { id } }" + "\ufeff,\t " * size,
]

"""What may stand in a template, and what a person or a provider could do with it.

A value that somebody types, or that comes back from a provider, ends up in URLs that are sent secrets. So what goes into a URL
must have a pattern, and that pattern is tried out here, when the file is read, with values that would lead a request elsewhere.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from api.catalog.connector import Field
from api.catalog.template import Template

_PLACEHOLDER = r"\{[a-z][a-z0-9_]*\}"
_WHOLE = re.compile(rf"(?P<name>{_PLACEHOLDER})(?P<rest>(?:[/?{{][!-~]*)?)", re.ASCII)
_DOMAIN = re.compile(r"(\.[a-z0-9-]+){2,}", re.ASCII)
_URL = re.compile(rf"https://(?P<host>(?:[a-z0-9.-]|{_PLACEHOLDER})+)(?::[0-9]{{1,5}})?(?P<rest>(?:[/?][!-~]*)?)", re.ASCII)

# Where the name in front of it ends, each of these would turn the rest of the host into something else.
_ESCAPES = ("/#", "/", "?", "#", ":", ":@", "@", "\\", "\n", "\r\n", " ", "\t", "%2f", "\u00e9", "\uff0e", "\u3002")


@dataclass(frozen=True, slots=True)
class Binding:
    """What can be filled in at one place of a file: fields, constants, and names that come with the protocol."""

    fields: Mapping[str, Field]
    constants: frozenset[str]
    names: frozenset[str] = frozenset()

    def plus(self, *names: str) -> "Binding":
        return replace(self, names=self.names | frozenset(names))

    def with_fields(self, fields: Mapping[str, Field]) -> "Binding":
        return replace(self, fields={**self.fields, **fields})

    @property
    def has_secrets(self) -> bool:
        return any(field.secret for field in self.fields.values())

    def before_captures(self) -> "Binding":
        """The binding while only what was asked for is known."""
        return self.after_capturing(())

    def after_capturing(self, captured: Iterable[str]) -> "Binding":
        """The binding once these values are known, and no other that somebody else than the person gives."""
        known = set(captured)
        return replace(
            self,
            fields={name: field for name, field in self.fields.items() if field.asked or field.derivation is not None or name in known},
        )

    def problems(self, template: Template, *, other_braces: bool = False, may_be_empty: bool = False) -> Iterator[str]:
        if not other_braces and set("{}") & set(re.sub(_PLACEHOLDER, "", template.text)):
            yield "has a brace that belongs to no placeholder"
        for name in sorted(template.names):
            field = self.fields.get(name)
            if field is None:
                if name not in self.constants | self.names:
                    yield f"nothing gives {{{name}}} a value here"
            elif not may_be_empty and field.asked and not field.required and field.default is None:
                yield f"{{{name}}} may be left empty: it needs a default"

    def url_problems(self, template: Template, *, gets_app_secret: bool = False) -> Iterator[str]:
        """As `problems`, for a URL. `gets_app_secret`: the operator's app proves itself there, so the host must be the vendor's."""
        yield from self.problems(template)
        if whole := _WHOLE.fullmatch(template.text):
            yield from self._whole_url_problems(whole["name"][1:-1], whole["rest"], gets_app_secret)
        elif url := _URL.fullmatch(template.text):
            yield from self._host_problems(url["host"], gets_app_secret)
            yield from self._rest_problems(url["rest"])
        else:
            yield "must be an https:// URL, in lower case up to the path"

    def _whole_url_problems(self, name: str, rest: str, gets_app_secret: bool) -> Iterator[str]:
        yield from self._rest_problems(rest)
        if name in self.constants:
            return
        field = self.fields.get(name)
        if field is None:
            yield f"{{{name}}} may not choose the host"
            return
        sample = sample_of(field) or ""
        if not sample.startswith("https://"):
            yield f"{{{name}}} is a whole URL, so its example must start with https://"
            return
        address = sample.removeprefix("https://")
        hostile = ["http://" + address, "//" + address, address, "https://a@" + address, "https:///", "", " " + sample]
        hostile += [sample + escape for escape in _ESCAPES if escape not in ("/", "%2f")]
        yield from _refused(field, hostile)
        foreign = ["https://" + host for host in _foreign_hosts(address.partition("/")[0])]
        yield from self._foreign_problems(field, foreign, gets_app_secret)

    def _host_problems(self, host: str, gets_app_secret: bool) -> Iterator[str]:
        # What stands behind the last placeholder: with a dot and two labels it is a domain that stays the vendor's.
        suffix = re.split(_PLACEHOLDER, host)[-1]
        is_fixed = _DOMAIN.fullmatch(suffix) is not None
        for name in re.findall(_PLACEHOLDER, host):
            field = self.fields.get(name[1:-1])
            if name[1:-1] in self.constants:
                continue
            if field is None:
                yield f"{name} may not choose the host"
                continue
            sample = sample_of(field) or "acme"
            yield from _refused(field, ["", *(sample + escape for escape in _ESCAPES), "a@" + sample, "a." + sample + "@b", "\n" + sample])
            if host.endswith(name + suffix) and not is_fixed:
                foreign = ("evil", f"evil-{sample}", f"evil{sample}") if suffix else _foreign_hosts(sample)
                yield from self._foreign_problems(field, foreign, gets_app_secret)

    def _rest_problems(self, rest: str) -> Iterator[str]:
        for name in re.findall(_PLACEHOLDER, rest):
            field = self.fields.get(name[1:-1])
            if field is not None and not _is_guarded(field):
                yield f"{name} goes into a URL: it needs a pattern or options"
            elif field is not None and rest.startswith(name):
                # Right behind the host, where a value must not go on with it.
                yield from _refused(field, ["@evil.example", ".evil.example", ":1", "", "evil.example"])

    def _foreign_problems(self, field: Field, foreign: Iterable[str], gets_app_secret: bool) -> Iterator[str]:
        """A host that is whatever the value says: fine for a person's own secrets, never for those of the operator's app."""
        if all(field.problem(value) for value in foreign):
            return
        if not field.asked:
            yield f"{{{field.name}}} comes from outside: its pattern must hold to the vendor's hosts"
        elif gets_app_secret:
            yield f'{{{field.name}}} lets a person choose any host, which would be sent the operator\'s secret: it needs apps = ["own"]'


def sample_of(field: Field) -> str | None:
    """A value that the field takes, for trying things out."""
    return field.example or field.default or (field.options[0] if field.options else None)


def _foreign_hosts(host: str) -> tuple[str, ...]:
    """Hosts of somebody else that look like this one."""
    domain = ".".join(host.split(".")[-2:])
    return ("evil.example", f"{host}.evil.example", f"evil-{domain}", f"evil{domain}")


def _is_guarded(field: Field) -> bool:
    return field.pattern is not None or field.options is not None


def _refused(field: Field, values: list[str]) -> Iterator[str]:
    if not _is_guarded(field):
        yield f"{{{field.name}}} goes into a URL: it needs a pattern or options"
        return
    for value in values:
        if field.problem(value) is None:
            yield f"{{{field.name}}} would lead elsewhere: its pattern takes {value!a}"
            return

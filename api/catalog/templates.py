"""Templates out of a file's tables, held against what may stand in them."""

from collections.abc import Iterable

from api.catalog.binding import Binding
from api.catalog.table import Table
from api.catalog.template import Template


def read_template(table: Table, key: str, binding: Binding, *, other_braces: bool = False, may_be_empty: bool = False) -> Template:
    template = Template(table.text(key))
    for problem in binding.problems(template, other_braces=other_braces, may_be_empty=may_be_empty):
        table.complain(key, problem)
    return template


def read_templates(
    table: Table, key: str, binding: Binding, reserved: Iterable[str] = (), *, names_too: bool = False, other_braces: bool = False
) -> dict[str, Template]:
    """A table of templates, such as headers: an entry is left out of a request where all that it names is empty."""
    found = table.table(key)
    for name in found:
        if name in reserved:
            found.complain(name, "is what the protocol says itself")
        for problem in binding.problems(Template(name)) if names_too else ():
            found.complain(name, problem)
    return {name: read_template(found, name, binding, other_braces=other_braces, may_be_empty=True) for name in found}


def read_url(table: Table, key: str, binding: Binding, gets_app_secret: bool = False) -> Template:
    template = Template(table.text(key))
    if template.text:
        for problem in binding.url_problems(template, gets_app_secret=gets_app_secret):
            table.complain(key, problem)
    return template

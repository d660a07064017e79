"""Fields that are answered from columns, or found by a key: what is alike in many rows is found and written once."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from graphql import get_named_type, is_non_null_type, is_object_type

from api.graphql.plans.errors import Unplanned
from api.graphql.plans.reading import PlannedField, Run
from api.graphql.plans.records import AnswerAll, Beside, FoundBy, InColumn, Records, how
from api.graphql.plans.writing import Write

Cells = Callable[[Records], Sequence[Any]]
# As many connectors as a catalogue may have, and more.
_MOST_KEPT = 1_000
FromRecords = Callable[[Run, Records], Awaitable[Sequence[Any]]]
FromAny = Callable[[Run, Sequence[Any] | Records], Awaitable[Sequence[Any]]]


def cells(field: PlannedField) -> Cells | None:
    """What answers a field of rows from one column; None where there is more to it."""
    found = how(field.definition)
    if not isinstance(found, InColumn) or is_object_type(get_named_type(field.definition.type)):
        return None
    return _in_column(found.column, found.answers, is_required=is_non_null_type(field.definition.type))


def from_records(field: PlannedField, write: Write) -> FromRecords:
    """What answers a field of rows that is not in `cells`. Where it is not answered from rows, it raises Unplanned."""
    match how(field.definition):
        case InColumn(column=column, answers=answers):
            return _then(_in_column(column, answers, is_required=is_non_null_type(field.definition.type)), write)
        case Beside(prefix=prefix):
            return lambda run, records: write.values(run, records.beside(prefix))
    return _nothing


def by_key(field: PlannedField, write: Write) -> FromAny | None:
    """What answers a field that is found by a key, of rows and of objects; None where it is not."""
    found_by = how(field.definition)
    if not isinstance(found_by, FoundBy):
        return None
    is_required = is_non_null_type(field.definition.type)
    # By its key, what was found and what was written of it.
    kept: dict[Any, tuple[Any, Any]] = {}

    async def values(run: Run, objects: Sequence[Any] | Records) -> list[Any]:
        keys = objects.column(found_by.column) if isinstance(objects, Records) else list(map(found_by.key_of, objects))
        if is_required and None in keys:
            raise Unplanned
        found = {key: found_by.find(key, run.context) for key in set(keys) if key is not None}
        known = kept if write.is_pure and len(kept) < _MOST_KEPT else {}
        new = [key for key, thing in found.items() if key not in known or known[key][0] is not thing]
        if new:
            written = await write.values(run, [found_by.make(key, found[key]) for key in new])
            known |= {key: (found[key], each) for key, each in zip(new, written, strict=True)}
        return [None if key is None else known[key][1] for key in keys]

    return values


def _in_column(column: str, answers: AnswerAll | None, *, is_required: bool) -> Cells:
    def values(records: Records) -> Sequence[Any]:
        found = records.column(column)
        if None not in found:
            return found if answers is None else answers(found)
        if is_required:
            raise Unplanned
        if answers is None:
            return found
        answered = iter(answers([value for value in found if value is not None]))
        return [None if value is None else next(answered) for value in found]

    return values


def _then(read: Cells, write: Write) -> FromRecords:
    async def values(run: Run, records: Records) -> Sequence[Any]:
        return await write.values(run, read(records))

    return values


async def _nothing(_: Run, __: Records) -> Sequence[Any]:
    raise Unplanned

"""Tortoise's models, made without their source being read. To be imported before any model.

Above the fields of every model Tortoise looks for comments of the form `#:`. To find a class in its file, Python parses the whole file,
Tortoise's own included: 60 ms at every start, for comments that nobody writes here.
"""

import inspect


def _unread(object: object) -> str:  # noqa: ARG001  # named as in inspect
    raise OSError("the source of models is not read")


_read = inspect.getsource
inspect.getsource = _unread
try:
    # This makes the base class of all models, and would read it.
    from tortoise import models
finally:
    inspect.getsource = _read

models._get_comments = lambda cls: {}  # noqa: ARG005  # named as in Tortoise

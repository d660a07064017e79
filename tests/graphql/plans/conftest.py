import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def left_behind() -> Iterator[None]:
    """What graphql-core has begun and left is collected at the end: wherever else it may be, no warning of it can be made and ignored."""
    gc.disable()
    yield
    gc.collect()
    gc.enable()

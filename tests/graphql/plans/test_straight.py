import pytest

from api.graphql.plans.straight import together_of


def test_objects_have_their_keys_in_order_and_a_value_of_each_column() -> None:
    put_together = together_of(["name", "_id", "class", "value_0"])

    made = put_together([("a", "b"), (1, 2), [None, True], ["x", "y"]])

    assert made == [{"name": "a", "_id": 1, "class": None, "value_0": "x"}, {"name": "b", "_id": 2, "class": True, "value_0": "y"}]
    assert list(made[0]) == ["name", "_id", "class", "value_0"]


def test_one_key_makes_objects_of_one_value() -> None:
    assert together_of(["id"])([[1, 2]]) == [{"id": 1}, {"id": 2}]
    assert together_of(["id"])([[]]) == []


def test_columns_that_are_not_equally_long_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        together_of(["a", "b"])([[1, 2], [1]])


@pytest.mark.parametrize("key", ["", "a b", "a'", "a\n", "1a", "ä", "a: 1} for x in __import__('os')]"])
def test_only_names_get_into_the_code(key: str) -> None:
    with pytest.raises(ValueError, match="no names"):
        together_of(["id", key])


def test_no_keys_are_no_names() -> None:
    with pytest.raises(ValueError, match="no names"):
        together_of([])

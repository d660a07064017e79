"""Patterns that cannot take for ever."""

import pytest

from api.catalog.patterns import pattern_problem

FINE = [
    "[a-z0-9]([a-z0-9-]*[a-z0-9])?",
    "https://[a-z0-9][a-z0-9.-]*(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*/?",
    r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+example\.com",
    r"[^\s@]+@[^\s@]+\.[^\s@]+",
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,}",
    r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}",
    r"(?:eu|us)-\w+\d",
    "[!-~]+( [!-~]+)*",
    "^acct_[A-Za-z0-9]+$",
    "",
]
FOR_EVER = [
    "(a+)+b",
    "(a*)*b",
    "(a|a)*b",
    "(a|aa)+b",
    "(.*a){20}",
    "([a-z]+[a-z]*-)+b",
    "(a?){30}a{30}",
    "a?" * 30 + "a" * 30,
    ".*.*.*.*x",
    "([a-z]+)*",
    r"(\w+\s?)+:",
    "((ab)*c?)+d",
    "(-[a-z]+-)+x",
]


@pytest.mark.parametrize("pattern", FINE)
def test_what_connector_files_usually_say_may_be_said(pattern: str) -> None:
    assert pattern_problem(pattern) is None


@pytest.mark.parametrize("pattern", FOR_EVER)
def test_a_pattern_that_could_take_for_ever_is_refused(pattern: str) -> None:
    problem = pattern_problem(pattern)

    assert problem is not None
    assert problem.startswith("could take for ever on some values: ")


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("(?=a)b", "has a part that looks ahead, looks back or repeats what was matched, which a pattern here cannot have"),
        ("(?<!a)b", "has a part that looks ahead, looks back or repeats what was matched, which a pattern here cannot have"),
        (r"(a)\1", "has a part that looks ahead, looks back or repeats what was matched, which a pattern here cannot have"),
        ("(?i:a)", "has flags, which a pattern here cannot have"),
        ("[a-z", "is not a regular expression"),
        ("(" * 80 + ")" * 80 + "{1,99999999999999999999}", "is not a regular expression"),
        ("a" * 201, "must not be longer than 200 characters"),
    ],
)
def test_other_patterns_are_refused_with_their_reason(pattern: str, problem: str) -> None:
    assert pattern_problem(pattern) == problem

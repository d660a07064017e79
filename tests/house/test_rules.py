"""Each rule finds what it is for, and leaves alone what looks like it."""

from pathlib import Path

import pytest

from tests.house.rules import REASONS, RULES, findings, main

SQL = '_ALL = "SELECT * FROM folder WHERE {condition}"\n'

AGAINST = [
    ("secret-equality", "token == given"),
    ("secret-equality", "row.secret_hash != hash_of(cookie)"),
    ("secret-equality", "(app.id, app.client_secret) == seen"),
    ("secret-equality", "one.reveal() == other"),
    ("other-client", "import aiohttp"),
    ("other-client", "from urllib.request import urlopen"),
    ("other-client", "from urllib import request"),
    ("other-client", "def late():\n    import smtplib"),
    ("made-statement", 'def f(name):\n    return f"SELECT * FROM folder WHERE name = {name}"'),
    ("made-statement", 'def f(name):\n    return "DELETE FROM folder WHERE name = %s" % name'),
    ("made-statement", 'def f(name):\n    return "DELETE FROM folder WHERE name = " + name'),
    ("made-statement", f"{SQL}def f(condition):\n    return _ALL.format(condition=condition)"),
    ("made-statement", f"{SQL}def f(given):\n    condition = given.strip()\n    return _ALL.format(condition=condition)"),
    ("made-statement", f'{SQL}def f(names):\n    return _ALL.format(condition=" AND ".join(f"{{name}}" for name in names))'),
    ("ownerless-task", "asyncio.create_task(work())"),
    ("ownerless-task", "asyncio.ensure_future(work())"),
    ("ownerless-task", "asyncio.get_running_loop().create_task(work())"),
    ("logged-error", "try:\n    work()\nexcept OSError as error:\n    logger.warning('failed', extra={'error': str(error)})"),
    ("logged-error", "try:\n    work()\nexcept OSError as error:\n    logger.warning('failed', error)"),
    ("logged-error", "try:\n    work()\nexcept OSError as error:\n    logger.warning('failed', extra={'error': error.args})"),
]  # fmt: skip
NOT_AGAINST = [
    "token == None",
    "state != WebSocketState.DISCONNECTED",
    "len(secret) != 32",
    "token is None",
    "from urllib.parse import urlsplit",
    "import httptools",
    f'{SQL}def f(ids):\n    marks = ", ".join(f"${{n}}" for n in range(len(ids)))\n    return _ALL.format(condition=marks)',
    f'{SQL}def f(first, held):\n    return _ALL.format(condition="FOR SHARE" if held else "")',
    f'{SQL}def f(now):\n    one, two = ("a", "b") if now else ("", "")\n    return _ALL.format(condition=f"{{one}}{{two}}")',
    '"%s rows" % number',
    "tasks.create_task(work())",
    "try:\n    work()\nexcept OSError as error:\n    logger.warning('failed', extra={'reason': error.strerror, 'type': type(error)})",
]


@pytest.mark.parametrize(("rule", "source"), AGAINST)
def test_what_is_against_a_rule_is_found(rule: str, source: str) -> None:
    (finding,) = findings("api/example.py", source)

    assert finding.rule == rule
    assert str(finding) == f"api/example.py:{finding.line}: {rule}: {REASONS[rule]}"


@pytest.mark.parametrize("source", NOT_AGAINST)
def test_what_only_looks_like_it_is_left_alone(source: str) -> None:
    assert findings("api/example.py", source) == []


def test_every_rule_has_a_reason_and_an_example() -> None:
    assert set(RULES) == set(REASONS) == {rule for rule, _ in AGAINST}


def test_outbound_is_where_calls_leave() -> None:
    assert findings("api/outbound/http.py", "import aiohttp") == []


@pytest.mark.parametrize("allowed", ["token == given  # allowed: secret-equality: why", "# allowed: secret-equality: why\ntoken == given"])
def test_a_reason_written_beside_it_allows_it(allowed: str) -> None:
    assert findings("api/example.py", allowed) == []


@pytest.mark.parametrize("comment", ["# allowed: secret-equality:", "# allowed: secret-equality"])
def test_without_a_reason_nothing_is_allowed(comment: str) -> None:
    assert [finding.rule for finding in findings("api/example.py", f"token == given  {comment}")] == ["secret-equality"]


def test_a_comment_allows_one_rule_and_not_more_than_there_is() -> None:
    found = findings("api/example.py", "token == given  # allowed: other-client: why")

    assert [finding.rule for finding in found] == ["secret-equality", "other-client"]
    assert str(found[1]).endswith("this comment allows what nobody does")


def test_a_finding_fails_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "example.py").write_text("import requests\n")

    assert main([str(tmp_path)]) == 1
    assert "other-client" in capsys.readouterr().out
    (tmp_path / "example.py").write_text("import re\n")
    assert main([str(tmp_path)]) == 0

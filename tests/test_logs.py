"""Logs: one JSON object a line."""

import json
import logging
import subprocess
import sys

import pytest

from api.logs import EventFormatter
from api.secret import Secret


def written(message: str, **extra: object) -> dict[str, object]:
    record = logging.getLogger("api.test").makeRecord("api.test", logging.INFO, __file__, 1, message, (), None, extra=extra)
    line = EventFormatter().format(record)
    assert "\n" not in line
    loaded: dict[str, object] = json.loads(line)
    return loaded


def test_an_event_is_one_line_with_its_fields() -> None:
    event = written("token refreshed", connection="c1", expires_in=3600)

    assert (event["message"], event["level"], event["logger"]) == ("token refreshed", "INFO", "api.test")
    assert (event["connection"], event["expires_in"]) == ("c1", 3600)
    assert str(event["time"]).endswith("+00:00")


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31mred", "\u202eevil", "\x00"])
def test_what_others_wrote_stays_on_its_line(text: str) -> None:
    assert written("event", subject=text)["subject"] == text


def test_a_secret_that_slips_in_stays_hidden() -> None:
    assert "hush" not in str(written("event", token=Secret("hush")))


def test_a_warning_of_the_interpreter_is_an_event_as_well() -> None:
    program = (
        "import warnings; from api.logs import configure_logging; configure_logging('INFO'); warnings.warn('it is\\nlate', RuntimeWarning)"
    )

    lines = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stderr.splitlines()

    assert [(json.loads(line)["level"], json.loads(line)["logger"]) for line in lines] == [("WARNING", "py.warnings")]
    assert "late" in lines[0]


def test_the_server_says_nothing_of_what_a_socket_was_opened_with() -> None:
    program = (
        "import logging; from api.logs import configure_logging; configure_logging('DEBUG'); server = logging.getLogger('uvicorn.error');"
        """server.info('%s - "WebSocket %s" [accepted]', 'a', '/x?canary'); server.debug('< canary: 1'); server.info('Started')"""
    )

    lines = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stderr.splitlines()

    assert [json.loads(line)["message"] for line in lines if "uvicorn" in line] == ["Started"]

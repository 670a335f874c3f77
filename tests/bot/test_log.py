"""Log lines as they reach the operator, from a process of their own: settings of logging are process-wide."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """
import logging, sys
import structlog
from bot.config import LogSettings
from bot.log import configure

settings = LogSettings.model_validate_json(sys.argv[1])
configure(settings)
configure(settings)
log = structlog.get_logger("bot.thing")
log.debug("thing.debugged")
log.info("thing.happened", job="1", price=640000)
logging.getLogger("library").warning("a library %s", "speaks", extra={"shard": 3})
quiet = "httpx httpcore.http11 aiohttp.access discord.webhook.async_ discord.http aiosqlite alembic.runtime"
for name in quiet.split():
    logging.getLogger(name).info("PUT /tickets/hush")
    logging.getLogger(name).debug("INSERT hush")
logging.getLogger("discord.gateway").debug("WebSocket Event: hush")
logging.getLogger("discord.gateway").info("connected")
def broken(secret):
    local = "hush-" + secret
    raise ValueError("broken")
try:
    broken("token")
except ValueError:
    log.exception("thing.failed")
    logging.getLogger("library").exception("library failed")
    logging.getLogger("discord.client").exception("Attempting a reconnect in 1.0s")
class Odd:
    def __repr__(self):
        return "odd"
log.error("thing.odd", value=Odd(), path=b"bytes")
"""


def said(form: str, level: str = "info") -> list[str]:
    settings = json.dumps({"format": form, "level": level})
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, settings],
        capture_output=True, text=True, check=True, timeout=60, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.stdout == ""
    assert "hush" not in done.stderr
    return done.stderr.splitlines()


def test_json_is_one_object_a_line() -> None:
    lines: list[dict[str, Any]] = [json.loads(line) for line in said("json")]
    by_event = {line["event"]: line for line in lines}
    assert len(lines) == len(by_event) == 7
    mine = by_event["thing.happened"]
    assert (mine["level"], mine["logger"], mine["job"], mine["price"]) == ("info", "bot.thing", "1", 640000)
    assert mine["timestamp"].endswith("Z")
    theirs = by_event["a library speaks"]
    assert (theirs["level"], theirs["logger"], theirs["shard"]) == ("warning", "library", 3)
    for event in ("thing.failed", "library failed"):
        assert "ValueError: broken" in by_event[event]["exception"]
    assert "exception" not in by_event["Attempting a reconnect in 1.0s (broken)"]
    assert by_event["thing.odd"]["value"] == "odd"


def test_the_console_form_has_plain_tracebacks_without_local_variables() -> None:
    lines = said("console")
    text = "\n".join(lines)
    assert any("thing.happened" in line and "job=1" in line and "\x1b" not in line for line in lines)
    assert text.count("Traceback (most recent call last)") == 2
    assert text.count("ValueError: broken") == 2
    assert "local =" not in text.replace('local = "hush-"', "")


@pytest.mark.parametrize(("level", "there"), [("debug", {"thing.debugged", "thing.happened", "thing.odd"}),
                                              ("warning", {"thing.odd"}), ("error", {"thing.odd"})])  # fmt: skip
def test_the_level_is_for_all_and_debug_tells_no_secrets(level: str, there: set[str]) -> None:
    events = {json.loads(line)["event"] for line in said("json", level)}
    assert {"thing.debugged", "thing.happened", "thing.odd"} & events == there
    assert ("a library speaks" in events) == (level != "error")
    assert ("connected" in events) == (level == "debug")

"""Logging: structlog over the standard library, as lines or as JSON. Events have names, so tests match those.

Prompts and file names never go into a log line: a log has other readers than the channel.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from bot.config import LogSettings

Event = MutableMapping[str, Any]


def configure(settings: LogSettings) -> None:
    """Send every log line of this process, of libraries too, to standard error in the chosen form."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.level.upper()]),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_render(settings.format)],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    # Below a warning, these name URLs that are rights (upload tickets, webhooks' tokens), or the database's parameters.
    for name in ("httpx", "httpcore", "discord.webhook", "discord.http", "aiohttp.access", "alembic", "aiosqlite"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Its debug lines hold whole events of the gateway: prompts, and the tokens of interactions.
    logging.getLogger("discord").setLevel(max(logging.INFO, root.level))
    # discord.py tells of every failed reconnection with forty lines of traceback; its own sentence says enough.
    for name in ("discord.client", "discord.shard", "discord.gateway"):
        logging.getLogger(name).addFilter(_without_traceback)


def _without_traceback(record: logging.LogRecord) -> bool:
    if record.exc_info and record.exc_info[1] is not None and "reconnect" in record.getMessage().lower():
        record.msg, record.args = f"{record.getMessage()} ({record.exc_info[1]})", ()
        record.exc_info = None
    return True


def _render(form: str) -> list[structlog.typing.Processor]:
    if form == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=True)]
    # The plain traceback: the pretty one prints local variables, and those hold tokens.
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=24, exception_formatter=plain)]

"""Finding a message of the bot's own again by the buttons on it, after a process died before writing its id down."""

from datetime import UTC, datetime, timedelta
from typing import Any

import discord
import structlog

log = structlog.get_logger(__name__)

SEARCHED = 100
"""Messages that are looked through."""


async def find_message(channel: discord.abc.Messageable, mark: str, *, since: int) -> discord.Message | None:
    """The message since `since` (milliseconds) that has a component with the custom_id `mark`, if it is there.

    Raises:
        discord.HTTPException: the channel is not there, or out of reach.
    """
    # A minute early: our clock and Discord's need not agree.
    after = datetime.fromtimestamp(since / 1000, UTC) - timedelta(minutes=1)
    try:
        async for message in channel.history(limit=SEARCHED, after=after, oldest_first=True):
            if any(getattr(part, "custom_id", None) == mark for part in _parts(message.components)):
                return message
    except discord.Forbidden as error:
        # Without Read Message History, a post has its nonce alone, which is good for some minutes.
        log.warning("messages.not_searched", mark=mark, cause=str(error))
    return None


def _parts(components: Any) -> list[Any]:
    found: list[Any] = []
    for component in components:
        found += [component, *_parts(getattr(component, "children", []))]
    return found

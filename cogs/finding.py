"""Finding a message of the bot's own again by the buttons on it, after a process died before writing its id down."""

from datetime import UTC, datetime, timedelta
from typing import Any

import discord
import structlog

log = structlog.get_logger(__name__)

NEWEST = 200
OLDEST = 1000
"""Messages that are looked through: the newest first, then on from where the post can be at earliest."""
MARGIN = timedelta(hours=1)
"""How far the bot's clock may be from Discord's."""


async def find_message(channel: discord.abc.Messageable, mark: str, *, since: int) -> discord.Message | None:
    """The message since `since` (milliseconds) that has a component with the custom_id `mark`, if it is there.

    Raises:
        discord.HTTPException: the channel is not there, or out of reach.
    """
    after = datetime.fromtimestamp(since / 1000, UTC) - MARGIN
    try:
        async for message in channel.history(limit=NEWEST):
            if _has(message, mark):
                return message
            if message.created_at < after:
                return None
        async for message in channel.history(limit=OLDEST, after=after, oldest_first=True):
            if _has(message, mark):
                return message
    except discord.Forbidden as error:
        # Without Read Message History, a post has its nonce alone, which is good for some minutes.
        log.warning("messages.not_searched", mark=mark, cause=str(error))
    return None


def _has(message: discord.Message, mark: str) -> bool:
    return any(getattr(part, "custom_id", None) == mark for part in _parts(message.components))


def _parts(components: Any) -> list[Any]:
    found: list[Any] = []
    for component in components:
        found += [component, *_parts(getattr(component, "children", []))]
    return found

"""What of Discord's and the network's trouble passes by itself, and is waited out."""

import aiohttp
import discord

LONGEST_PAUSE = 60.0
"""Seconds between two tries at most."""

NETWORK = (aiohttp.ClientError, TimeoutError, OSError)
"""Discord is out of reach."""


def passes(error: discord.HTTPException) -> bool:
    """Whether it is not about the request: Discord's own trouble, a limit, or a token that is being replaced."""
    return error.status >= 500 or error.status in {401, 429}

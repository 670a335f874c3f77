"""The REST API v10, one file a topic; `router.py` holds what every request goes through."""

from sandbox.discord.rest import channels, commands, guilds, identity, interactions, webhooks
from sandbox.discord.rest.router import Route

ROUTES: tuple[Route, ...] = (
    *identity.ROUTES,
    *commands.ROUTES,
    *guilds.ROUTES,
    *channels.ROUTES,
    *interactions.ROUTES,
    *webhooks.ROUTES,
)

__all__ = ["ROUTES"]

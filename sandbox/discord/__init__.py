"""A strict stand-in for Discord's REST API v10 and gateway on loopback, for an unmodified discord.py.

Written from Discord's documentation. `DiscordSandbox` is the server; guilds, channels and people come from it, and
people act through their own methods: `await alice.slash(channel, "video generate", {"prompt": "…"})`.
"""

from sandbox.discord.actors import Actor
from sandbox.discord.cdn import File
from sandbox.discord.errors import SandboxError, SandboxTimeout
from sandbox.discord.interactions import Choice, Interaction, Response
from sandbox.discord.messages import Button, Media, Message, Pings
from sandbox.discord.modals import Field, Modal
from sandbox.discord.permissions import Permission
from sandbox.discord.server import DiscordSandbox
from sandbox.discord.world import Channel, Guild, Member, Role, User

__all__ = [
    "Actor",
    "Button",
    "Channel",
    "Choice",
    "DiscordSandbox",
    "Field",
    "File",
    "Guild",
    "Interaction",
    "Media",
    "Member",
    "Message",
    "Modal",
    "Permission",
    "Pings",
    "Response",
    "Role",
    "SandboxError",
    "SandboxTimeout",
    "User",
]

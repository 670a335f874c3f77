"""The discord.py client: which Discord it talks to, what it keeps in memory, and the services that cogs share."""

import discord
import structlog
import yarl
from discord.ext import commands
from discord.gateway import DiscordWebSocket
from discord.http import Route

from bot.config import DiscordSettings
from bot.services import Services

log = structlog.get_logger(__name__)

COGS = ("cogs.replies", "cogs.video", "cogs.results", "cogs.queue", "cogs.dispatch")


class Cinecord(commands.AutoShardedBot):
    """One bot over one set of services. `dispatching` False leaves the queue alone."""

    def __init__(self, services: Services, *, dispatching: bool = True) -> None:
        # Set before the base class looks: the bot never speaks, so what voice would need is nobody's worry.
        discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False
        # None of these intents needs Discord's review; an interaction brings the member, roles and permissions along.
        intents = discord.Intents(guilds=True, auto_moderation_configuration=True)
        super().__init__(
            command_prefix=commands.when_mentioned,
            help_command=None,
            intents=intents,
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            max_messages=None,
            allowed_mentions=discord.AllowedMentions.none(),
            allowed_contexts=discord.app_commands.AppCommandContext(
                guild=True, dm_channel=False, private_channel=False
            ),
            allowed_installs=discord.app_commands.AppInstallationType(guild=True, user=False),
        )
        self.services = services
        self.dispatching = dispatching

    async def setup_hook(self) -> None:
        """Between login and the gateway: load the cogs and register the commands."""
        await self._find_gateway()
        for name in COGS:
            if name not in self.extensions:  # a login that failed half-way is tried again
                await self.load_extension(name)
        settings = self.services.settings.discord
        if settings.sync_guild is not None:
            guild = discord.Object(settings.sync_guild)
            self.tree.copy_global_to(guild=guild)
            await self.tree.sync(guild=guild)
        else:
            await self.tree.sync()
        log.info("discord.commands_registered")

    async def _find_gateway(self) -> None:
        # discord.py connects to a fixed address; with another `api_url`, its /gateway/bot says where.
        if self.services.settings.discord.api_url != DiscordSettings.model_fields["api_url"].default:
            _, url, _ = await self.http.get_bot_gateway()
            DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(url).with_query(None)

    async def on_ready(self) -> None:
        """Say so in the log."""
        log.info("discord.ready", guilds=len(self.guilds), shards=self.shard_count)

    async def close(self) -> None:
        """Let the dispatcher end its work while posting is still possible, then leave Discord."""
        for name in reversed(list(self.extensions)):
            await self.unload_extension(name)
        await super().close()


def use_api(url: str) -> None:
    """Send discord.py's REST calls to `url`. Process-wide: discord.py keeps the address in a class."""
    Route.BASE = url

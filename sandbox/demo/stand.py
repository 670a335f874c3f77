"""Both stand-ins with a small server to try things in, and the settings with which a bot finds them."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.cloudflare import CloudflareSandbox
from sandbox.discord import Channel, DiscordSandbox, Guild, Member, Permission

GUILD = "Film club"
CHANNELS = ("general", "videos", "moderators")
_MODERATOR = Permission.MANAGE_GUILD | Permission.MANAGE_CHANNELS | Permission.MANAGE_MESSAGES
_MONTH = 30 * 24 * 3600.0  # seconds that both people have been in the server


@dataclass
class Stand:
    """Discord and Cloudflare on loopback. Port 0 lets the system choose; `render_seconds` is how long a video takes."""

    discord_port: int = 0
    cloudflare_port: int = 0
    render_seconds: float = 0.0
    token: str = "sandbox-token"
    people: dict[str, Member] = field(default_factory=dict)
    guild: Guild = field(init=False)
    discord: DiscordSandbox = field(init=False)
    cloudflare: CloudflareSandbox = field(init=False)

    async def start(self) -> None:
        """Listens, and makes the server. Raises OSError where a port is taken; nothing is left open then."""
        self.discord = DiscordSandbox(self.token, port=self.discord_port)
        self.cloudflare = CloudflareSandbox(port=self.cloudflare_port, render_seconds=self.render_seconds)
        try:
            await self.discord.start()
            await self.cloudflare.start()
        except OSError:
            await self.stop()
            raise
        self.guild = self.discord.create_guild(GUILD)
        for name in CHANNELS:
            self.guild.create_channel(name)
        joined = time.time() - _MONTH
        self.people["alice"] = self.guild.create_member("alice", joined_at=joined)
        self.people["mira"] = self.guild.create_member("mira", permissions=int(_MODERATOR), joined_at=joined)

    async def stop(self) -> None:
        """Frees both ports and all files."""
        try:
            await self.discord.stop()
        finally:
            await self.cloudflare.stop()

    @property
    def timeout_seconds(self) -> float:
        """The try-out's render timeout: short, and longer than a video takes at the start."""
        return max(30.0, self.render_seconds + 20.0)

    @property
    def channel(self) -> Channel:
        """Where the try-out begins."""
        return next(iter(self.guild.channels.values()))

    def environment(self, *, bot_port: int, database: str, files: str | Path) -> dict[str, str]:
        """The settings of a bot that is to use these stand-ins; `database` is a path for SQLite."""
        return {
            "CINECORD_DISCORD__TOKEN": self.discord.token,
            "CINECORD_DISCORD__API_URL": self.discord.api_url,
            "CINECORD_DISCORD__CDN_HOSTS": self.discord.cdn_host,
            "CINECORD_CLOUDFLARE__ACCOUNT_ID": self.cloudflare.account_id,
            "CINECORD_CLOUDFLARE__API_TOKEN": self.cloudflare.api_token,
            "CINECORD_CLOUDFLARE__API_URL": self.cloudflare.api_url,
            "CINECORD_DATABASE__URL": f"sqlite+aiosqlite:///{database}",
            "CINECORD_STORAGE__KIND": "folder",
            "CINECORD_STORAGE__PATH": str(files),
            "CINECORD_HTTP__LISTEN": f"127.0.0.1:{bot_port}",
            "CINECORD_HTTP__PUBLIC_URL": f"http://127.0.0.1:{bot_port}",
            # What fails "for now" is tried again soon: nobody wants to wait in a try-out.
            "CINECORD_QUEUE__RETRY_BASE_SECONDS": "1",
        }


def export_lines(environment: dict[str, str]) -> list[str]:
    """The settings as lines for a POSIX shell."""
    return [f"export {key}={shlex.quote(value)}" for key, value in environment.items()]


def write_env_file(path: Path, environment: dict[str, str]) -> None:
    """The settings as KEY=value lines, in one go: whoever waits for the file never reads half of it."""
    draft = path.with_name(path.name + ".part")
    draft.write_text("".join(f"{key}={shlex.quote(value)}\n" for key, value in environment.items()))
    draft.replace(path)

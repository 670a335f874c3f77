"""One bot as a subprocess between the two stand-ins, and what is done to it: single jobs, and a burst."""

import asyncio
import gc
import os
import socket
import sys
import time
from collections.abc import Generator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench.processes import PeakMemory, cpu_seconds
from sandbox.cloudflare import CloudflareSandbox
from sandbox.discord import Channel, DiscordSandbox, Interaction, Member, Message

COMMAND = "video generate"
VALUES = {"prompt": "a red fox runs through fresh snow at dawn, slow motion, low camera", "duration": 8}
GUILDS, MEMBERS = 10, 20
RENDER_SECONDS = 0.25
"""Long enough for a bot to be done with a request's beginning before its answer comes, as always in real life."""
JOB_SECONDS = 60.0
SETTLE_SECONDS = 2.5
"""Cinecord looks at a guild's cards two seconds after a job: that work belongs to the job, too."""
QUEUE = ("max_running", "per_guild_running", "per_guild_waiting", "per_user_running", "per_user_waiting")


@dataclass(frozen=True)
class Contender:
    """A bot that can be started with `python` and these arguments."""

    name: str
    arguments: tuple[str, ...]


FLOOR = Contender("floor", ("-m", "bench.floor"))
CINECORD = Contender("Cinecord", ("-m", "bot", "run"))


class Stage:
    """The stand-ins and one bot that is ready, as an async context. `folder` takes its files and its log."""

    def __init__(self, contender: Contender, folder: Path, *, clip_bytes: int = 0) -> None:
        self.contender = contender
        self.folder = folder
        self.discord = DiscordSandbox(rate_limits=False)
        self.cloudflare = CloudflareSandbox(quick=True, render_seconds=RENDER_SECONDS)
        self.cloudflare.quick_bytes = clip_bytes
        self.places: list[tuple[Member, Channel]] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.discord)
            await stack.enter_async_context(self.cloudflare)
            self._people()
            log = stack.enter_context((self.folder / "log").open("wb"))
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, *self.contender.arguments, env=self._environment(), stdout=log, stderr=log
            )
            stack.push_async_callback(self._end)
            await self.discord.wait_ready(60)
            self.memory = await stack.enter_async_context(PeakMemory(self.process.pid))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def _people(self) -> None:
        for number in range(GUILDS):
            guild = self.discord.create_guild(f"Film club {number}")
            channel = guild.create_channel("general")
            self.places += [(guild.create_member(f"member{number}-{one}"), channel) for one in range(MEMBERS)]

    def _environment(self) -> dict[str, str]:
        listen = f"127.0.0.1:{_free_port()}"
        settings = {
            "DISCORD__TOKEN": self.discord.token,
            "DISCORD__API_URL": self.discord.api_url,
            "DISCORD__CDN_HOSTS": self.discord.cdn_host,
            "CLOUDFLARE__ACCOUNT_ID": self.cloudflare.account_id,
            "CLOUDFLARE__API_TOKEN": self.cloudflare.api_token,
            "CLOUDFLARE__API_URL": self.cloudflare.api_url,
            "DATABASE__URL": f"sqlite+aiosqlite:///{self.folder}/cinecord.db",
            "STORAGE__PATH": f"{self.folder}/files",
            "HTTP__LISTEN": listen,
            "HTTP__PUBLIC_URL": f"http://{listen}",
        } | {f"QUEUE__{name.upper()}": "1000" for name in QUEUE}
        outside = {key: value for key, value in os.environ.items() if not key.startswith("CINECORD_")}
        return outside | {f"CINECORD_{key}": value for key, value in settings.items()}

    async def _end(self) -> None:
        if self.process.returncode is None:
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), 30)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()

    # --- what is measured

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.process.pid)

    @property
    def requests(self) -> int:
        """Requests that Discord has had from the bot."""
        return len(self.discord.requests)

    async def job(self) -> float:
        """One request from its command to the end; the seconds from the API's answer to the posted message.

        Below zero where the bot did not wait for the answer, as the uploaded file says as much.
        """
        member, channel = self.places[0]
        before, number = len(_videos(channel)), len(self.cloudflare.calls) + 1
        await member.slash(channel, COMMAND, VALUES)
        await self.discord.wait_for(lambda: len(_videos(channel)) > before, JOB_SECONDS, "the video")
        await self.discord.wait_for(lambda: all(m.attachments for m in channel.messages), JOB_SECONDS, "the card to go")
        call = await self.cloudflare.wait_for_call(number)
        answered = await self.cloudflare.wait_for(lambda: call.finished, JOB_SECONDS)
        return _videos(channel)[-1].at - answered

    async def burst(self, count: int, seconds: float) -> list[float]:
        """`count` requests spread over `seconds`, all of them rendered and posted; seconds to each first response.

        The renders end only after the last first response, as they do in real life. A request that had none in time
        counts as endless.
        """
        self.cloudflare.hold("render")
        with _no_pauses():
            return await self._responses(count, seconds)

    async def _responses(self, count: int, seconds: float) -> list[float]:
        open_before, posted_before = len(self.cloudflare.calls), self._posted()
        sent = await self._send(count, seconds)
        answered = "first responses"
        await self.discord.wait_for(lambda: all(one.response or one.failed for one in sent), JOB_SECONDS, answered)
        await self.cloudflare.wait_for(lambda: len(self.cloudflare.calls) >= open_before + count, JOB_SECONDS)
        self.cloudflare.release()
        deadline = time.monotonic() + JOB_SECONDS
        while self._posted() < posted_before + count and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        if (posted := self._posted() - posted_before) != count:
            raise RuntimeError(f"{self.contender.name} posted {posted} of {count} videos; see {self.folder}/log")
        return [float("inf") if one.response_seconds is None else one.response_seconds for one in sent]

    async def _send(self, count: int, seconds: float) -> list[Interaction]:
        sent: list[Interaction] = []
        start = time.monotonic()
        for number in range(count):
            await asyncio.sleep(max(0.0, start + number * seconds / count - time.monotonic()))
            # One guild after the other, so that every guild gets its share at every moment.
            member, channel = self.places[number % GUILDS * MEMBERS + number // GUILDS % MEMBERS]
            sent.append(await member.slash(channel, COMMAND, VALUES))
        return sent

    def _posted(self) -> int:
        return sum(len(_videos(channel)) for _, channel in self.places[::MEMBERS])

    async def settle(self) -> None:
        """Until the bot has nothing more to do."""
        await asyncio.sleep(SETTLE_SECONDS)
        before = -1.0
        while (now := self.cpu_seconds()) > before + 0.01:
            before = now
            await asyncio.sleep(0.5)


@contextmanager
def _no_pauses() -> Generator[None]:
    """No garbage collection here: the stand-ins' pause would be counted as the bot's."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _videos(channel: Channel) -> list[Message]:
    return [message for message in channel.messages if message.attachments]


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]

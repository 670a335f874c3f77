"""The stand-in as one object: an aiohttp server on loopback, the world behind it, and what tests ask of it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

from aiohttp import web

from sandbox.discord import openapi as openapi_module
from sandbox.discord.cdn import Cdn
from sandbox.discord.commands import Registry
from sandbox.discord.errors import SandboxTimeout
from sandbox.discord.gateway import Gateway
from sandbox.discord.interactions import Interaction
from sandbox.discord.messages import Message
from sandbox.discord.permissions import BOT, Permission
from sandbox.discord.ratelimits import RateLimits
from sandbox.discord.rest import ROUTES
from sandbox.discord.rest.router import PREFIX, Fault, Record, Router
from sandbox.discord.snowflake import Snowflakes
from sandbox.discord.world import Channel, Guild, User, World

T = TypeVar("T")
_LARGEST_REQUEST = 1100 * 1024 * 1024  # ten files of the highest boost tier


class DiscordSandbox:
    """Discord on loopback for one application.

    `clock` gives Unix time for ids, token life, the 3-second rule and addresses; rate limits use real time, because the
    client really waits. `token_seconds`, `response_seconds` and `cdn_seconds` are Discord's 15 min, 3 s and 24 h.
    `openapi` is Discord's OpenAPI description (else the environment's DISCORD_OPENAPI); bodies are checked against it.
    """

    bot_permission = Permission

    def __init__(
        self,
        token: str = "sandbox-token",
        application_id: int = 1_100_000_000_000_000_001,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        clock: Callable[[], float] = time.time,
        token_seconds: float = 900.0,
        response_seconds: float = 3.0,
        cdn_seconds: float = 86_400.0,
        openapi: Path | None = None,
        rate_limits: bool = True,
        bot_name: str = "Cinecord",
        shards: int = 1,
        max_concurrency: int = 1,
        identify_seconds: float = 5.0,
        heartbeat_seconds: float = 41.25,
        privileged_intents: int = 0,
    ) -> None:
        self.token, self.application_id = token, application_id
        self.host, self.port = host, port
        self.clock = clock
        self.token_seconds, self.response_seconds = token_seconds, response_seconds
        self.shards, self.max_concurrency, self.identify_seconds = shards, max_concurrency, identify_seconds
        self.heartbeat_seconds, self.privileged_intents = heartbeat_seconds, privileged_intents
        self.openapi = openapi_module.load(openapi)
        self.ratelimits = RateLimits(enabled=rate_limits)
        self.ids = Snowflakes(clock)
        # A bot's user has the id of its application.
        self.bot_user = User(application_id, bot_name, bot=True)
        self.gateway = Gateway(self)
        self.cdn = Cdn(clock, cdn_seconds)
        self.world = World(self, self.ids, self.bot_user, clock)
        self.router = Router(self)
        self.commands = Registry()
        self.interactions: dict[int, Interaction] = {}
        self.tokens: dict[str, Interaction] = {}
        self.nonces: dict[tuple[int, str], Message] = {}
        self.nonce_hits = 0
        # What happened, for tests to count. `violations` holds what a correct bot never sends: bodies that are refused
        # (400, 413), unknown routes and fields, a wrong token, answers to interactions that come late or twice. It does
        # not hold what moderators, members and time can bring about: 403, things that are gone, dead tokens, 429.
        self.violations: list[str] = []
        self.requests: list[Record] = []
        self.route_counts: Counter[str] = Counter()
        self.posts: Counter[int] = Counter()  # public messages of the bot, by channel id
        self.pings: list[Message] = []  # messages that notified somebody
        self.deleted: list[Message] = []
        self.changes = 0  # rises with every change, for who looks from another process
        self._waiters: set[asyncio.Future[None]] = set()
        self._runner: web.AppRunner | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # Start and stop

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listens; with port 0 the system chooses one, which `port` then holds."""
        from sandbox.discord.control import attach  # noqa: PLC0415  drives this class

        app = web.Application(client_max_size=_LARGEST_REQUEST)
        app.router.add_get("/gateway", self.gateway.handle)
        app.router.add_get("/gateway/", self.gateway.handle)
        app.router.add_get(r"/{kind:attachments|ephemeral-attachments}/{owner:\d+}/{id:\d+}/{name}", self.cdn.serve)
        self.router.attach(app, ROUTES)
        attach(app, self)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self.cdn.base = f"http://{self.cdn_host}"

    async def stop(self) -> None:
        """Closes every connection and the port."""
        for task in self._tasks:
            task.cancel()
        await self.gateway.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def api_url(self) -> str:
        return f"http://{self.host}:{self.port}{PREFIX}"

    @property
    def gateway_url(self) -> str:
        return f"ws://{self.host}:{self.port}/gateway"

    @property
    def cdn_host(self) -> str:
        return f"{self.host}:{self.port}"

    # The world

    def create_guild(
        self, name: str, *, boost_tier: int = 0, bot_permissions: Permission = BOT, guild_id: int | None = None
    ) -> Guild:
        """A server with the bot in it. Successive servers fall on successive shards."""
        return self.world.create_guild(name, boost_tier=boost_tier, bot_permissions=bot_permissions, guild_id=guild_id)

    @property
    def guilds(self) -> list[Guild]:
        return list(self.world.guilds.values())

    def message(self, message_id: int) -> Message | None:
        """A message by its id, public or ephemeral, that is still there."""
        channels: list[Channel] = list(self.world.channels.values())
        return next((c.store[message_id] for c in channels if message_id in c.store), None)

    # Waiting

    def touch(self) -> None:
        """Tells everyone who waits that something changed."""
        self.changes += 1
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait_for(self, condition: Callable[[], T], timeout: float, what: str = "a condition") -> T:  # noqa: ASYNC109  tests say how long they wait
        """The condition's first true value, looked at upon every change; SandboxTimeout after `timeout` seconds."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while not (value := condition()):
            left = deadline - loop.time()
            if left <= 0:
                raise SandboxTimeout(f"waited {timeout} s for {what}; violations: {self.violations[-5:]}")
            waiter: asyncio.Future[None] = loop.create_future()
            self._waiters.add(waiter)
            try:
                await asyncio.wait([waiter], timeout=left)
            finally:
                self._waiters.discard(waiter)
        return value

    async def wait_ready(self, timeout: float = 15.0) -> None:  # noqa: ASYNC109  tests say how long they wait
        """Until a bot is connected with all of its shards and has registered commands."""
        await self.wait_for(lambda: self.gateway.ready and self.commands.any, timeout, what="the bot to be ready")

    async def wait_disconnected(self, timeout: float = 15.0) -> None:  # noqa: ASYNC109  tests say how long they wait
        """Until no bot is connected; after killing one, before waiting for the next."""
        await self.wait_for(lambda: not self.gateway.live, timeout, what="the bot to be gone")

    # Faults

    def fail_next(
        self,
        route_pattern: str,
        status: int,
        code: int = 0,
        times: int = 1,
        *,
        after: bool = False,
        retry_after: float | None = None,
    ) -> Fault:
        """The next `times` requests that match fail.

        `route_pattern` is a shell pattern for "METHOD /path" or "/path", as "POST /channels/*/messages". `status` 0
        breaks the connection. With `after` the request first has its effect, and only its answer is lost.
        """
        fault = Fault(route_pattern, status, code, times, after=after, retry_after=retry_after)
        self.router.faults.append(fault)
        return fault

    def set_latency(self, latency: float | Callable[[str, str], float]) -> None:
        """Delays every REST answer by so many seconds, or by what the function says for (method, path)."""
        self.router.latency = latency

    def stop_rest(self, *, refuse: bool = False) -> None:
        """REST answers 503, or breaks connections, until `start_rest`."""
        self.router.down = "refuse" if refuse else "503"

    def start_rest(self) -> None:
        self.router.down = None

    def stop_gateway(self, *, forget: bool = True) -> None:
        """Drops all gateway connections and refuses new ones; with `forget`, sessions cannot be resumed afterwards."""
        self.gateway.down = True
        self.gateway.drop_all(forget=forget)

    def start_gateway(self) -> None:
        self.gateway.down = False

    def outage(self, seconds: float, *, refuse: bool = False) -> asyncio.Task[None]:
        """Discord is away, REST and gateway, for so long; the task ends when it is back."""
        self.stop_rest(refuse=refuse)
        self.stop_gateway()
        task = asyncio.create_task(self._come_back(seconds))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _come_back(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.start_rest()
        self.start_gateway()

    def calls(self, pattern: str) -> list[Record]:
        """The requests so far that match a shell pattern for "METHOD /path"."""
        probe = Fault(pattern, 0)
        return [record for record in self.requests if probe.matches(record.method, record.path)]

    def state(self) -> dict[str, Any]:
        """A few numbers for the control interface."""
        return {
            "ready": self.gateway.ready and self.commands.any,
            "sessions": len(self.gateway.live),
            "violations": self.violations,
            "posts": {str(channel): count for channel, count in self.posts.items()},
            "requests": len(self.requests),
        }

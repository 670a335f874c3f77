"""Discord's gateway: sessions, heartbeats, events to the right shard, resuming, and being away for a while."""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from collections import deque
from typing import TYPE_CHECKING, Any

from aiohttp import WSCloseCode, WSMsgType, web

from sandbox.discord.snowflake import shard_of

if TYPE_CHECKING:
    from sandbox.discord.server import DiscordSandbox
    from sandbox.discord.world import Channel, Guild

DISPATCH, HEARTBEAT, IDENTIFY, PRESENCE, VOICE, RESUME, RECONNECT = 0, 1, 2, 3, 4, 6, 7
REQUEST_MEMBERS, INVALID_SESSION, HELLO, ACK = 8, 9, 10, 11

GUILDS, AUTOMOD, GUILD_MESSAGES, DIRECT_MESSAGES = 1 << 0, 1 << 20, 1 << 9, 1 << 12
PRIVILEGED = (1 << 1) | (1 << 8) | (1 << 15)
KNOWN_INTENTS = (1 << 26) - 1
SHARDING_NEEDED = 2500  # guilds
SENDS_PER_MINUTE = 120
_REPLAY = 1000  # events kept for a session that may resume
_NEEDS = {"CHANNEL": GUILDS, "GUILD": GUILDS, "AUTO": AUTOMOD}


class Session:
    """One identified shard. It outlives its connection, so that the client can resume."""

    def __init__(self, session_id: str, shard: int, shards: int, intents: int) -> None:
        self.id = session_id
        self.shard = shard
        self.shards = shards
        self.intents = intents
        self.sequence = 0
        self.events: deque[tuple[int, dict[str, Any]]] = deque(maxlen=_REPLAY)
        self.connection: Connection | None = None

    def dispatch(self, event: str, data: Any) -> None:
        self.sequence += 1
        payload = {"op": DISPATCH, "s": self.sequence, "t": event, "d": data}
        self.events.append((self.sequence, payload))
        if self.connection is not None:
            self.connection.send(payload)


class Connection:
    """One WebSocket: a queue that keeps the order of what is sent, and zlib-stream if the client asked for it."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport | None, *, compress: bool) -> None:
        self.socket = socket
        self._transport = transport
        self.session: Session | None = None
        self._zlib = zlib.compressobj() if compress else None
        self._queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._writer = asyncio.create_task(self._write())
        self._received: deque[float] = deque(maxlen=SENDS_PER_MINUTE)

    def send(self, payload: dict[str, Any]) -> None:
        self._queue.put_nowait(payload)

    async def _write(self) -> None:
        while (payload := await self._queue.get()) is not None:
            text = json.dumps(payload, separators=(",", ":"))
            try:
                if self._zlib is None:
                    await self.socket.send_str(text)
                else:
                    data = self._zlib.compress(text.encode()) + self._zlib.flush(zlib.Z_SYNC_FLUSH)
                    await self.socket.send_bytes(data)
            except (ConnectionError, RuntimeError):
                return  # the client is gone; the session keeps the event for a resume

    async def flush_and_close(self, code: int, reason: str = "") -> None:
        """Sends what waits, then closes with this code."""
        self._queue.put_nowait(None)
        await self._writer
        await self.socket.close(code=code, message=reason.encode())

    def leave(self) -> None:
        """Stops sending; the session stays, for a resume."""
        self._writer.cancel()
        if self.session is not None and self.session.connection is self:
            self.session.connection = None

    def drop(self) -> None:
        """Breaks the connection without a closing frame, as a network failure does."""
        self.leave()
        if self._transport is not None:
            self._transport.abort()

    def too_fast(self) -> bool:
        """Discord: 120 events in 60 seconds."""
        now = time.monotonic()
        fast = len(self._received) == SENDS_PER_MINUTE and now - self._received[0] < 60
        self._received.append(now)
        return fast


class _Refused(Exception):
    """The connection ends with one of Discord's close codes."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Gateway:
    """The WebSocket endpoint and every session."""

    def __init__(self, sandbox: DiscordSandbox) -> None:
        self.sandbox = sandbox
        self.sessions: dict[str, Session] = {}
        self.connections: set[Connection] = set()
        self.down = False
        self.identifies = 0
        self.resumes = 0
        self._identified: dict[int, tuple[float, int]] = {}

    # Events to the bot

    def to_guild(self, guild: Guild, event: str, data: Any) -> None:
        """To the sessions of this guild's shard that have the intent for the event."""
        needed = _NEEDS.get(event.split("_", maxsplit=1)[0], 0)
        self._to_shard(event, data, needed, guild.id)

    def to_channel(self, channel: Channel, event: str, data: Any) -> None:
        """A message event, to those who have the intent for messages there."""
        needed = DIRECT_MESSAGES if channel.guild is None else GUILD_MESSAGES
        self._to_shard(event, data, needed, 0 if channel.guild is None else channel.guild.id)

    def interaction(self, guild: Guild | None, data: Any) -> int:
        """To the one shard of the guild; direct messages belong to shard 0. Returns how many sessions got it."""
        return self._to_shard("INTERACTION_CREATE", data, 0, 0 if guild is None else guild.id)

    def _to_shard(self, event: str, data: Any, needed: int, guild_id: int) -> int:
        reached = 0
        for session in self.sessions.values():
            if session.shard == shard_of(guild_id, session.shards) and session.intents & needed == needed:
                session.dispatch(event, data)
                reached += 1
        return reached

    # State

    @property
    def live(self) -> list[Session]:
        """The sessions that are connected now."""
        return [s for s in self.sessions.values() if s.connection is not None]

    @property
    def ready(self) -> bool:
        """Whether a bot is connected with every one of its shards."""
        shards = {(s.shards, s.shard) for s in self.live}
        return any(all((n, shard) in shards for shard in range(n)) for n in {n for n, _ in shards})

    def drop_all(self, *, forget: bool = False) -> None:
        """Breaks every connection; with `forget`, no session can be resumed."""
        for connection in list(self.connections):
            connection.drop()
        if forget:
            self.sessions.clear()
        self.sandbox.touch()

    async def ask_reconnect(self) -> None:
        """Sends RECONNECT (7) to every connection, as Discord does before it restarts a gateway."""
        for connection in list(self.connections):
            connection.send({"op": RECONNECT, "d": None})

    # The endpoint

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.down:
            return web.Response(status=503, text="upstream connect error")
        if request.query.get("encoding", "json") != "json" or request.query.get("v", "10") != "10":
            self.sandbox.violations.append(f"gateway opened with {request.query_string}")
        compress = request.query.get("compress")
        if compress not in {None, "zlib-stream"}:
            return web.Response(status=400, text="only zlib-stream is offered here")
        socket = web.WebSocketResponse(autoping=True, max_msg_size=16384, timeout=1.0)
        await socket.prepare(request)
        connection = Connection(socket, request.transport, compress=compress is not None)
        self.connections.add(connection)
        try:
            await self._serve(connection)
        except _Refused as refusal:
            self.sandbox.violations.append(f"gateway closed with {refusal.code}: {refusal}")
            await connection.flush_and_close(refusal.code, str(refusal))
        finally:
            self._forget(connection)
        return socket

    def _forget(self, connection: Connection) -> None:
        self.connections.discard(connection)
        connection.leave()
        self.sandbox.touch()

    async def _serve(self, connection: Connection) -> None:
        interval = self.sandbox.heartbeat_seconds
        connection.send({"op": HELLO, "d": {"heartbeat_interval": int(interval * 1000), "_trace": ["sandbox"]}})
        while True:
            try:
                message = await connection.socket.receive(timeout=interval * 1.5)
            except TimeoutError:
                raise _Refused(4009, "Session timed out: no heartbeat") from None
            if message.type is not WSMsgType.TEXT:
                return
            if connection.too_fast():
                raise _Refused(4008, "Rate limited")
            try:
                payload = json.loads(message.data)
                operation = payload["op"]
            except (ValueError, KeyError, TypeError):
                raise _Refused(4002, "Decode error") from None
            await self._operate(connection, operation, payload.get("d"))

    async def _operate(self, connection: Connection, operation: int, data: Any) -> None:
        if operation == HEARTBEAT:
            connection.send({"op": ACK, "d": None})
        elif operation == IDENTIFY:
            self._identify(connection, data)
        elif operation == RESUME:
            self._resume(connection, data)
        elif operation not in {PRESENCE, VOICE, REQUEST_MEMBERS}:
            raise _Refused(4001, "Unknown opcode")
        elif connection.session is None:
            raise _Refused(4003, "Not authenticated")
        elif operation == REQUEST_MEMBERS and not connection.session.intents & (1 << 1) and not data.get("user_ids"):
            raise _Refused(4014, "Member lists need the members intent")

    def _identify(self, connection: Connection, data: dict[str, Any]) -> None:
        if connection.session is not None:
            raise _Refused(4005, "Already authenticated")
        if data.get("token") != self.sandbox.token:
            raise _Refused(4004, "Authentication failed")
        shard, shards = data.get("shard") or (0, 1)
        if not 0 <= shard < shards:
            raise _Refused(4010, "Invalid shard")
        if len(self.sandbox.world.guilds) / shards > SHARDING_NEEDED:
            raise _Refused(4011, "Sharding required")
        intents = data.get("intents")
        if not isinstance(intents, int) or intents & ~KNOWN_INTENTS:
            raise _Refused(4013, "Invalid intents")
        if intents & PRIVILEGED & ~self.sandbox.privileged_intents:
            raise _Refused(4014, "Disallowed intents")
        if self._identified_too_soon(shard):
            connection.send({"op": INVALID_SESSION, "d": False})
            return
        self._start(connection, Session(f"session{self.sandbox.ids.next():x}", shard, shards, intents))

    def _identified_too_soon(self, shard: int) -> bool:
        """Discord: `max_concurrency` identifies in 5 s. The same shard may come back at once: a restart in a test."""
        key = shard % self.sandbox.max_concurrency
        at, before = self._identified.get(key, (float("-inf"), shard))
        now = time.monotonic()
        if now - at < self.sandbox.identify_seconds and before != shard:
            self.sandbox.violations.append(f"shard {shard} identified {now - at:.1f} s after shard {before}")
            return True
        self._identified[key] = (now, shard)
        return False

    def _start(self, connection: Connection, session: Session) -> None:
        for old in list(self.sessions.values()):
            if old.connection is None and (old.shard, old.shards) == (session.shard, session.shards):
                del self.sessions[old.id]
        self.identifies += 1
        self.sessions[session.id] = session
        connection.session, session.connection = session, connection
        guilds = [g for g in self.sandbox.world.guilds.values() if shard_of(g.id, session.shards) == session.shard]
        ready = {
            "v": 10,
            "user": self.sandbox.bot_user.to_json() | {"verified": True, "mfa_enabled": False, "flags": 0},
            "guilds": [{"id": str(guild.id), "unavailable": True} for guild in guilds],
            "session_id": session.id,
            "resume_gateway_url": self.sandbox.gateway_url,
            "shard": [session.shard, session.shards],
            "application": {"id": str(self.sandbox.application_id), "flags": 0},
            "private_channels": [],
            "_trace": ["sandbox"],
        }
        session.dispatch("READY", ready)
        if session.intents & GUILDS:
            for guild in guilds:
                session.dispatch("GUILD_CREATE", guild.gateway_json())
        self.sandbox.touch()

    def _resume(self, connection: Connection, data: dict[str, Any]) -> None:
        if data.get("token") != self.sandbox.token:
            raise _Refused(4004, "Authentication failed")
        session = self.sessions.get(str(data.get("session_id")))
        seen = data.get("seq")
        if session is None or not isinstance(seen, int):
            connection.send({"op": INVALID_SESSION, "d": False})
            return
        if seen > session.sequence:
            raise _Refused(4007, "Invalid seq")
        if session.connection is not None:
            session.connection.drop()
        self.resumes += 1
        connection.session, session.connection = session, connection
        for number, payload in list(session.events):
            if number > seen:
                connection.send(payload)
        session.dispatch("RESUMED", {"_trace": ["sandbox"]})
        self.sandbox.touch()

    async def close(self) -> None:
        for connection in list(self.connections):
            await connection.socket.close(code=WSCloseCode.GOING_AWAY)

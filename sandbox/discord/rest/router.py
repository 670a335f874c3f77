"""What every request goes through: faults, token, rate limits, the body, and the record that tests read."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from aiohttp import web

from sandbox.discord import bodies
from sandbox.discord.errors import ApiError, Form, unauthorized, unknown_channel, unknown_guild
from sandbox.discord.ratelimits import Limit

if TYPE_CHECKING:
    from sandbox.discord.server import DiscordSandbox
    from sandbox.discord.world import Channel, Guild

_log = logging.getLogger(__name__)
PREFIX = "/api/v10"
_DEFAULT = Limit(50, 1.0)
_MAJOR = ("channel_id", "guild_id", "webhook_id", "interaction_id")
_TOKEN = "interaction_token"


@dataclass
class Reply:
    """An answer: JSON, nothing (204), or a broken connection (0)."""

    json: Any = None
    status: int = 200


NOTHING = Reply(status=204)


@dataclass(frozen=True)
class Route:
    """One endpoint. `auth` says that it needs the bot's token and counts against the global limit."""

    method: str
    path: str
    handler: Callable[[Call], Reply]
    limit: Limit = _DEFAULT
    auth: bool = True

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class Record:
    """One request as it was seen; `code` is Discord's error code, 0 if there was none. `at` is the sandbox's clock."""

    method: str
    path: str
    route: str
    at: float
    json: Any = None
    files: list[tuple[str, int]] = field(default_factory=list)
    status: int = 0
    code: int = 0
    seconds: float = 0.0


@dataclass
class Fault:
    """An answer that a test wants. `status` 0 breaks the connection; `after` lets the request have its effect first."""

    pattern: str
    status: int
    code: int = 0
    times: int = 1
    message: str = "injected by the sandbox"
    after: bool = False
    retry_after: float | None = None

    def matches(self, method: str, path: str) -> bool:
        return self.times > 0 and (fnmatchcase(f"{method} {path}", self.pattern) or fnmatchcase(path, self.pattern))


class Call:
    """One request on its way through a handler."""

    def __init__(self, sandbox: DiscordSandbox, request: web.Request, route: Route, body: bodies.Body) -> None:
        self.sandbox = sandbox
        self.request = request
        self.route = route
        self.body = body
        self.params = request.match_info

    @property
    def json(self) -> Any:
        return self.body.json

    def number(self, name: str) -> int:
        """An id of the path; 400 if it is no snowflake."""
        value = self.params[name]
        if not value.isdigit():
            form = Form()
            form.add(name, "NUMBER_TYPE_COERCE", f'Value "{value}" is not snowflake.')
            form.check()
        return int(value)

    @property
    def channel(self) -> Channel:
        found = self.sandbox.world.channel(self.number("channel_id"))
        if found is None:
            raise unknown_channel()
        return found

    @property
    def guild(self) -> Guild:
        found = self.sandbox.world.guilds.get(self.number("guild_id"))
        if found is None:
            raise unknown_guild()
        return found

    def check_schema(self, schema: str, body: Any = None) -> None:
        """Raises 400 with 50035 if Discord's OpenAPI description refuses the body."""
        if self.sandbox.openapi is None:
            return
        faults = self.sandbox.openapi.faults(schema, self.json if body is None else body)
        if faults:
            raise ApiError(400, 50035, f"Invalid Form Body ({schema}: {'; '.join(faults)})")

    def finish(self, form: Form) -> None:
        """Records the notes of a check, then raises its faults."""
        self.sandbox.violations += [f"{self.request.method} {self.route.path}: {note}" for note in form.notes]
        form.check()


class Router:
    """The REST half of the server."""

    def __init__(self, sandbox: DiscordSandbox) -> None:
        self.sandbox = sandbox
        self.down: str | None = None  # "503", or "refuse" to break every connection
        self.faults: list[Fault] = []
        self.latency: float | Callable[[str, str], float] = 0.0

    def attach(self, app: web.Application, routes: tuple[Route, ...]) -> None:
        for route in routes:
            app.router.add_route(route.method, PREFIX + route.path, self._bind(route))
        unknown = Route("*", "unknown", _unknown, auth=False)
        app.router.add_route("*", "/api/{tail:.*}", self._bind(unknown))

    def _bind(self, route: Route) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._handle(request, route)

        return handle

    async def _handle(self, request: web.Request, route: Route) -> web.StreamResponse:
        path = request.path.removeprefix(PREFIX)
        record = Record(request.method, path, route.name, self.sandbox.clock())
        started = time.perf_counter()
        raw = await request.read()
        if self.down is not None:
            return self._away(request, record)
        delay = self.latency(request.method, path) if callable(self.latency) else self.latency
        if delay > 0:
            await asyncio.sleep(delay)
        fault = next((f for f in self.faults if f.matches(request.method, path)), None)
        if fault is not None:
            fault.times -= 1
        headers: dict[str, str] = {}
        try:
            if fault is not None and not fault.after:
                reply = self._injected(request, fault, headers)
            else:
                reply = self._answer(request, route, raw, record, headers)
                if fault is not None:
                    reply = self._injected(request, fault, headers)
        except ApiError as error:
            reply = Reply(error.to_json(), error.status)
            record.code = error.code
            if error.breach:
                self.sandbox.violations.append(f"{request.method} {route.path}: {error} {_short(error.errors)}".strip())
        except Exception as fault:  # noqa: BLE001  the outermost edge
            # The stand-in's own fault must fail the test that met it, not look like Discord's.
            _log.exception("the stand-in broke at %s %s", request.method, path)
            self.sandbox.violations.append(f"the stand-in broke at {request.method} {path}: {fault!r}")
            reply = Reply({"message": "the stand-in broke", "code": 0}, 503)
        record.status, record.seconds = reply.status, time.perf_counter() - started
        self._log(record)
        return _response(reply, headers)

    def _away(self, request: web.Request, record: Record) -> web.StreamResponse:
        record.status = 503
        self._log(record)
        if self.down == "refuse":
            _break(request)
        return web.Response(status=503, text="upstream connect error")

    def _injected(self, request: web.Request, fault: Fault, headers: dict[str, str]) -> Reply:
        if fault.status == 0:
            _break(request)
            return Reply({}, 0)
        body: dict[str, Any] = {"message": fault.message, "code": fault.code}
        if fault.status == 429:
            wait = 0.1 if fault.retry_after is None else fault.retry_after
            headers |= {"Via": "1.1 google", "Retry-After": str(wait), "X-RateLimit-Scope": "shared"}
            body |= {"retry_after": wait, "global": False}
        return Reply(body, fault.status)

    def _answer(self, request: web.Request, route: Route, raw: bytes, record: Record, headers: dict[str, str]) -> Reply:
        limits = self.sandbox.ratelimits
        if limits.banned:
            return Reply("You are being blocked from accessing our API temporarily.", 429)
        if route.auth and request.headers.get("Authorization") != f"Bot {self.sandbox.token}":
            raise unauthorized()
        major = ":".join(request.match_info.get(name, "") for name in (*_MAJOR, _TOKEN))
        verdict = limits.take(route.name, major, route.limit, counts_globally=route.auth)
        headers |= verdict.headers
        if verdict.retry_after > 0:
            headers["Via"] = "1.1 google"
            body = {"message": "You are being rate limited.", "retry_after": round(verdict.retry_after, 3)}
            return Reply(body | {"global": verdict.whole_bot}, 429)
        body = bodies.parse(raw, request.headers.get("Content-Type", ""))
        record.json = body.json
        record.files = [(upload.filename, len(upload.data)) for upload in body.uploads]
        return route.handler(Call(self.sandbox, request, route, body))

    def _log(self, record: Record) -> None:
        self.sandbox.requests.append(record)
        self.sandbox.route_counts[record.route] += 1
        self.sandbox.ratelimits.count_answer(record.status)
        self.sandbox.touch()


def _response(reply: Reply, headers: dict[str, str]) -> web.Response:
    if reply.status == 0:
        return web.Response(status=500)  # nobody reads it: the connection is broken
    if reply.status == 204:
        return web.Response(status=204, headers=headers)
    if isinstance(reply.json, str):
        return web.Response(status=reply.status, headers=headers, text=reply.json)
    # discord.py compares the type with "application/json" as a whole: no charset may follow.
    data = json.dumps(reply.json, separators=(",", ":")).encode()
    return web.Response(status=reply.status, body=data, headers=headers | {"Content-Type": "application/json"})


def _break(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _short(errors: Any) -> str:
    return "" if not errors else json.dumps(errors)[:2000]


def _unknown(call: Call) -> Reply:
    call.sandbox.violations.append(f"unknown route {call.request.method} {call.request.path}")
    return Reply({"message": "404: Not Found", "code": 0}, 404)

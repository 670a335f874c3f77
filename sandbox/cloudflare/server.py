"""The sandbox as a whole: its settings, its state, what tests do to it, and its life as an HTTP server on loopback."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, Self

import aiohttp
from aiohttp import web

from sandbox.cloudflare import control, endpoints
from sandbox.cloudflare.calls import Call, Changes
from sandbox.cloudflare.checks import RefusedError
from sandbox.cloudflare.faults import Fault, Faults, Planned
from sandbox.cloudflare.logs import Entry, iso
from sandbox.cloudflare.money import Charge, Ledger

log = logging.getLogger(__name__)

MAX_BODY = 100 * 1024 * 1024
Stage = Literal["render", "upload", "answer"]


class CloudflareSandbox:
    """Cloudflare's AI run endpoint and gateway logs, strict, with Zero Data Retention on.

    `render_seconds` (a number, or a function of the Call), `latency` (seconds before any answer), `quick` (copied
    clips, padded to `quick_bytes`), `upload_timeout`, `slow_upload_seconds`, `log_lag_seconds` may be changed while it
    runs."""

    def __init__(
        self,
        account_id: str = "sandbox-account",
        api_token: str = "sandbox-token",
        *,
        gateway_id: str = "default",
        host: str = "127.0.0.1",
        port: int = 0,
        zero_data_retention: bool = True,
        render_seconds: float | Callable[[Call], float] = 0.0,
        clock: Callable[[], float] = time.time,
        wrapped: bool = True,
        quick: bool = False,
        bracket_filters: bool = True,
    ) -> None:
        self.account_id, self.api_token, self.gateway_id = account_id, api_token, gateway_id
        self.host, self.port = host, port
        self.zero_data_retention, self.render_seconds = zero_data_retention, render_seconds
        self.clock, self.wrapped, self.quick, self.bracket_filters = clock, wrapped, quick, bracket_filters
        self.latency = self.log_lag_seconds = 0.0
        self.quick_bytes = 0
        self.slow_upload_seconds, self.upload_timeout, self.link_seconds = 1.0, 300.0, 3600.0
        self.calls: list[Call] = []
        self.ledger = Ledger()
        self.logs: dict[str, list[Entry]] = {}
        self.faults = Faults()
        self.changes = Changes()
        self.down = False
        self._gates: dict[str, asyncio.Event] = {}
        self._secret = secrets.token_bytes(32)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None

    @property
    def base_url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def api_url(self) -> str:
        """What stands for https://api.cloudflare.com/client/v4."""
        return f"{self.base_url}/client/v4"

    @property
    def charged_usd(self) -> float:
        """All charges, the "maybe" ones too."""
        return self.ledger.total_usd

    def charges_for(self, job_id: object) -> list[Charge]:
        """The charges of calls whose cf-aig-metadata holds this id under any key."""
        return self.ledger.for_job(job_id)

    def fail_next(
        self,
        kind: Fault | str,
        times: int = 1,
        *,
        retry_after: float | None = None,
        after_render: bool = False,
    ) -> None:
        """The next `times` calls fail so. Raises ValueError for an unknown kind, or one that cannot come after it."""
        self.faults.plan(Planned(Fault(kind), retry_after, after_render), times)

    def hold(self, stage: Stage = "render") -> None:
        """Calls stop before this stage until `release`: "upload" is after the charge, "answer" after the PUT."""
        self._gates.setdefault(stage, asyncio.Event()).clear()

    def release(self, stage: Stage | None = None) -> None:
        """Lets held calls go on: those of one stage, or all."""
        for name, gate in self._gates.items():
            if stage in (None, name):
                gate.set()

    async def gate(self, stage: Stage) -> None:
        if stage in self._gates:
            await self._gates[stage].wait()

    async def wait_for(self, predicate: Callable[[], Any], timeout: float = 10.0) -> Any:  # noqa: ASYNC109
        """The predicate's first true value; it is asked again whenever a call changes. Raises TimeoutError."""
        return await self.changes.wait_for(predicate, timeout)

    async def wait_for_call(self, number: int = 1, timeout: float = 10.0) -> Call:  # noqa: ASYNC109
        """The call number `number` (from 1), as soon as it was read. Raises TimeoutError."""
        return await self.wait_for(lambda: self.calls[number - 1] if len(self.calls) >= number else None, timeout)

    def seconds_to_render(self, call: Call) -> float:
        return self.render_seconds(call) if callable(self.render_seconds) else self.render_seconds

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task that belongs to the sandbox and not to a client's connection."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error and not isinstance(error, RefusedError):
            log.error("A render broke", exc_info=error)

    def sign(self, name: str) -> str:
        """A presigned URL of a rendered file, for `link_seconds`."""
        expires = int(self.clock() + self.link_seconds)
        return f"{self.base_url}/cdn/{name}?expires={expires}&signature={self._signature(name, expires)}"

    def signed(self, name: str, expires: str, signature: str) -> bool:
        """Whether the signature is ours and not expired."""
        if not expires.isascii() or not expires.isdigit() or int(expires) < self.clock():
            return False
        return hmac.compare_digest(self._signature(name, int(expires)).encode(), signature.encode())

    def write_log(self, call: Call, *, success: bool, status: int) -> None:
        """The gateway's entry of a call that ended, visible after `log_lag_seconds`."""
        fields = {
            "id": call.log_id,
            "created_at": iso(call.at),
            "model": "grok-imagine-video-1.5-preview",
            "model_type": "",
            "provider": "xai",
            "success": success,
            "status_code": status,
            "cost": call.charge.usd if call.charge else 0,
            "custom_cost": False,
            "duration": round((self.clock() - call.at) * 1000),
            "metadata": endpoints.dump(call.metadata),
            "cached": False,
            "path": "ai/run",
            "request_type": "",
            "request_content_type": "application/json",
            "response_content_type": "application/json",
            "step": 0,
            "tokens_in": 0,
            "tokens_out": 0,
        }
        entry = Entry(fields, call.metadata, call.at, self.clock() + self.log_lag_seconds)
        self.logs.setdefault(call.gateway, []).append(entry)
        self.changes.notify()

    async def start(self) -> Self:
        """Listens; with port 0 the system chooses, and `port` and `api_url` tell which."""
        self._temporary = tempfile.TemporaryDirectory(prefix="cloudflare-sandbox-")
        self.folder = Path(self._temporary.name)
        self.workers = ThreadPoolExecutor(2, thread_name_prefix="render")
        self.session = aiohttp.ClientSession()
        app = web.Application(client_max_size=MAX_BODY, middlewares=[self._middleware])
        app.add_routes([*endpoints.routes(self), *control.routes(self)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await self._listen()
        return self

    async def stop(self) -> None:
        """Ends the server and every render under way; frees port and files."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._runner:
            await self._runner.cleanup()
            await self.session.close()
            await asyncio.to_thread(self.workers.shutdown, cancel_futures=True)
            self._temporary.cleanup()
        self._runner = None

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        """Connections are refused and open ones cut, while renders go on; afterwards the same port listens again."""
        await self.go_down()
        try:
            yield
        finally:
            await self.come_back()

    async def go_down(self) -> None:
        self.down = True
        if self._site:
            await self._site.stop()
            self._site = None
        if self._runner and self._runner.server:
            for connection in list(self._runner.server.connections):
                if connection.transport:
                    connection.transport.abort()

    async def come_back(self) -> None:
        self.down = False
        await self._listen()

    async def _listen(self) -> None:
        if self._runner is None or self._site is not None:
            return
        self._site = web.TCPSite(self._runner, self.host, self.port, reuse_address=True)
        await self._site.start()
        self.port = self._runner.addresses[0][1]

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
        if self.latency and not request.path.startswith("/sandbox/"):
            await asyncio.sleep(self.latency)
        return await handler(request)

    def _signature(self, name: str, expires: int) -> str:
        return hmac.new(self._secret, f"{name}:{expires}".encode(), hashlib.sha256).hexdigest()

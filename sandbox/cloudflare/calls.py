"""One call as the sandbox saw it, and a way to wait until something about the calls has changed."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sandbox.cloudflare.money import Charge, job_of


@dataclass
class Call:
    """A POST to the run endpoint. Times are the sandbox's clock (seconds); `status` is None while it is open, and 0
    when the connection was cut instead of answered."""

    number: int
    at: float
    headers: dict[str, str]
    input: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    gateway: str = "default"
    log_id: str = field(default_factory=lambda: secrets.token_hex(13).upper())
    fault: str | None = None
    status: int | None = None
    finished: float | None = None
    rendering: bool = False
    rendered: bool = False
    uploaded: bool | None = None
    client_gone: bool = False
    charge: Charge | None = None
    refusal: str | None = None

    @property
    def job(self) -> str | None:
        return job_of(self.metadata)


class Changes:
    """Wakes whoever waits for a fact about the sandbox."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify(self) -> None:
        event, self._event = self._event, asyncio.Event()
        event.set()

    async def wait_for(self, predicate: Callable[[], Any], timeout: float) -> Any:  # noqa: ASYNC109
        """The predicate's first true value. Raises TimeoutError after `timeout` seconds."""
        async with asyncio.timeout(timeout):
            while not (value := predicate()):
                await self._event.wait()
            return value

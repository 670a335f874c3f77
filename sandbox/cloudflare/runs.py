"""The paid part of a call: wait, render, charge, hand the video over. It goes on when the client is gone."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from sandbox.cloudflare import media, money, sources
from sandbox.cloudflare.calls import Call
from sandbox.cloudflare.checks import RefusedError, Wanted
from sandbox.cloudflare.faults import REFUSES_RESULT, Fault, Planned

if TYPE_CHECKING:
    from sandbox.cloudflare.server import CloudflareSandbox

log = logging.getLogger(__name__)

_CHUNK = 1 << 16


@dataclass(frozen=True)
class Outcome:
    """How a render ended: a video (its URL, or none when it was uploaded), or an error's code and message."""

    video: str | None = None
    error: tuple[str, str] | None = None


async def run(
    sandbox: CloudflareSandbox, call: Call, wanted: Wanted, order: media.Order, plan: Planned | None
) -> Outcome:
    """Renders and charges one call. Raises RefusedError, uncharged, when the source breaks off while it is decoded."""
    path = sandbox.folder / f"{call.log_id}.mp4"
    call.rendering = True
    sandbox.changes.notify()
    await sandbox.gate("render")
    try:
        await asyncio.gather(_render(sandbox, order, path), asyncio.sleep(sandbox.seconds_to_render(call)))
    except media.UndecodableError as error:
        raise RefusedError("video.url", str(error)) from error
    finally:
        if order.source:
            order.source.path.unlink(missing_ok=True)
    call.rendered = True
    sandbox.changes.notify()
    return await _hand_over(sandbox, call, wanted, path, _charge(sandbox, call, wanted, order, plan), plan)


async def _hand_over(
    sandbox: CloudflareSandbox, call: Call, wanted: Wanted, path: Path, charge: money.Charge, plan: Planned | None
) -> Outcome:
    await sandbox.gate("upload")
    outcome = Outcome(sandbox.sign(path.name) if wanted.upload_url is None else None)
    if wanted.upload_url and not (plan and plan.fault in REFUSES_RESULT):
        slowly = sandbox.slow_upload_seconds if plan and plan.fault is Fault.SLOW_UPLOAD else 0.0
        call.uploaded = await put(sandbox.session, wanted.upload_url, path, sandbox.upload_timeout, slowly)
        if not call.uploaded:
            call.charge = sandbox.ledger.replace(charge, reason="upload failed", certain=False)
            outcome = Outcome(error=("upload_failed", "The video could not be written to output.upload_url"))
    if wanted.upload_url:
        await asyncio.to_thread(path.unlink)
    sandbox.changes.notify()
    await sandbox.gate("answer")
    return outcome


async def _render(sandbox: CloudflareSandbox, order: media.Order, path: Path) -> None:
    work = media.render_quick if sandbox.quick else media.render
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(sandbox.workers, work, order, path)
    if sandbox.quick and sandbox.quick_bytes:
        await loop.run_in_executor(sandbox.workers, _pad, path, sandbox.quick_bytes)


def _pad(path: Path, size: int) -> None:
    """Bring a clip to a real one's size by a `free` box (ISO 14496-12), which players skip."""
    missing = size - path.stat().st_size
    if missing >= 8:
        with path.open("ab") as file:
            file.write(missing.to_bytes(4, "big") + b"free" + os.urandom(missing - 8))


def _charge(
    sandbox: CloudflareSandbox, call: Call, wanted: Wanted, order: media.Order, plan: Planned | None
) -> money.Charge:
    resolution = money.resolution_of(order.width, order.height)
    seconds = sources.billed_seconds(wanted, order)
    trouble = None if plan is None or plan.fault is Fault.SLOW_UPLOAD else plan.fault
    call.charge = money.Charge(
        call=call.number,
        job=call.job,
        metadata=call.metadata,
        operation=wanted.operation,
        seconds=seconds,
        resolution=resolution,
        usd=money.price(seconds, resolution),
        at=sandbox.clock(),
        reason=trouble.value if trouble else "completed",
        certain=trouble in (None, Fault.UPLOAD_MISSING),
    )
    sandbox.ledger.append(call.charge)
    return call.charge


async def put(session: aiohttp.ClientSession, url: str, path: Path, seconds: float, slowly: float = 0.0) -> bool:
    """Streams the file to a presigned URL, once, over `slowly` and within `seconds`. Whether the store took it."""
    size = (await asyncio.to_thread(path.stat)).st_size
    headers = {"Content-Type": "video/mp4", "Content-Length": str(size)}
    try:
        # A presigned URL is signed as it is written: it must not be quoted anew.
        async with session.put(
            URL(url, encoded=True),
            timeout=aiohttp.ClientTimeout(total=seconds),
            data=_chunks(path, size, slowly),
            headers=headers,
            allow_redirects=False,
        ) as response:
            if not 200 <= response.status < 300:
                log.warning("The upload was answered with HTTP %s", response.status)
            return 200 <= response.status < 300
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        log.warning("The upload failed: %s", type(error).__name__)
        return False


async def _chunks(path: Path, total: int, slowly: float) -> AsyncIterator[bytes]:
    size = max(1024, total // 10) if slowly else _CHUNK
    with await asyncio.to_thread(path.open, "rb") as file:
        while chunk := await asyncio.to_thread(file.read, size):
            yield chunk
            if slowly:
                await asyncio.sleep(slowly / 10)

"""The one download of a Discord attachment: from Discord's file hosts only, under a cap of size and of time.

A member's attachment URL is hostile text: it must not make the bot read another host, follow a redirect, or fill the
disk. Discord signs the URLs and lets them expire (Discord: "Signed Attachment CDN URLs"), hence one download, at once.
"""

import asyncio
import os
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import SplitResult, urlsplit

import httpx

from bot.config import is_loopback
from bot.errors import BadAttachment

EXPIRED = "That attachment has expired or was deleted. Upload it again."
ELSEWHERE = "Only files uploaded to Discord can be used. Upload the file itself instead of a link."
NO_ANSWER = "Discord's file server did not answer; nothing was charged. Try again."
TOO_SLOW = "Downloading that attachment took too long; nothing was charged. Try again, or upload a smaller file."
CUT_OFF = "Discord's file server sent only a part of that attachment; nothing was charged. Try again."
WRITE_BYTES = 256 * 1024  # gathered before each write: fewer trips to a thread


class Fetcher:
    """Downloads attachments from `cdn_hosts` ("host" or "host:port") over the given client, which it does not close.

    `seconds` limits a whole download. Plain http is allowed only for a loopback address that is among `cdn_hosts`.
    """

    def __init__(self, client: httpx.AsyncClient, cdn_hosts: Sequence[str], *, seconds: float = 120.0) -> None:
        self._client = client
        self._hosts = frozenset(host.lower() for host in cdn_hosts)
        self._seconds = seconds

    async def fetch(self, url: str, to: Path, *, max_bytes: int) -> int:
        """Download `url` to the file `to` and return its size in bytes.

        Raises BadAttachment with a sentence for the member; neither `to` nor a part of it is left then. An `OSError`
        of the disk comes through.
        """
        self._check(url)
        with _unfinished(to) as file:
            return await self._download(url, file, max_bytes)

    def _check(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            allowed = self._allowed(parts)
        except ValueError as error:
            raise BadAttachment(ELSEWHERE, cause=f"not a URL: {error}") from None
        if not allowed:
            raise BadAttachment(ELSEWHERE, cause=f"host not in discord.cdn_hosts: {parts.scheme}://{parts.hostname}")

    def _allowed(self, parts: SplitResult) -> bool:
        netloc = parts.netloc.lower()
        port = parts.port  # raises ValueError for a bad one
        if "@" in netloc or parts.hostname is None:
            return False
        if parts.scheme == "https":
            default_port = port == 443 and netloc.removesuffix(":443") in self._hosts
            return netloc in self._hosts or default_port
        return parts.scheme == "http" and netloc in self._hosts and is_loopback(parts.hostname)

    async def _download(self, url: str, file: BinaryIO, max_bytes: int) -> int:
        try:
            async with asyncio.timeout(self._seconds):
                # Unpacked bytes may be many times the size on the wire, so that nothing packed is asked for.
                headers = {"Accept-Encoding": "identity"}
                async with self._client.stream("GET", url, headers=headers, follow_redirects=False) as response:
                    _check_answer(response, max_bytes)
                    return await _store(response, file, max_bytes)
        except TimeoutError as error:
            raise BadAttachment(TOO_SLOW, cause=f"over {self._seconds:g} s") from error
        except httpx.RemoteProtocolError as error:
            raise BadAttachment(CUT_OFF, cause=repr(error)) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise BadAttachment(NO_ANSWER, cause=repr(error)) from error


@contextmanager
def _unfinished(to: Path) -> Generator[BinaryIO]:
    """A file beside `to` that becomes `to` at the end, or vanishes if the end is not reached."""
    descriptor, name = tempfile.mkstemp(prefix=".fetch-", dir=to.parent)
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            yield file
        part.replace(to)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _check_answer(response: httpx.Response, max_bytes: int) -> None:
    status = response.status_code
    if status in {403, 404, 410}:
        raise BadAttachment(EXPIRED, cause=f"HTTP {status}")
    if response.is_redirect:
        raise BadAttachment(ELSEWHERE, cause=f"HTTP {status} to another place")
    if status != 200 or response.headers.get("Content-Encoding", "identity") != "identity":
        raise BadAttachment(NO_ANSWER, cause=f"HTTP {status}")
    length = response.headers.get("Content-Length", "")
    if length.isdecimal() and int(length) > max_bytes:
        raise BadAttachment(too_large(max_bytes), cause=f"Content-Length {length}")


async def _store(response: httpx.Response, file: BinaryIO, max_bytes: int) -> int:
    size = 0
    async for chunk in response.aiter_raw(WRITE_BYTES):
        size += len(chunk)
        if size > max_bytes:
            raise BadAttachment(too_large(max_bytes), cause="the stream passed the cap")
        await _write(file, chunk)
    return size


async def _write(file: BinaryIO, data: bytes) -> None:
    """Write in a thread; on cancellation wait for that thread, as the caller closes the file next."""
    writing = asyncio.ensure_future(asyncio.to_thread(_write_all, file, data))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        await asyncio.wait([writing])
        raise


def _write_all(file: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def too_large(max_bytes: int) -> str:
    """The sentence for a file over `max_bytes`."""
    most = f"{max_bytes / 1_000_000:.3g} MB" if max_bytes >= 1_000_000 else f"{max_bytes:,} bytes"
    return f"That file is too large; the most is {most}. Make it smaller and upload it again."

"""Cloudflare's AI API: the one call that costs money, the look-up of its log, and the download of its video.

Nothing here sends the paid call twice: no retry, no redirect, no connection that was used before (a stale one would
leave the outcome open). Facts: Cloudflare's docs and live probes, 2026-10.
"""

import asyncio
import contextlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import IO, Self, cast
from urllib.parse import urlsplit

import httpx

from bot.cloudflare_errors import (
    ERROR_TABLE,
    Acts,
    After,
    Charged,
    CredentialsRefused,
    InputRefused,
    ModelError,
    Moderated,
    Never,
    NoSuchModel,
    NotSent,
    OutcomeUnknown,
    OutOfCredits,
    RenderFailed,
    Retry,
    TooLarge,
    TryLater,
    Unknown,
    UploadUrlRequired,
    as_object,
    envelope,
    error_of,
    parse_json,
)
from bot.cloudflare_log import PAGE_SIZE, LogEntry, LookupFailed, find_entry
from bot.config import CloudflareSettings, is_loopback
from bot.errors import CinecordError, StorageError

__all__ = [
    "ERROR_TABLE",
    "Acts",
    "After",
    "Answer",
    "Charged",
    "CloudflareClient",
    "CredentialsRefused",
    "DownloadFailed",
    "InputRefused",
    "LogEntry",
    "LookupFailed",
    "ModelError",
    "Moderated",
    "Never",
    "NoSuchModel",
    "NotSent",
    "OutOfCredits",
    "OutcomeUnknown",
    "RenderFailed",
    "Retry",
    "TooLarge",
    "TryLater",
    "Unknown",
    "UploadUrlRequired",
]

CONNECT_SECONDS = 10.0
WRITE_SECONDS = 60.0
READ_SECONDS = 60.0
MARGIN_SECONDS = 30.0
"""Past the read timeout, for an answer that arrives byte by byte."""
BODY_LIMIT = 1024 * 1024
LOG_BODY_LIMIT = 8 * BODY_LIMIT
LOG_SECONDS = 30.0
DOWNLOAD_SECONDS = 600.0
DOWNLOAD_CHUNK = 256 * 1024
RETRY_AFTER_LIMIT = 24 * 3600.0

# httpx raises these before a byte of the request is written; anything else may come after it.
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


@dataclass(frozen=True, slots=True)
class Answer:
    """A completed render. `video_url` is presigned and expires: it is None where the video was PUT to `upload_url`."""

    video_url: str | None
    log_id: str | None
    key_source: str | None


class DownloadFailed(CinecordError):
    """The finished video could not be fetched from the answer's link."""

    def __init__(self, cause: str) -> None:
        sentence = "The video was made and charged, but could not be fetched. Retry would make and charge it anew."
        super().__init__(sentence, cause=f"download: {cause}")


class CloudflareClient:
    """One account's client. `clock` gives seconds since the epoch; an `http` that is handed in is not closed here."""

    def __init__(
        self,
        settings: CloudflareSettings,
        *,
        http: httpx.AsyncClient | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._account = f"{settings.api_url}/accounts/{settings.account_id}"
        self._local = is_loopback(urlsplit(settings.api_url).hostname)
        self._owned = None if http is not None else _new_http(trust_env=not self._local)
        self._http = http or cast("httpx.AsyncClient", self._owned)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        if self._owned is not None:
            await self._owned.aclose()

    async def run(
        self,
        input: Mapping[str, object],  # noqa: A002 - the API's word
        *,
        job_id: str,
        guild_id: int,
        attempt: int = 1,
    ) -> Answer:
        """Make one video: exactly one POST, which is open until the render ends. Raises ModelError.

        The job's id and the attempt's number are kept with the gateway's log entry, for `find_log`.
        """
        body = {"model": self._settings.model, "input": dict(input)}
        seconds = self._settings.timeout_seconds
        timeout = httpx.Timeout(connect=CONNECT_SECONDS, pool=CONNECT_SECONDS, write=WRITE_SECONDS, read=seconds)
        try:
            async with (
                asyncio.timeout(seconds + CONNECT_SECONDS + MARGIN_SECONDS),
                self._http.stream(
                    "POST",
                    f"{self._account}/ai/run",
                    json=body,
                    headers=self._run_headers(job_id, guild_id, attempt),
                    timeout=timeout,
                    follow_redirects=False,
                ) as response,
            ):
                return await self._answer(response)
        except _NEVER_SENT as error:
            raise NotSent(self._words(error)) from error
        except (httpx.HTTPError, httpx.StreamError, TimeoutError) as error:
            raise OutcomeUnknown(self._words(error)) from error

    async def find_log(self, job_id: str, *, since: float, attempt: int = 1) -> LogEntry | None:
        """The gateway's record of this attempt of a job, sent at `since` (epoch seconds), or None if there is none.

        A success counts whichever attempt it was. Raises LookupFailed.
        """
        return await find_entry(partial(self._log_page, job_id), job_id, since=since, attempt=attempt)

    async def download(self, url: str, to: Path, *, max_bytes: int) -> int:
        """Fetch the finished video into the file `to`, whole or not at all; returns its bytes.

        Streams to a temporary name beside it. HTTPS only; http on loopback where the API is there too. Raises
        DownloadFailed for what the link does, StorageError for what the disk does.
        """
        host = self._download_host(url)
        try:
            with _temporary_beside(to) as file:
                timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
                async with (
                    asyncio.timeout(DOWNLOAD_SECONDS),
                    self._http.stream("GET", url, timeout=timeout, follow_redirects=False) as response,
                ):
                    size = await _save(response, file, max_bytes)
                await asyncio.to_thread(Path(file.name).replace, to)
                return size
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, TimeoutError) as error:
            raise DownloadFailed(f"{host}: {type(error).__name__}") from None  # the text may hold the signed link
        except OSError as error:
            raise StorageError(f"{to}: {error.strerror}") from error

    def _run_headers(self, job_id: str, guild_id: int, attempt: int) -> dict[str, str]:
        headers = self._authorization() | {
            "cf-aig-metadata": json.dumps({"job": job_id, "guild": str(guild_id), "attempt": attempt}),
            "cf-aig-max-attempts": "1",
            "cf-aig-request-timeout": str(int(self._settings.timeout_seconds * 1000)),
            "cf-aig-collect-log-payload": "false",
            "cf-aig-skip-cache": "true",
            "Connection": "close",
        }
        if self._settings.gateway_id is not None:
            headers["cf-aig-gateway-id"] = self._settings.gateway_id
        return headers

    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}", "Accept": "application/json", "Accept-Encoding": "identity"}

    @property
    def _token(self) -> str:
        return self._settings.api_token.get_secret_value()

    async def _answer(self, response: httpx.Response) -> Answer:
        status = response.status_code
        try:
            body = parse_json(await _read(response, BODY_LIMIT))
        except ValueError:
            body = None
        except httpx.HTTPError:
            if status == 200:
                raise
            body = None  # a status other than 200 says enough by itself
        model = envelope(body)
        if status == 200 and model is not None and model.get("state") == "Completed":
            result, metadata = as_object(model.get("result")), as_object(model.get("gatewayMetadata"))
            return Answer(
                video_url=_text(result, "video"),
                log_id=response.headers.get("cf-aig-log-id"),
                key_source=_text(metadata, "keySource"),
            )
        wait = _retry_after(response.headers.get("retry-after"), self._clock())
        raise error_of(status, body, secret=self._token, retry_after=wait)

    async def _log_page(self, job_id: str, page: int, filtered: bool) -> list[Mapping[str, object]] | None:
        """One page of the log, newest first, or None when the API does not take the filter."""
        gateway = self._settings.gateway_id or "default"
        params = {"order_by": "created_at", "order_by_direction": "desc", "page": str(page)}
        params["per_page"] = str(PAGE_SIZE)
        if filtered:
            params["filters"] = json.dumps([{"key": "metadata.value", "operator": "eq", "value": [job_id]}])
        url = f"{self._account}/ai-gateway/gateways/{gateway}/logs"
        try:
            async with (
                asyncio.timeout(LOG_SECONDS),
                self._http.stream(
                    "GET",
                    url,
                    params=params,
                    headers=self._authorization(),
                    timeout=LOG_SECONDS,
                    follow_redirects=False,
                ) as response,
            ):
                if response.status_code == 400 and filtered:
                    return None
                if response.status_code != 200:
                    raise LookupFailed(f"status {response.status_code}")
                body = as_object(parse_json(await _read(response, LOG_BODY_LIMIT)))
        except (httpx.HTTPError, httpx.StreamError, TimeoutError, ValueError) as error:
            raise LookupFailed(self._words(error)) from error
        rows = body.get("result") if body is not None else None
        if not isinstance(rows, list):
            raise LookupFailed("the answer holds no list of entries")
        return [row for row in map(as_object, cast("list[object]", rows)) if row is not None]

    def _download_host(self, url: str) -> str:
        try:
            parts = urlsplit(url)
            host = parts.hostname or ""
        except ValueError:
            raise DownloadFailed("the link is not a URL") from None
        local = parts.scheme == "http" and self._local and is_loopback(host)
        if not host or not (parts.scheme == "https" or local):
            raise DownloadFailed(f"{host or 'the link'}: only https links are fetched")
        return host

    def _words(self, error: BaseException) -> str:
        return f"{type(error).__name__}: {error}".replace(self._token, "***")


def _new_http(*, trust_env: bool) -> httpx.AsyncClient:
    # The number of calls is the queue's to limit: a pool that ran full would only delay them unseen.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx.AsyncClient(limits=limits, trust_env=trust_env, headers={"User-Agent": "Cinecord"})


async def _read(response: httpx.Response, limit: int) -> bytes:
    """The body. Raises ValueError when it is longer than the limit."""
    parts = bytearray()
    async for chunk in response.aiter_bytes():
        parts += chunk
        if len(parts) > limit:
            raise ValueError(f"the answer is longer than {limit} bytes")
    return bytes(parts)


def _text(found: Mapping[str, object] | None, name: str) -> str | None:
    value = found.get(name) if found is not None else None
    return value if isinstance(value, str) and value else None


def _retry_after(value: str | None, now: float) -> float | None:
    """Seconds to wait, of the header's two forms (RFC 9110): a number of seconds, or a date."""
    if value is None:
        return None
    try:
        seconds = float(value) if value.strip().isdigit() else parsedate_to_datetime(value).timestamp() - now
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), RETRY_AFTER_LIMIT)


async def _save(response: httpx.Response, file: IO[bytes], max_bytes: int) -> int:
    host = response.url.host
    if response.status_code != 200:
        raise DownloadFailed(f"{host}: status {response.status_code}")
    size = 0
    async for chunk in response.aiter_bytes(DOWNLOAD_CHUNK):
        size += len(chunk)
        if size > max_bytes:
            raise DownloadFailed(f"{host}: more than {max_bytes} bytes")
        await asyncio.to_thread(file.write, chunk)
    if size == 0:
        raise DownloadFailed(f"{host}: empty")
    await asyncio.to_thread(_sync, file)
    return size


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


@contextlib.contextmanager
def _temporary_beside(to: Path) -> Generator[IO[bytes]]:
    """An open file beside `to`, removed at the end unless it was renamed.

    Not in a thread: a cancelled task would leave the file behind. The buffered file's own lock makes `close` wait for
    a write that a thread still does.
    """
    with tempfile.NamedTemporaryFile(dir=to.parent, prefix=".", suffix=".part", delete=False) as file:
        try:
            yield cast("IO[bytes]", file)
        finally:
            Path(file.name).unlink(missing_ok=True)

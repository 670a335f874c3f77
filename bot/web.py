"""The bot's own HTTP: videos come in by ticket, files go out by signed link, and it says how it is.

    PUT      /tickets/{token}   one finished video, streamed to disk; the job's dispatcher is woken
    GET      /media/{key}       a stored file, for who holds a signed link
    GET      /healthz           the service's checks, as JSON
    GET      /metrics           for Prometheus, on this machine only

Everything else is 404. Tokens and signatures are rights, so no log line carries a path: only its template.
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from pathlib import Path

import structlog
from aiohttp import StreamReader, hdrs, web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from bot.config import is_loopback
from bot.errors import CinecordError, ConfigError
from bot.storage import CHUNK, FolderStorage, Ticket, TicketBook, content_type, hash_token

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Health = Callable[[], Awaitable[Mapping[str, bool]]]
OnUpload = Callable[[str], Awaitable[None]]

_HEALTH_SECONDS = 5.0
_IDLE_SECONDS = 30.0  # for the head of a request, and between two of one connection
_PATIENCE = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)  # seconds
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via", "CF-Connecting-IP")

log = structlog.get_logger(__name__)


class WebServer:
    """Serves on `listen` ("host:port"; port 0 takes a free one). Without a folder there are no tickets and no media.

    `health` names the checks and whether each is well; any that is not makes /healthz a 503. `on_upload` is told the
    job's id when its video is in storage. `upload_seconds` is the longest that one upload may take.
    """

    def __init__(
        self,
        listen: str,
        *,
        storage: FolderStorage | None,
        tickets: TicketBook,
        on_upload: OnUpload,
        health: Health,
        metrics: CollectorRegistry,
        upload_seconds: float = 900.0,
        idle_seconds: float = _IDLE_SECONDS,
        grace_seconds: float = 10.0,
    ) -> None:
        self._listen = listen
        self._host, self._port = _split(listen)
        self._health = health
        self._metrics = metrics
        self._settling: set[asyncio.Task[None]] = set()
        app = web.Application(middlewares=[_outermost])
        app.on_response_prepare.append(_hide_server)
        app.router.add_get("/healthz", self._get_health)
        app.router.add_get("/metrics", self._get_metrics)
        if storage is not None:
            uploads = _Uploads(storage, tickets, on_upload, upload_seconds, self._settling)
            app.router.add_put("/tickets/{token}", uploads.put)
            app.router.add_get("/media/{key:.+}", _Media(storage).get)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=_wire_log(),
            keepalive_timeout=idle_seconds,  # aiohttp counts from the connection on, so it bounds the head too
            auto_decompress=False,  # an mp4 is never sent compressed, and nobody gets to unpack a bomb here
            read_bufsize=CHUNK,
            shutdown_timeout=grace_seconds,
        )

    @property
    def port(self) -> int:
        """The port that is listened on, once started."""
        return int(self._runner.addresses[0][1]) if self._runner.addresses else self._port

    @property
    def url(self) -> str:
        """Where this machine reaches the server."""
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)  # noqa: S104
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    async def start(self) -> None:
        """Listen. ConfigError where the address is not to be had."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host or None, self._port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigError(f"http.listen is {self._listen!r}: {error.strerror or error}; choose another") from error
        log.info("web.listening", port=self.port)

    async def stop(self) -> None:
        """Take no more requests, give those at work their grace, and give back the tickets of uploads that are cut."""
        await self._runner.cleanup()
        if self._settling:
            await asyncio.wait(self._settling)

    async def _get_health(self, _: web.Request) -> web.StreamResponse:
        try:
            async with asyncio.timeout(_HEALTH_SECONDS):
                checks = dict(await self._health())
        except TimeoutError:
            checks = {"answered_in_time": False}
        well = all(checks.values())
        return _json(HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE, {"ok": well, "checks": checks})

    async def _get_metrics(self, request: web.Request) -> web.StreamResponse:
        if not _from_this_machine(request):
            raise web.HTTPNotFound
        return web.Response(body=generate_latest(self._metrics), headers={hdrs.CONTENT_TYPE: CONTENT_TYPE_LATEST})


class _Media:
    """GET and HEAD of stored files, ranges included."""

    def __init__(self, storage: FolderStorage) -> None:
        self._storage = storage

    async def get(self, request: web.Request) -> web.StreamResponse:
        key = request.match_info["key"]
        expires, signature = request.query.get("expires", ""), request.query.get("signature", "")
        if not self._storage.may_read(key, expires=expires, signature=signature):
            raise web.HTTPForbidden
        if await self._storage.size(key) is None:
            raise web.HTTPNotFound
        headers = {
            hdrs.CONTENT_TYPE: content_type(key),
            hdrs.CACHE_CONTROL: "private",
            "X-Content-Type-Options": "nosniff",
        }
        return web.FileResponse(self._storage.path(key), chunk_size=CHUNK, headers=headers)


class _Uploads:
    """PUT of a finished video to its ticket."""

    def __init__(
        self,
        storage: FolderStorage,
        tickets: TicketBook,
        on_upload: OnUpload,
        seconds: float,
        settling: set[asyncio.Task[None]],
    ) -> None:
        self._storage = storage
        self._tickets = tickets
        self._on_upload = on_upload
        self._seconds = seconds
        self._settling = settling

    async def put(self, request: web.Request) -> web.StreamResponse:
        token_hash = hash_token(request.match_info["token"])
        ticket = await self._take(token_hash)
        if ticket is None:
            raise web.HTTPNotFound
        stored = False
        try:
            await self._receive(request, ticket)
            stored = True
        finally:
            await self._settle(token_hash, ticket.job_id, stored=stored)
        await self._tell(ticket.job_id)
        return web.Response(status=HTTPStatus.CREATED)

    async def _take(self, token_hash: str) -> Ticket | None:
        # The sender tries once, and what it brings is paid for: a database that is away for a moment is waited for.
        for pause in _PATIENCE:
            try:
                return await self._tickets.take(token_hash)
            except CinecordError as error:
                log.warning("web.ticket_not_taken", cause=error.cause, seconds=pause)
            await asyncio.sleep(pause)
        return await self._tickets.take(token_hash)

    async def _receive(self, request: web.Request, ticket: Ticket) -> None:
        if (request.content_length or 0) > ticket.max_bytes:
            raise _too_large(ticket)
        path = await self._storage.new_temporary()
        try:
            await self._write(request.content, path, ticket)
            await self._storage.save(ticket.key, path)
        except BaseException:
            await asyncio.to_thread(path.unlink, missing_ok=True)
            raise

    async def _write(self, content: StreamReader, path: Path, ticket: Ticket) -> None:
        file = await asyncio.to_thread(path.open, "wb")
        size = 0
        try:
            async with asyncio.timeout(self._seconds):
                while block := await _read_block(content):
                    if size == 0 and block[4:8] != b"ftyp":  # ISO 14496-12: a file begins with its file type box
                        raise web.HTTPUnsupportedMediaType(text="not an mp4")
                    size += len(block)
                    if size > ticket.max_bytes:
                        raise _too_large(ticket)
                    await asyncio.to_thread(file.write, block)
        except TimeoutError as error:
            raise web.HTTPRequestTimeout(text="the upload took too long") from error
        finally:
            await asyncio.to_thread(file.close)
        if size == 0:
            raise web.HTTPBadRequest(text="the upload is empty")

    async def _settle(self, token_hash: str, job_id: str, *, stored: bool) -> None:
        # In a task of its own: a sender that hangs up, or a server that stops, must not leave the ticket taken.
        task = asyncio.create_task(self._settle_in_book(token_hash, job_id, stored=stored))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)
        await asyncio.shield(task)

    async def _settle_in_book(self, token_hash: str, job_id: str, *, stored: bool) -> None:
        try:
            await self._tickets.settle(token_hash, stored=stored)
        except CinecordError as error:
            # What is in storage stays there, and is found there: the sender need not know of the book's trouble.
            log.warning("web.ticket_not_settled", job_id=job_id, stored=stored, cause=error.cause)

    async def _tell(self, job_id: str) -> None:
        try:
            await self._on_upload(job_id)
        except Exception:
            log.exception("web.on_upload_failed", job_id=job_id)


@web.middleware
async def _outermost(request: web.Request, handler: Handler) -> web.StreamResponse:
    began = time.perf_counter()
    try:
        response = await handler(request)
    except web.HTTPException as error:
        response = _refusal(error)
    except (ConnectionError, web.RequestPayloadError):
        response = web.Response(status=HTTPStatus.BAD_REQUEST)  # nobody is there to read it; it is for the log
    except CinecordError as error:
        log.exception("web.failed", cause=error.cause)
        response = web.Response(status=HTTPStatus.INTERNAL_SERVER_ERROR)
    except Exception:
        log.exception("web.failed")
        response = web.Response(status=HTTPStatus.INTERNAL_SERVER_ERROR)
    resource = request.match_info.route.resource
    log.info(
        "web.request",
        method=request.method,
        route=resource.canonical if resource else None,
        status=response.status,
        seconds=round(time.perf_counter() - began, 4),
    )
    return response


def _refusal(error: web.HTTPException) -> web.Response:
    status = HTTPStatus.NOT_FOUND if error.status == HTTPStatus.METHOD_NOT_ALLOWED else HTTPStatus(error.status)
    return web.Response(status=status, text=f"{error.text}\n" if status != HTTPStatus.NOT_FOUND else "not found\n")


async def _hide_server(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.popall(hdrs.SERVER, None)


async def _read_block(content: StreamReader) -> bytes:
    """About CHUNK bytes, less at the end, none after it. ConnectionError if the sender breaks off."""
    parts: list[bytes] = []
    held = 0
    while held < CHUNK and (part := await content.readany()):
        parts.append(part)
        held += len(part)
    return b"".join(parts)


def _too_large(ticket: Ticket) -> web.HTTPException:
    return web.HTTPRequestEntityTooLarge(ticket.max_bytes, text=f"at most {ticket.max_bytes} bytes")


def _json(status: HTTPStatus, body: Mapping[str, object]) -> web.Response:
    headers = {hdrs.CACHE_CONTROL: "no-store"}
    return web.Response(status=status, text=json.dumps(body), content_type="application/json", headers=headers)


def _from_this_machine(request: web.Request) -> bool:
    """Asked for here, and not through a proxy that runs here: that one says, as a rule, for whom it asks."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    if not peer or not is_loopback(str(peer[0])) or any(name in request.headers for name in _FORWARDED):
        return False
    return is_loopback(request.url.host or "")


def _split(listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f'http.listen is {listen!r}: write host:port, as in "127.0.0.1:8080"')
    return host.strip("[]"), int(port)


def _wire_log() -> logging.Logger:
    """aiohttp's own log without tracebacks: those of a malformed request quote its first line, token and all."""
    logger = logging.getLogger(f"{__name__}.wire")
    if not logger.filters:
        logger.addFilter(_without_traceback)
    return logger


def _without_traceback(record: logging.LogRecord) -> bool:
    if record.exc_info and record.exc_info[0]:
        record.msg, record.args = "%s (%s)", (record.getMessage(), record.exc_info[0].__name__)
        record.exc_info = None
    return True

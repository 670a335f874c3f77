"""The bot's own HTTP over real sockets: tickets used once, cut uploads, links, ranges, health, metrics, the log."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter
from structlog.testing import capture_logs

from bot.errors import ConfigError, StorageError
from bot.storage import CHUNK, FolderStorage, Ticket
from bot.web import WebServer

KEY = "videos/01hv.mp4"
NOW = 1_800_000_000.0
HEAD = b"\0\0\0\x18ftypisom"


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


class Book:
    """A TicketBook in memory."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.tickets: dict[str, Ticket] = {}
        self.states: dict[str, str] = {}
        self.broken = False
        self.seconds = 0.0

    async def issue(self, token_hash: str, ticket: Ticket) -> None:
        self.tickets[token_hash] = ticket
        self.states[token_hash] = "open"

    async def take(self, token_hash: str) -> Ticket | None:
        ticket = self.tickets.get(token_hash)
        if ticket is None or self.states[token_hash] != "open" or ticket.expires_at <= self._clock():
            return None
        self.states[token_hash] = "taken"
        return ticket

    async def settle(self, token_hash: str, *, stored: bool) -> None:
        await asyncio.sleep(self.seconds)
        if self.broken:
            raise StorageError("the database is away")
        self.states[token_hash] = "stored" if stored else "open"

    @property
    def state(self) -> str:
        (state,) = self.states.values()
        return state


@dataclass
class Service:
    server: WebServer
    storage: FolderStorage
    book: Book
    clock: Clock
    client: httpx.AsyncClient
    root: Path
    told: list[str] = field(default_factory=list)
    checks: dict[str, bool] = field(default_factory=lambda: {"database": True, "discord": True})
    trouble: Exception | None = None

    async def ticket(self, *, max_bytes: int = 10_000_000, seconds: int = 900) -> str:
        url = await self.storage.upload_url(KEY, job_id="job-1", seconds=seconds, max_bytes=max_bytes)
        assert url is not None
        return url

    def temporary(self) -> list[Path]:
        folder = self.root / "tmp"
        return list(folder.iterdir()) if folder.exists() else []

    async def on_upload(self, job_id: str) -> None:
        self.told.append(job_id)
        if self.trouble:
            raise self.trouble

    async def health(self) -> Mapping[str, bool]:
        return self.checks


async def serve(root: Path, **options: float) -> Service:
    clock = Clock()
    book = Book(clock)
    storage = FolderStorage(root, public_url=None, tickets=book, signing_key=b"k" * 32, clock=clock)
    registry = CollectorRegistry()
    Counter("videos_posted", "Videos posted", registry=registry).inc()
    service = Service(None, storage, book, clock, None, root)  # type: ignore[arg-type]
    service.server = WebServer(
        "127.0.0.1:0",
        storage=storage,
        tickets=book,
        on_upload=service.on_upload,
        health=service.health,
        metrics=registry,
        **options,
    )
    await service.server.start()
    storage.public_url = service.server.url
    service.client = httpx.AsyncClient(base_url=service.server.url, trust_env=False)
    return service


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    service = await serve(tmp_path / "data")
    yield service
    await service.client.aclose()
    await service.server.stop()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def begin_upload(
    service: Service, url: str, body: bytes, *, length: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A raw PUT that promises `length` bytes and has sent `body`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.server.port)
    path = url.removeprefix(service.server.url)
    writer.write(f"PUT {path} HTTP/1.1\r\nHost: bot\r\nContent-Length: {length}\r\n\r\n".encode() + body)
    await writer.drain()
    return reader, writer


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


def pieces(content: bytes, size: int) -> AsyncIterator[bytes]:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(content), size):
            yield content[start : start + size]

    return chunks()


# Tickets


@pytest.mark.parametrize("extra", [0, 1, CHUNK - len(HEAD), CHUNK, 3 * CHUNK + 7])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_put_is_stored_whole_and_the_dispatcher_is_told(service: Service, extra: int, chunked: bool) -> None:
    content = HEAD + bytes(i % 251 for i in range(extra))
    answer = await service.client.put(await service.ticket(), content=pieces(content, 100_001) if chunked else content)
    assert answer.status_code == 201
    assert service.storage.path(KEY).read_bytes() == content
    assert service.told == ["job-1"]
    assert service.book.state == "stored"
    assert service.temporary() == []


async def test_a_ticket_serves_once(service: Service) -> None:
    url = await service.ticket()
    await service.client.put(url, content=HEAD + b"first")
    assert (await service.client.put(url, content=HEAD + b"second")).status_code == 404
    assert service.storage.path(KEY).read_bytes() == HEAD + b"first"
    assert service.told == ["job-1"]


async def test_unknown_used_and_expired_tickets_get_the_same_answer(service: Service) -> None:
    used, expired = await service.ticket(), await service.ticket(seconds=60)
    await service.client.put(used, content=HEAD)
    service.clock.now += 60
    unknown = service.server.url + "/tickets/" + "x" * 43
    strange = service.server.url + "/tickets/%ff%00..%2f"
    answers = [await service.client.put(url, content=HEAD) for url in (unknown, used, expired, strange)]
    assert [answer.status_code for answer in answers] == [404] * 4
    assert len({(answer.text, tuple(sorted(set(answer.headers) - {"date"}))) for answer in answers}) == 1
    assert service.told == ["job-1"]


async def test_of_two_puts_at_once_one_wins(service: Service) -> None:
    url = await service.ticket()
    puts = [service.client.put(url, content=HEAD + bytes([i]) * 300_000) for i in (1, 2, 3)]
    statuses = sorted(answer.status_code for answer in await asyncio.gather(*puts))
    assert statuses == [201, 404, 404]
    assert service.storage.path(KEY).stat().st_size == len(HEAD) + 300_000
    assert service.told == ["job-1"]
    assert service.temporary() == []


async def test_a_cut_upload_leaves_nothing_and_may_be_tried_again(service: Service) -> None:
    url = await service.ticket()
    _, writer = await begin_upload(service, url, HEAD + b"x" * CHUNK, length=5_000_000)
    await until(lambda: service.book.state == "taken" and service.temporary())
    await hang_up(writer)
    await until(lambda: service.book.state == "open")
    assert service.temporary() == []
    assert await service.storage.size(KEY) is None
    assert service.told == []
    assert (await service.client.put(url, content=HEAD + b"whole")).status_code == 201
    assert service.storage.path(KEY).read_bytes() == HEAD + b"whole"


async def test_a_cut_chunked_upload_is_not_taken_for_a_whole_one(service: Service) -> None:
    url = await service.ticket()
    _, writer = await asyncio.open_connection("127.0.0.1", service.server.port)
    path = url.removeprefix(service.server.url)
    writer.write(
        f"PUT {path} HTTP/1.1\r\nHost: bot\r\nTransfer-Encoding: chunked\r\n\r\nc\r\n".encode() + HEAD + b"\r\n"
    )
    await until(lambda: service.book.state == "taken")
    await hang_up(writer)
    await until(lambda: service.book.state == "open")
    assert await service.storage.size(KEY) is None
    assert service.temporary() == []


async def test_a_slow_upload_is_cut(tmp_path: Path) -> None:
    service = await serve(tmp_path / "data", upload_seconds=0.05)
    reader, writer = await begin_upload(service, await service.ticket(), HEAD, length=1000)
    async with asyncio.timeout(5):
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")
    await hang_up(writer)
    assert service.book.state == "open"
    assert service.temporary() == []
    assert await service.storage.size(KEY) is None
    await service.client.aclose()
    await service.server.stop()


@pytest.mark.parametrize("book_seconds", [0.0, 0.3])
async def test_stopping_gives_the_ticket_of_an_upload_at_work_back(tmp_path: Path, book_seconds: float) -> None:
    service = await serve(tmp_path / "data", grace_seconds=0.05)
    service.book.seconds = book_seconds  # a database slower than the grace
    _, writer = await begin_upload(service, await service.ticket(), HEAD, length=1000)
    await until(lambda: service.book.state == "taken" and service.temporary())
    await service.server.stop()
    assert service.book.state == "open"
    assert service.temporary() == []
    await hang_up(writer)
    await service.client.aclose()


async def test_an_announced_excess_is_refused_before_it_is_sent(service: Service) -> None:
    reader, writer = await begin_upload(service, await service.ticket(max_bytes=1000), b"", length=1001)
    async with asyncio.timeout(5):
        assert (await reader.readline()).startswith(b"HTTP/1.1 413")
    await hang_up(writer)
    assert service.book.state == "open"


async def test_too_many_bytes_are_refused_whether_announced_or_not(service: Service) -> None:
    url = await service.ticket(max_bytes=CHUNK)
    content = HEAD + b"x" * CHUNK
    announced = await service.client.put(url, content=content)
    streamed = await service.client.put(url, content=pieces(content, 10_000))
    assert [announced.status_code, streamed.status_code] == [413, 413]
    assert service.temporary() == []
    assert await service.storage.size(KEY) is None
    assert (await service.client.put(url, content=content[:CHUNK])).status_code == 201


async def test_bytes_after_the_announced_end_are_never_stored(service: Service) -> None:
    url = await service.ticket()
    reader, writer = await begin_upload(service, url, HEAD + b"x" * 1000, length=len(HEAD))
    async with asyncio.timeout(5):
        await reader.read()
    await hang_up(writer)
    stored = service.storage.path(KEY)
    assert not stored.exists() or stored.read_bytes() == HEAD
    assert service.temporary() == []


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"", {}, 400),
        (b"hello", {}, 415),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 5000, {}, 415),
        (b"ftypisom" + b"x" * 5000, {}, 415),
        (b"\x1f\x8b\x08\x00" + b"x" * 100, {"Content-Encoding": "gzip"}, 415),
    ],
)
async def test_what_is_no_mp4_is_refused_and_the_ticket_stays(
    service: Service, content: bytes, headers: dict[str, str], status: int
) -> None:
    url = await service.ticket()
    assert (await service.client.put(url, content=content, headers=headers)).status_code == status
    assert service.book.state == "open"
    assert service.temporary() == []
    assert await service.storage.size(KEY) is None
    assert service.told == []


async def test_a_full_disk_is_a_500_and_the_ticket_stays(service: Service) -> None:
    url = await service.ticket()
    service.root.mkdir(parents=True, exist_ok=True)
    (service.root / "tmp").write_bytes(b"in the way")
    with capture_logs() as lines:
        answer = await service.client.put(url, content=HEAD)
    assert (answer.status_code, answer.text) == (500, "")
    assert service.book.state == "open"
    assert any("temporary" in line.get("cause", "") for line in lines)


async def test_a_stored_video_is_a_success_even_if_the_book_or_the_dispatcher_fails(service: Service) -> None:
    url = await service.ticket()
    service.book.broken, service.trouble = True, RuntimeError("the dispatcher is away")
    with capture_logs() as lines:
        assert (await service.client.put(url, content=HEAD)).status_code == 201
    assert service.told == ["job-1"]
    assert service.storage.path(KEY).read_bytes() == HEAD
    assert {"web.ticket_not_settled", "web.on_upload_failed"} <= {line["event"] for line in lines}


# Media


async def link(service: Service, content: bytes = b"0123456789", key: str = KEY) -> str:
    source = service.root.parent / "source"
    source.write_bytes(content)
    await service.storage.save(key, source)
    url = await service.storage.read_url(key, seconds=60)
    assert url is not None
    return url


async def test_a_signed_link_gives_the_file_with_safe_headers(service: Service) -> None:
    url = await link(service)
    answer = await service.client.get(url)
    assert (answer.status_code, answer.content) == (200, b"0123456789")
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["Cache-Control"] == "private"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Server" not in answer.headers
    head = await service.client.head(url)
    assert (head.status_code, head.headers["Content-Length"], head.content) == (200, "10", b"")
    picture = await service.client.get(await link(service, b"jpeg", "images/00ff.jpg"))
    assert picture.headers["Content-Type"] == "image/jpeg"


async def test_ranges_are_served(service: Service) -> None:
    url = await link(service)
    part = await service.client.get(url, headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content, part.headers["Content-Range"]) == (206, b"234", "bytes 2-4/10")
    assert (await service.client.get(url, headers={"Range": "bytes=50-"})).status_code == 416


async def test_a_link_that_was_tampered_with_or_is_over_is_403(service: Service) -> None:
    url = await link(service)
    await link(service, b"secret", "videos/02.mp4")
    path, _, query = url.partition("?")
    expires, signature = query.split("&")
    wrong = [
        path,
        f"{path}?{expires}",
        f"{path}?{signature}",
        f"{path}?expires=9999999999&{signature}",
        f"{path}?expires={NOW + 1e9}&{signature}",
        f"{path}?{expires}&signature={'0' * 64}",
        f"{path}?{expires}&signature=%C3%A9",
        url.replace("01hv", "02"),
        url.replace("videos/01hv.mp4", "videos/"),
        url.replace("videos/01hv.mp4", "%2e%2e/%2e%2e/etc/passwd"),
        url.replace("videos/01hv.mp4", "/etc/passwd"),
    ]
    statuses = [(await service.client.get(httpx.URL(bad))).status_code for bad in wrong]
    assert statuses == [403] * len(wrong)
    service.clock.now += 60
    assert (await service.client.get(url)).status_code == 403


async def test_dots_in_a_raw_request_reach_no_file(service: Service) -> None:
    url = await link(service)
    (service.root / "secret.txt").write_text("secret")
    query = url.partition("?")[2]
    for path in ("/media/../secret.txt", "/media/videos/../../secret.txt", "/media/%2e%2e/secret.txt", "/media//"):
        reader, writer = await asyncio.open_connection("127.0.0.1", service.server.port)
        writer.write(f"GET {path}?{query} HTTP/1.1\r\nHost: bot\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        await hang_up(writer)
        assert answer.startswith((b"HTTP/1.1 403", b"HTTP/1.1 404")), path
        assert b"secret" not in answer


async def test_a_good_link_to_a_deleted_file_is_404(service: Service) -> None:
    url = await link(service)
    await service.storage.delete(KEY)
    assert (await service.client.get(url)).status_code == 404


# Health, metrics, everything else


async def test_health_names_each_check(service: Service) -> None:
    answer = await service.client.get("/healthz")
    assert (answer.status_code, answer.json()["ok"]) == (200, True)
    service.checks["discord"] = False
    answer = await service.client.get("/healthz")
    assert answer.status_code == 503
    assert answer.json() == {"ok": False, "checks": {"database": True, "discord": False}}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost"}, 200),
        ({"Host": "bot.example"}, 404),
        ({"X-Forwarded-For": "203.0.113.5"}, 404),
        ({"Forwarded": "for=203.0.113.5"}, 404),
        ({"CF-Connecting-IP": "203.0.113.5"}, 404),
    ],
)
async def test_metrics_are_for_this_machine(service: Service, headers: dict[str, str], status: int) -> None:
    answer = await service.client.get("/metrics", headers=headers)
    assert answer.status_code == status
    assert ("videos_posted_total 1.0" in answer.text) == (status == 200)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/media/"),
        ("GET", "/tickets"),
        ("GET", "/tickets/x"),
        ("POST", "/tickets/x"),
        ("PUT", "/tickets/"),
        ("PUT", f"/media/{KEY}"),
        ("OPTIONS", f"/media/{KEY}"),
        ("DELETE", "/healthz"),
    ],
)
async def test_everything_else_is_404(service: Service, method: str, path: str) -> None:
    answer = await service.client.request(method, path)
    assert (answer.status_code, answer.text) == (404, "not found\n")
    assert "Allow" not in answer.headers


async def test_without_a_folder_there_are_no_tickets_and_no_media(service: Service) -> None:
    url, ticket = await link(service), await service.ticket()
    server = WebServer(
        "127.0.0.1:0",
        storage=None,
        tickets=service.book,
        on_upload=service.on_upload,
        health=service.health,
        metrics=CollectorRegistry(),
    )
    await server.start()
    assert (await service.client.get(url.replace(service.server.url, server.url))).status_code == 404
    assert (await service.client.put(ticket.replace(service.server.url, server.url), content=HEAD)).status_code == 404
    assert (await service.client.get(f"{server.url}/healthz")).status_code == 200
    await server.stop()


@pytest.fixture
def aiohttp_lines() -> Iterator[list[str]]:
    lines: list[str] = []
    handler = logging.Handler()
    formatter = logging.Formatter()
    handler.emit = lambda record: lines.append(formatter.format(record))  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    yield lines
    logging.getLogger().removeHandler(handler)


async def test_no_log_line_holds_a_token_or_a_signature(service: Service, aiohttp_lines: list[str]) -> None:
    ticket, url = await service.ticket(), await link(service)
    with capture_logs() as lines:
        await service.client.put(ticket, content=b"no mp4")
        await service.client.put(ticket, content=HEAD)
        await service.client.get(url)
        path = ticket.removeprefix(service.server.url)
        reader, writer = await asyncio.open_connection("127.0.0.1", service.server.port)
        writer.write(f"PUT {path} HTTP/1.1 {path}\r\n{path}\r\n\r\n".encode())
        assert (await reader.read()).startswith(b"HTTP/1.0 400")
        await hang_up(writer)
    routes = [(line["route"], line["status"]) for line in lines if line["event"] == "web.request"]
    assert routes == [("/tickets/{token}", 415), ("/tickets/{token}", 201), ("/media/{key}", 200)]
    ours = [line for line in aiohttp_lines if "HTTP Request:" not in line]  # httpx, the client, logs its addresses
    assert any("BadStatusLine" in line or "BadHttp" in line for line in ours)
    text = f"{lines} {ours}"
    assert ticket.rpartition("/")[2] not in text
    assert url.rpartition("=")[2] not in text


async def test_a_connection_that_says_nothing_or_too_little_is_closed(tmp_path: Path) -> None:
    service = await serve(tmp_path / "data", idle_seconds=0.05)
    for start in (b"", b"GET /healthz HTTP/1.1\r\nHost:"):
        reader, writer = await asyncio.open_connection("127.0.0.1", service.server.port)
        writer.write(start)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        await hang_up(writer)
    await service.client.aclose()
    await service.server.stop()


@pytest.mark.parametrize("listen", ["", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:70000"])
def test_an_address_that_is_none_is_refused(listen: str, service: Service) -> None:
    with pytest.raises(ConfigError, match=r"http\.listen"):
        WebServer(
            listen,
            storage=None,
            tickets=service.book,
            on_upload=service.on_upload,
            health=service.health,
            metrics=CollectorRegistry(),
        )


async def test_an_address_in_use_is_a_config_error(service: Service) -> None:
    second = WebServer(
        f"127.0.0.1:{service.server.port}",
        storage=None,
        tickets=service.book,
        on_upload=service.on_upload,
        health=service.health,
        metrics=CollectorRegistry(),
    )
    with pytest.raises(ConfigError, match="choose another"):
        await second.start()

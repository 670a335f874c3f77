"""The fetcher against a real file server on loopback that is slow, lies, redirects, or breaks off."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from aiohttp import web

from bot import attachments
from bot.attachments import Fetcher
from bot.errors import BadAttachment

DATA = bytes(range(256)) * 4000


@dataclass
class Files:
    """A stand-in for Discord's file hosts, and what it was asked for."""

    port: int = 0
    asked: list[str] = field(default_factory=list)
    agent: dict[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str) -> str:
        return f"http://{self.host}/{path}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        self.asked.append(name)
        self.agent = dict(request.headers)
        if name == "file":
            return web.Response(body=DATA)
        if name.isdecimal():
            return web.Response(status=int(name), headers={"Location": self.url("file")})
        if name == "packed":
            return web.Response(body=gzip.compress(bytes(10_000_000)), headers={"Content-Encoding": "gzip"})
        if name == "silent":
            await asyncio.sleep(60)
        response = web.StreamResponse()
        if name == "broken":
            response.content_length = len(DATA) * 2
        await response.prepare(request)
        await response.write(DATA)
        if name == "slow":
            await asyncio.sleep(60)
        if name == "endless":
            while True:
                await response.write(DATA)
        if request.transport is not None and name == "broken":
            request.transport.close()
        return response


class Parts(httpx.AsyncByteStream):
    def __init__(self, parts: list[bytes]) -> None:
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            yield part


@pytest.fixture
async def files() -> AsyncIterator[Files]:
    files = Files()
    app = web.Application()
    app.router.add_get("/{name}", files.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    files.port = runner.addresses[0][1]
    yield files
    await runner.cleanup()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(follow_redirects=True, trust_env=False) as client:
        yield client


@pytest.fixture
def to(tmp_path: Path) -> Path:
    folder = tmp_path / "fetched"
    folder.mkdir()
    return folder / "attachment"


async def refusal(fetcher: Fetcher, url: str, to: Path, max_bytes: int = 10**8) -> str:
    with pytest.raises(BadAttachment) as caught:
        await fetcher.fetch(url, to, max_bytes=max_bytes)
    assert not any(to.parent.iterdir())
    assert "\n" not in caught.value.sentence
    return caught.value.sentence


async def test_a_file_is_fetched_whole_under_its_name_only(files: Files, client: httpx.AsyncClient, to: Path) -> None:
    size = await Fetcher(client, [files.host]).fetch(files.url("file"), to, max_bytes=len(DATA))
    assert size == len(DATA)
    assert to.read_bytes() == DATA
    assert [file.name for file in to.parent.iterdir()] == ["attachment"]
    assert files.agent["Accept-Encoding"] == "identity"


async def test_a_stream_of_unknown_length_is_fetched(files: Files, client: httpx.AsyncClient, to: Path) -> None:
    assert await Fetcher(client, [files.host]).fetch(files.url("chunked"), to, max_bytes=len(DATA)) == len(DATA)
    assert to.read_bytes() == DATA


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/file",  # a port that is not listed
        "http://localhost:{port}/file",  # the same machine by another name
        "http://cdn.discordapp.com/attachments/1/2/a.png",  # plain http to a real host
        "https://example.org/a.png",
        "https://cdn.discordapp.com.example.org/a.png",
        "https://example.org\\@cdn.discordapp.com/a.png",
        "https://user@cdn.discordapp.com/a.png",
        "https://cdn.discordapp.com@127.0.0.1:{port}/file",
        "http://user:pass@127.0.0.1:{port}/file",
        "https://cdn.discordapp.com:8443/a.png",
        "https://cdn.discordapp.com:port/a.png",
        "https://[::1/a.png",
        "ftp://cdn.discordapp.com/a.png",
        "file:///etc/passwd",
        "//cdn.discordapp.com/a.png",
        "cdn.discordapp.com/a.png",
        "",
    ],
)
async def test_other_places_are_never_asked(files: Files, client: httpx.AsyncClient, to: Path, url: str) -> None:
    fetcher = Fetcher(client, ["cdn.discordapp.com", files.host])
    assert await refusal(fetcher, url.format(port=files.port), to) == attachments.ELSEWHERE
    assert files.asked == []


@pytest.mark.parametrize(
    "url", ["https://cdn.discordapp.com/a.png?ex=1", "https://CDN.discordapp.com/a", "https://cdn.discordapp.com:443/a"]
)
async def test_discords_own_host_is_asked(to: Path, url: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=Parts([request.url.host.encode()]))

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        await Fetcher(client, ["cdn.discordapp.com"]).fetch(url, to, max_bytes=100)
    assert to.read_bytes() == b"cdn.discordapp.com"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(files: Files, client: httpx.AsyncClient, to: Path, status: int) -> None:
    assert await refusal(Fetcher(client, [files.host]), files.url(str(status)), to) == attachments.ELSEWHERE
    assert files.asked == [str(status)]


@pytest.mark.parametrize(
    ("status", "sentence"), [(403, "EXPIRED"), (404, "EXPIRED"), (500, "NO_ANSWER"), (429, "NO_ANSWER")]
)
async def test_error_answers(files: Files, client: httpx.AsyncClient, to: Path, status: int, sentence: str) -> None:
    told = await refusal(Fetcher(client, [files.host]), files.url(str(status)), to)
    assert told == getattr(attachments, sentence)


async def test_too_large_by_its_own_word(files: Files, client: httpx.AsyncClient, to: Path) -> None:
    told = await refusal(Fetcher(client, [files.host]), files.url("file"), to, max_bytes=1_000_000)
    assert told == "That file is too large; the most is 1 MB. Make it smaller and upload it again."


async def test_too_large_without_a_word(files: Files, client: httpx.AsyncClient, to: Path) -> None:
    assert "too large" in await refusal(Fetcher(client, [files.host]), files.url("endless"), to, max_bytes=3_000_000)


async def test_a_lying_length_cannot_pass_the_cap(to: Path) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Length": "10"}, stream=Parts([DATA] * 100))

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        told = await refusal(Fetcher(client, ["cdn.discordapp.com"]), "https://cdn.discordapp.com/a", to, 2_000_000)
    assert "too large" in told


async def test_packed_answers_are_refused(files: Files, client: httpx.AsyncClient, to: Path) -> None:
    assert await refusal(Fetcher(client, [files.host]), files.url("packed"), to) == attachments.NO_ANSWER


async def test_a_transfer_that_breaks_off(files: Files, client: httpx.AsyncClient, to: Path) -> None:
    assert await refusal(Fetcher(client, [files.host]), files.url("broken"), to) == attachments.CUT_OFF


@pytest.mark.parametrize("name", ["slow", "silent"])
async def test_the_whole_download_has_a_time_limit(
    files: Files, client: httpx.AsyncClient, to: Path, name: str
) -> None:
    assert await refusal(Fetcher(client, [files.host], seconds=0.2), files.url(name), to) == attachments.TOO_SLOW


async def test_no_server(client: httpx.AsyncClient, to: Path) -> None:
    assert await refusal(Fetcher(client, ["127.0.0.1:1"]), "http://127.0.0.1:1/file", to) == attachments.NO_ANSWER


async def test_cancelling_leaves_nothing(files: Files, client: httpx.AsyncClient, to: Path) -> None:
    fetcher = Fetcher(client, [files.host])
    task = asyncio.create_task(fetcher.fetch(files.url("endless"), to, max_bytes=10**9))
    while not any(file.stat().st_size for file in to.parent.iterdir()):
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not any(to.parent.iterdir())

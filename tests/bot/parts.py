"""What tests of the services share: settings, stand-ins, small pictures and clips, and polling with a deadline."""

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import av
from aiohttp import web
from PIL import Image

from bot.config import CloudflareSettings, DiscordSettings, Settings
from bot.services import Services, open_services
from bot.storage import FolderStorage
from bot.store.database import Database
from bot.store.migrate import upgrade
from sandbox.cloudflare import CloudflareSandbox

DISCORD_TOKEN = "discord-token-that-nobody-may-see"


@dataclass
class Cdn:
    """Stands in for Discord's file host: what it serves by path, and how often it was asked."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    hold: asyncio.Event | None = None

    async def get(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        if request.path not in self.files:
            return web.Response(status=404)
        if self.hold is not None:
            await self.hold.wait()
        return web.Response(body=self.files[request.path])

    def put(self, name: str, content: bytes) -> str:
        self.files[f"/{name}"] = content
        return f"{self.url}/{name}"

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")


@asynccontextmanager
async def serving(*routes: web.RouteDef) -> AsyncIterator[str]:
    app = web.Application(client_max_size=1 << 28)
    app.add_routes(routes)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


MakeSettings = Callable[..., Settings]


def for_model(model: CloudflareSandbox, *, timeout_seconds: float = 20.0) -> CloudflareSettings:
    """Settings that send the paid call to the sandbox. `timeout_seconds` may be below what an operator may set."""
    settings = CloudflareSettings.model_validate(
        {"account_id": model.account_id, "api_token": model.api_token, "api_url": model.api_url}
    )
    return settings.model_copy(update={"timeout_seconds": timeout_seconds})


def at_cdn(cdn: Cdn) -> DiscordSettings:
    return DiscordSettings.model_validate({"token": DISCORD_TOKEN, "cdn_hosts": [cdn.host]})


@cache
def empty_database() -> bytes:
    """A database after the migrations: bringing one up to date takes longer than all the steps of most tests."""

    async def make(path: Path) -> bytes:
        database = Database(f"sqlite+aiosqlite:///{path}")
        await upgrade(database)
        await database.close()
        return path.read_bytes()

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as apart:  # a test's loop may be running here
        return apart.submit(asyncio.run, make(Path(folder) / "cinecord.db")).result()


@asynccontextmanager
async def opened(
    settings: Settings, *, public: bool = True, clock: Callable[[], float] = time.time
) -> AsyncIterator[Services]:
    """Open services; `public` lets the model upload to the bot's own web server."""
    path = Path(settings.database.url.removeprefix("sqlite+aiosqlite:///"))
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(empty_database())
    services = await open_services(settings, clock=clock)
    try:
        if public:
            assert isinstance(services.storage, FolderStorage)
            services.storage.public_url = services.web.url
        yield services
    finally:
        await services.aclose()


async def until(true: Callable[[], Awaitable[Any]] | Callable[[], Any], seconds: float = 10.0) -> Any:
    """Poll until `true` is, with a deadline."""
    async with asyncio.timeout(seconds):
        while True:
            value = true()
            if asyncio.iscoroutine(value):
                value = await value
            if value:
                return value
            await asyncio.sleep(0.005)


def files_in(folder: Path) -> list[str]:
    """Every file under the folder, hidden ones too; empty folders do not count."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def png(colour: tuple[int, int, int] = (200, 30, 30), size: tuple[int, int] = (64, 48)) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def moving_gif() -> bytes:
    buffer = BytesIO()
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=100)
    return buffer.getvalue()


_CLIPS: dict[tuple[float, str], bytes] = {}


def clip(folder: Path, seconds: float = 2.0, kind: str = "mp4") -> bytes:
    """A short grey clip as mp4 (H.264) or webm (VP8)."""
    if (seconds, kind) not in _CLIPS:
        path = folder / f"clip-{seconds}.{kind}"
        with av.open(str(path), "w") as container:
            track: Any = container.add_stream("libx264" if kind == "mp4" else "libvpx", rate=12)
            track.width, track.height, track.pix_fmt = 64, 48, "yuv420p"
            for number in range(round(seconds * 12)):
                frame = av.VideoFrame.from_image(Image.new("RGB", (64, 48), (number % 200,) * 3))
                frame.pts, frame.time_base = number, Fraction(1, 12)
                container.mux(track.encode(frame))
            container.mux(track.encode(None))
        _CLIPS[seconds, kind] = path.read_bytes()
        path.unlink()
    return _CLIPS[seconds, kind]


def stored_rows(settings: Settings, query: str, *values: object) -> list[Any]:
    """What another program sees in the bot's database; single columns come without their tuple."""
    with closing(sqlite3.connect(settings.database.url.removeprefix("sqlite+aiosqlite:///"))) as connection:
        rows = connection.execute(query, values).fetchall()
    return [row[0] if len(row) == 1 else row for row in rows]

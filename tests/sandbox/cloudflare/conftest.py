"""A running sandbox, a client that talks to it over real HTTP, and a bucket."""

import io
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import web
from PIL import Image

from sandbox.cloudflare import CloudflareSandbox
from tests.sandbox.cloudflare.caller import Bucket, Client, plain_http


@pytest.fixture
async def bucket() -> AsyncIterator[Bucket]:
    bucket = Bucket()
    app = web.Application(client_max_size=1 << 28)
    app.add_routes(
        [
            web.put("/{name:.*}", bucket.put),
            web.get("/{name:.*}", bucket.get, allow_head=False),
            web.post("/hook", bucket.hook),
        ]
    )
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    bucket.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield bucket
    await runner.cleanup()


@pytest.fixture
async def sandbox() -> AsyncIterator[CloudflareSandbox]:
    async with CloudflareSandbox(quick=True) as running:
        yield running


@pytest.fixture
async def client(sandbox: CloudflareSandbox, bucket: Bucket) -> AsyncIterator[Client]:
    async with plain_http() as http:
        yield Client(sandbox, bucket, http)


@pytest.fixture(scope="session")
def png() -> Callable[[int, int], bytes]:
    def make(width: int, height: int) -> bytes:
        buffer = io.BytesIO()
        Image.linear_gradient("L").resize((width, height)).convert("RGB").save(buffer, "PNG")
        return buffer.getvalue()

    return make

"""A small bucket that takes PUTs, and the run endpoint as a caller sees it."""

from dataclasses import dataclass, field
from typing import Any

import httpx
from aiohttp import web

from sandbox.cloudflare import CloudflareSandbox
from sandbox.cloudflare.envelopes import MODEL


def plain_http() -> httpx.AsyncClient:
    """Nothing here speaks TLS: loading the certificates for every test would take longer than the tests."""
    return httpx.AsyncClient(timeout=30, trust_env=False, verify=False)


@dataclass
class Bucket:
    """What was PUT, by path. `status` is what the next PUTs are answered with."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    puts: int = 0
    status: int = 200
    hooks: list[dict[str, Any]] = field(default_factory=list)

    async def put(self, request: web.Request) -> web.Response:
        self.puts += 1
        content = await request.read()
        self.headers[request.raw_path] = dict(request.headers)
        if self.status == 200:
            self.files[request.path] = content
        return web.Response(status=self.status, headers={"Location": "/elsewhere"} if self.status == 307 else {})

    async def get(self, request: web.Request) -> web.Response:
        if request.path not in self.files:
            return web.Response(status=404)
        return web.Response(body=self.files[request.path])

    async def hook(self, request: web.Request) -> web.Response:
        self.hooks.append(await request.json())
        return web.Response()


class Client:
    """The run endpoint as a caller sees it."""

    def __init__(self, sandbox: CloudflareSandbox, bucket: Bucket, http: httpx.AsyncClient) -> None:
        self.sandbox, self.bucket, self.http = sandbox, bucket, http
        self.url = f"{sandbox.api_url}/accounts/{sandbox.account_id}/ai/run"
        self.logs_url = f"{sandbox.api_url}/accounts/{sandbox.account_id}/ai-gateway/gateways/default/logs"
        self.headers = {"Authorization": f"Bearer {sandbox.api_token}"}

    def body(self, **fields: Any) -> dict[str, Any]:
        value = {"prompt": "a fox", "duration": 1, "output": {"upload_url": f"{self.bucket.url}/clip.mp4"}} | fields
        return {"model": MODEL, "input": {k: v for k, v in value.items() if v is not None}}

    async def run(self, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
        return await self.post(self.body(**fields), headers)

    async def post(self, body: Any, headers: dict[str, str] | None = None) -> httpx.Response:
        return await self.http.post(self.url, json=body, headers=self.headers | (headers or {}))

    async def logs(self, **query: str) -> dict[str, Any]:
        answer = await self.http.get(self.logs_url, params=query, headers=self.headers)
        return {"status": answer.status_code, **answer.json()}

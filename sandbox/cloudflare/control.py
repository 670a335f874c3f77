"""Thin HTTP handles on the sandbox for people and for tests in other processes: `/sandbox/…`, no token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from sandbox.cloudflare.faults import Fault

if TYPE_CHECKING:
    from sandbox.cloudflare.server import CloudflareSandbox


def routes(sandbox: CloudflareSandbox) -> list[web.RouteDef]:
    """GET the list of paths, state · POST fault, render_seconds, hold, release."""

    async def state(_: web.Request) -> web.Response:
        return web.json_response(_state(sandbox))

    async def fault(request: web.Request) -> web.Response:
        body = await _body(request)
        try:
            kind, times = Fault(body.get("kind", "")), int(body.get("times", 1))
            late = body.get("after_render") is True
            sandbox.fail_next(kind, times, retry_after=body.get("retry_after"), after_render=late)
        except (ValueError, TypeError) as error:
            return _bad(f"{error}; kind must be one of {', '.join(Fault)}; times a number")
        return web.json_response({"planned": kind.value, "times": times})

    async def render_seconds(request: web.Request) -> web.Response:
        seconds = (await _body(request)).get("seconds")
        if not isinstance(seconds, (int, float)) or not 0 <= seconds <= 3600:
            return _bad("seconds must be from 0 to 3600")
        sandbox.render_seconds = float(seconds)
        return web.json_response({"render_seconds": sandbox.render_seconds})

    async def hold(_: web.Request) -> web.Response:
        sandbox.hold()
        return web.json_response({"held": True})

    async def release(_: web.Request) -> web.Response:
        sandbox.release()
        return web.json_response({"held": False})

    async def paths(_: web.Request) -> web.Response:
        found: dict[str, list[str]] = {}
        for route in handled:
            found.setdefault(route.method, []).append(route.path)
        return web.json_response(found)

    handled = [
        web.get("/sandbox/state", state),
        web.post("/sandbox/fault", fault),
        web.post("/sandbox/render_seconds", render_seconds),
        web.post("/sandbox/hold", hold),
        web.post("/sandbox/release", release),
    ]
    return [web.get("/sandbox/", paths), *handled]


def _state(sandbox: CloudflareSandbox) -> dict[str, Any]:
    calls = [
        {
            "number": call.number,
            "job": call.job,
            "operation": call.input.get("_operation", "generate"),
            "at": call.at,
            "finished": call.finished,
            "status": call.status,
            "fault": call.fault,
            "uploaded": call.uploaded,
        }
        for call in sandbox.calls
    ]
    charges = [{"job": c.job, "usd": c.usd, "reason": c.reason, "certain": c.certain} for c in sandbox.ledger]
    return {"charged_usd": sandbox.charged_usd, "charges": charges, "calls": calls}


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _bad(message: str) -> web.Response:
    return web.json_response({"error": message}, status=400)

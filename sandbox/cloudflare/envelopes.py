"""The shapes of an answer: what REST wraps and what comes bare, errors of each kind, and HTML from an edge.

Reference: "Answer" and "Errors" of the AI run reference, 2026-10.
"""

from __future__ import annotations

import html
import json
from typing import Any

from aiohttp import web

from sandbox.cloudflare.faults import ANSWERS, Answer, Fault, Planned

MODEL = "xai/grok-imagine-video-1.5-preview"
PROVIDER = "xai"

Json = dict[str, Any]


def completed(video: str | None, *, wrapped: bool) -> Json:
    """The body of a finished call. `video` is absent when the file went to `output.upload_url`."""
    inner: Json = {
        "state": "Completed",
        "result": {"video": video} if video else {},
        "gatewayMetadata": {"keySource": "Unified"},
    }
    return _wrap(inner) if wrapped else inner


def failed(code: int | str, message: str, *, wrapped: bool) -> Json:
    """A call that was accepted and did not end with a video: HTTP 200, state Failed."""
    inner: Json = {"state": "Failed", "error": {"code": code, "message": message}}
    return _wrap(inner) if wrapped else inner


def running(run_id: str, *, wrapped: bool) -> Json:
    inner: Json = {"runId": run_id, "state": "Running"}
    return _wrap(inner) if wrapped else inner


def refusal(answer: Answer, *, wrapped: bool) -> Json:
    """An error's body: the REST list of errors, or the bare state."""
    if not wrapped:
        return {"state": "Failed", "error": {"code": answer.code, "message": answer.message}}
    errors = [{"code": answer.code, "message": answer.message}]
    return {"success": False, "errors": errors, "messages": [], "result": {}}


def webhook(run_id: str, state: str, result: Json | None, error: Json | None) -> Json:
    """What background mode POSTs once, without a retry."""
    return {
        "id": run_id,
        "state": state,
        "result": result,
        "error": error,
        "provider": PROVIDER,
        "model": MODEL,
        "usage": None,
    }


def page(result: list[Json], number: int, per_page: int, total: int) -> Json:
    """One page of a list endpoint."""
    info = {"page": number, "per_page": per_page, "count": len(result), "total_count": total}
    return {"success": True, "errors": [], "messages": [], "result": result, "result_info": info}


def error_response(answer: Answer, *, wrapped: bool, retry_after: float | None = None) -> web.Response:
    headers = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
    if answer.html:
        return web.Response(status=answer.status, text=_edge_page(answer), content_type="text/html", headers=headers)
    return web.json_response(refusal(answer, wrapped=wrapped), status=answer.status, headers=headers)


def fault_response(planned: Planned, done: Json, *, wrapped: bool) -> web.Response:
    """The answer of a fault that has one. `done` is what a call without the fault would have answered."""
    fault = planned.fault
    if fault is Fault.GARBAGE_JSON:
        return web.Response(text='{"result": {"state": Compl', content_type="application/json")
    if fault is Fault.EMPTY_BODY:
        return web.Response(body=b"", content_type="application/json")
    if fault not in ANSWERS:
        return web.json_response(done)
    answer = ANSWERS[fault]
    if fault is Fault.FAILED_STATE:
        return web.json_response(failed(answer.code, answer.message, wrapped=wrapped))
    if fault is Fault.AI_GATEWAY_ERROR:
        body = {"name": "AiGatewayError", "internalCode": answer.code, "message": answer.message}
        return web.json_response(body, status=answer.status)
    return error_response(answer, wrapped=wrapped, retry_after=planned.retry_after)


def encoded(body: Json) -> bytes:
    return json.dumps(body).encode()


def _wrap(inner: Json) -> Json:
    return {"result": inner, "success": True, "errors": [], "messages": []}


def _edge_page(answer: Answer) -> str:
    text = html.escape(f"{answer.status}: {answer.message}")
    return f"<!DOCTYPE html>\n<html><head><title>{text}</title></head><body><h1>Error {text}</h1></body></html>\n"

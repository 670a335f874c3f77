"""The HTTP paths: the run endpoint, the gateway's logs, and the CDN whose presigned links expire."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web

from sandbox.cloudflare import checks, envelopes, logs, runs, sources
from sandbox.cloudflare.calls import Call
from sandbox.cloudflare.checks import RefusedError, Wanted
from sandbox.cloudflare.faults import ANSWERS, ZDR_SENTENCE, Answer, Fault, Planned
from sandbox.cloudflare.media import Order

if TYPE_CHECKING:
    from sandbox.cloudflare.server import CloudflareSandbox

log = logging.getLogger(__name__)

_CUTS = frozenset({Fault.CONNECTION_LOST, Fault.CONNECTION_LOST_AFTER_RENDER})
_NOT_FOUND = Answer(404, 7003, "Could not route to this account, perhaps its identifier is invalid")


def dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def routes(sandbox: CloudflareSandbox) -> list[web.RouteDef]:
    """All paths that the real hosts have too."""
    prefix = "/client/v4/accounts/{account}"
    runner = _RunEndpoint(sandbox)

    async def list_logs(request: web.Request) -> web.Response:
        return _list_logs(sandbox, request)

    async def cdn(request: web.Request) -> web.StreamResponse:
        return _cdn(sandbox, request)

    return [
        web.post(f"{prefix}/ai/run", runner.handle),
        web.get(f"{prefix}/ai-gateway/gateways/{{gateway}}/logs", list_logs),
        web.get("/cdn/{name}", cdn),
    ]


def _unauthorized(sandbox: CloudflareSandbox, request: web.Request) -> Answer | None:
    wanted = f"Bearer {sandbox.api_token}".encode()
    if not hmac.compare_digest(request.headers.get("Authorization", "").encode(), wanted):
        return ANSWERS[Fault.CREDENTIALS]
    return None if request.match_info["account"] == sandbox.account_id else _NOT_FOUND


def _list_logs(sandbox: CloudflareSandbox, request: web.Request) -> web.Response:
    if refused := _unauthorized(sandbox, request):
        return envelopes.error_response(refused, wrapped=True)
    gateway = request.match_info["gateway"]
    if gateway not in ("default", sandbox.gateway_id):
        return envelopes.error_response(Answer(404, 7002, "Gateway not found"), wrapped=True)
    try:
        found, info = logs.list_page(
            sandbox.logs.get(gateway, []), request.query, sandbox.clock(), brackets=sandbox.bracket_filters
        )
    except logs.BadQueryError as error:
        return envelopes.error_response(Answer(400, 7001, str(error)), wrapped=True)
    return web.json_response(envelopes.page(found, info["page"], info["per_page"], info["total"]))


def _cdn(sandbox: CloudflareSandbox, request: web.Request) -> web.StreamResponse:
    name = request.match_info["name"]
    if not sandbox.signed(name, request.query.get("expires", ""), request.query.get("signature", "")):
        return web.Response(status=403, text="The link is not valid, or not any more")
    path = sandbox.folder / name
    if not path.is_file():
        return web.Response(status=404)
    return web.FileResponse(path, headers={"Content-Type": "video/mp4"})


class _RunEndpoint:
    """POST …/ai/run, from the first byte to the answer."""

    def __init__(self, sandbox: CloudflareSandbox) -> None:
        self._sandbox = sandbox

    async def handle(self, request: web.Request) -> web.StreamResponse:
        sandbox = self._sandbox
        call = Call(len(sandbox.calls) + 1, sandbox.clock(), {k.lower(): v for k, v in request.headers.items()})
        response = await self._respond(call, request)
        call.client_gone = request.transport is None or request.transport.is_closing()
        call.status = response.status if response.status != 499 else 0
        call.finished = sandbox.clock()
        sandbox.changes.notify()
        return response

    async def _respond(self, call: Call, request: web.Request) -> web.StreamResponse:
        if refused := _unauthorized(self._sandbox, request):
            self._record(call)
            return self._error(refused)
        try:
            plan = await self._read(call, request)
            if plan and not plan.after_render:
                return await self._fault(call, request, plan)
            return await self._paid(call, request, self._wanted(call), plan)
        except RefusedError as error:
            call.refusal = str(error)
            message = error.message if error.message == ZDR_SENTENCE else f"AiError: Bad input: {error}"
            self._sandbox.write_log(call, success=False, status=400)
            return self._logged(call, self._error(Answer(400, error.code, message)))
        except web.HTTPRequestEntityTooLarge:
            self._record(call)
            return self._error(ANSWERS[Fault.TOO_LARGE])

    async def _read(self, call: Call, request: web.Request) -> Planned | None:
        """Takes body and headers into the call; the fault that waits for it."""
        content = await request.read()
        self._record(call)
        if request.content_type != "application/json":
            raise RefusedError("Content-Type", "application/json is needed")
        body = _json_object(content)
        value, options = body.get("input"), body.get("options", {})
        call.input = value if isinstance(value, dict) else {}
        call.options = options if isinstance(options, dict) else {}
        call.metadata = checks.check_metadata(call.headers.get("cf-aig-metadata"))
        self._sandbox.changes.notify()
        self._check_headers(call)
        try:
            plan = self._sandbox.faults.take(call.input.get("prompt"))
        except ValueError as error:
            raise RefusedError("prompt", f"no such fault; there are: {', '.join(Fault)}") from error
        call.fault = plan.fault.value if plan else None
        _check_body(body)
        return plan

    def _record(self, call: Call) -> None:
        call.number = len(self._sandbox.calls) + 1
        self._sandbox.calls.append(call)
        self._sandbox.changes.notify()

    def _check_headers(self, call: Call) -> None:
        call.gateway = call.headers.get("cf-aig-gateway-id", "default")
        if call.gateway not in ("default", self._sandbox.gateway_id):
            raise RefusedError("cf-aig-gateway-id", "this gateway does not exist: configure AI Gateway first")
        for name in ("cf-aig-request-timeout", "cf-aig-max-attempts"):
            text = call.headers.get(name, "1")
            if not text.isascii() or not text.isdigit() or int(text) < 1:
                raise RefusedError(name, "a whole number is needed")
        for name in ("cf-aig-collect-log-payload", "cf-aig-collect-log", "cf-aig-skip-cache"):
            if call.headers.get(name, "true") not in ("true", "false"):
                raise RefusedError(name, "it must be true or false")

    def _wanted(self, call: Call) -> Wanted:
        wanted = checks.check_input(call.input)
        if self._sandbox.zero_data_retention and wanted.upload_url is None:
            raise RefusedError("output.upload_url", ZDR_SENTENCE)
        return wanted

    async def _paid(self, call: Call, request: web.Request, wanted: Wanted, plan: Planned | None) -> web.StreamResponse:
        order = await sources.order_for(wanted, self._sandbox.session, self._sandbox.folder)
        task = self._sandbox.spawn(self._run(call, wanted, order, plan))
        if call.options.get("background"):
            return self._logged(call, web.json_response(self._running(call), status=202))
        limit = call.headers.get("cf-aig-request-timeout")
        done, _ = await asyncio.wait({task}, timeout=int(limit) / 1000 if limit else None)
        if not done:
            return self._logged(call, self._error(ANSWERS[Fault.TIMEOUT]))
        if task.cancelled():
            return await self._cut(request)
        body = self._body(await task)
        if plan:
            return await self._fault(call, request, plan, body)
        return self._logged(call, web.json_response(body))

    async def _run(self, call: Call, wanted: Wanted, order: Order, plan: Planned | None) -> runs.Outcome:
        """The render with its log entry, and the webhook in background mode."""
        sandbox = self._sandbox
        try:
            outcome = await runs.run(sandbox, call, wanted, order, plan)
        except RefusedError as error:
            if call.options.get("background"):
                return await self._webhook(call, runs.Outcome(error=("5006", str(error))))
            raise
        failed = outcome.error is not None or (plan is not None and not _seen_as_success(plan))
        status = ANSWERS[plan.fault].status if plan and failed and plan.fault in ANSWERS else 200
        sandbox.write_log(call, success=not failed, status=status)
        return await self._webhook(call, outcome) if call.options.get("background") else outcome

    async def _webhook(self, call: Call, outcome: runs.Outcome) -> runs.Outcome:
        state = "Failed" if outcome.error else "Completed"
        result = {"video": outcome.video} if outcome.video else {}
        error = {"code": outcome.error[0], "message": outcome.error[1]} if outcome.error else None
        body = envelopes.webhook(call.log_id, state, None if error else result, error)
        try:
            async with self._sandbox.session.post(call.options["webhookUrl"], json=body) as response:
                log.info("The webhook was answered with HTTP %s", response.status)
        except (aiohttp.ClientError, TimeoutError) as trouble:
            log.warning("The webhook failed: %s", type(trouble).__name__)
        return outcome

    def _running(self, call: Call) -> dict[str, Any]:
        return envelopes.running(call.log_id, wrapped=self._sandbox.wrapped)

    def _body(self, outcome: runs.Outcome) -> dict[str, Any]:
        wrapped = self._sandbox.wrapped
        if outcome.error:
            return envelopes.failed(*outcome.error, wrapped=wrapped)
        return envelopes.completed(outcome.video, wrapped=wrapped)

    async def _fault(
        self, call: Call, request: web.Request, plan: Planned, body: dict[str, Any] | None = None
    ) -> web.StreamResponse:
        """The planned trouble. `body` is the answer it spoils, when the video was rendered."""
        if body is None and not call.rendered:
            status = ANSWERS[plan.fault].status if plan.fault in ANSWERS else 499
            self._sandbox.write_log(call, success=False, status=status)
        if plan.fault in _CUTS:
            return await self._cut(request)
        if plan.fault is Fault.TRUNCATED_BODY:
            return await self._truncated(call, request, envelopes.encoded(body or {}))
        response = envelopes.fault_response(plan, body or {}, wrapped=self._sandbox.wrapped)
        return self._logged(call, response)

    async def _cut(self, request: web.Request) -> web.Response:
        if request.transport:
            request.transport.abort()
        return web.Response(status=499)

    async def _truncated(self, call: Call, request: web.Request, content: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(content)), "cf-aig-log-id": call.log_id})
        response.content_type = "application/json"
        await response.prepare(request)
        await response.write(content[: len(content) // 2])
        if request.transport:
            request.transport.close()
        return response

    def _error(self, answer: Answer) -> web.Response:
        return envelopes.error_response(answer, wrapped=self._sandbox.wrapped)

    @staticmethod
    def _logged(call: Call, response: web.Response) -> web.Response:
        response.headers["cf-aig-log-id"] = call.log_id
        return response


def _seen_as_success(plan: Planned) -> bool:
    """Whether the gateway itself saw the call end well: what then goes wrong happens on the way to the client."""
    return plan.fault not in ANSWERS or ANSWERS[plan.fault].html


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RefusedError("body", "it is not JSON") from error
    if not isinstance(body, dict):
        raise RefusedError("body", "an object is needed")
    return body


def _check_body(body: dict[str, Any]) -> None:
    for name in body:
        if name not in ("model", "input", "options"):
            raise RefusedError(name, "additional property is not allowed")
    if body.get("model") != envelopes.MODEL:
        raise RefusedError("model", "No such model", code=5007)
    if "input" not in body:
        raise RefusedError("input", "it is required")
    if "options" in body:
        _check_options(body["options"])


def _check_options(options: Any) -> None:
    if not isinstance(options, dict) or set(options) - {"background", "webhookUrl"}:
        raise RefusedError("options", "only background and webhookUrl are known")
    if options.get("background") is not True or not isinstance(options.get("webhookUrl"), str):
        raise RefusedError("options", "background must be true, with a webhookUrl")
    checks.check_url("options.webhookUrl", options["webhookUrl"], data=False)

"""The paid call over real sockets: both shapes, each row of the error table, broken connections, one POST a run."""

import asyncio
import json
import logging
import socket
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from bot import cloudflare
from bot.cloudflare import (
    Acts,
    After,
    Answer,
    Charged,
    CloudflareClient,
    DownloadFailed,
    LookupFailed,
    ModelError,
    Never,
    Unknown,
)
from bot.config import CloudflareSettings
from bot.errors import OPERATOR_TOLD, StorageError

TOKEN = "hush-very-secret-token"
NOW = 1_800_000_000.0
INPUT = {"_operation": "generate", "prompt": "a cat", "user": "u1"}


@dataclass
class Received:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Script = Callable[[Received, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    """Reads each request whole and lets `script` write the answer, byte by byte if it likes."""

    script: Script
    requests: list[Received] = field(default_factory=list)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            method, target, _ = first.split(" ")
            headers = {name.lower(): text for name, text in (line.split(": ", 1) for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.requests.append(Received(method, target, headers, body))
            await self.script(self.requests[-1], writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def reply(status: int, body: object, content_type: str = "application/json", **headers: str) -> Script:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    extra = "".join(f"{name.replace('_', '-')}: {text}\r\n" for name, text in headers.items())
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {len(data)}\r\n{extra}\r\n"

    async def script(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(head.encode() + data)
        await writer.drain()

    return script


def raw(data: bytes, *, reset: bool = False) -> Script:
    """Bytes as they are, then the end of the connection."""

    async def script(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if reset:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            writer.transport.abort()

    return script


COMPLETED = {
    "state": "Completed",
    "result": {"video": "https://cdn.test/v.mp4?sig=1"},
    "gatewayMetadata": {"keySource": "Unified"},
}


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    fake = Server(reply(200, COMPLETED))
    listener = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    yield fake
    listener.close()
    await listener.wait_closed()


def settings(url: str, **changes: Any) -> CloudflareSettings:
    given = {"account_id": "acc1", "api_token": TOKEN, "api_url": f"{url}/client/v4"}
    return CloudflareSettings.model_validate(given).model_copy(update=changes)


async def run(url: str, **changes: Any) -> Answer:
    async with CloudflareClient(settings(url, **changes), clock=lambda: NOW) as client:
        return await client.run(INPUT, job_id="job-7", guild_id=42)


async def failure(server: Server, script: Script, **changes: Any) -> ModelError:
    """The error of one run, after checking that there was one POST and that no text of the error holds the token."""
    server.script = script
    with pytest.raises(ModelError) as caught:
        await run(server.url, **changes)
    assert [request.method for request in server.requests] == ["POST"]
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + caught.value.sentence
    assert TOKEN not in shown
    return caught.value


async def test_the_request_says_model_input_job_and_no_retry(server: Server) -> None:
    await run(server.url, gateway_id="clips", timeout_seconds=12.5)
    (request,) = server.requests
    assert (request.method, request.target) == ("POST", "/client/v4/accounts/acc1/ai/run")
    assert json.loads(request.body) == {"model": "xai/grok-imagine-video-1.5-preview", "input": INPUT}
    assert json.loads(request.headers.pop("cf-aig-metadata")) == {"job": "job-7", "guild": "42", "attempt": 1}
    expected = {
        "authorization": f"Bearer {TOKEN}",
        "content-type": "application/json",
        "cf-aig-max-attempts": "1",
        "cf-aig-request-timeout": "12500",
        "cf-aig-collect-log-payload": "false",
        "cf-aig-skip-cache": "true",
        "cf-aig-gateway-id": "clips",
    }
    assert {name: request.headers.get(name) for name in expected} == expected


async def test_without_a_gateway_of_its_own_the_header_is_left_out(server: Server) -> None:
    await run(server.url)
    assert "cf-aig-gateway-id" not in server.requests[0].headers


@pytest.mark.parametrize("body", [COMPLETED, {"result": COMPLETED, "success": True, "errors": [], "messages": []}])
async def test_both_shapes_of_an_answer(server: Server, body: object) -> None:
    server.script = reply(200, body, cf_aig_log_id="log-1")
    assert await run(server.url) == Answer("https://cdn.test/v.mp4?sig=1", "log-1", "Unified")
    assert len(server.requests) == 1


async def test_an_uploaded_video_needs_no_link_in_the_answer(server: Server) -> None:
    server.script = reply(200, {"state": "Completed", "result": {}})
    assert await run(server.url) == Answer(None, None, None)


NO, MAYBE = Charged.NO, Charged.MAYBE
MEMBER, OPERATOR, NOBODY = Acts.MEMBER, Acts.OPERATOR, Acts.NOBODY
TABLE: list[tuple[int, int | None, str, Charged, Acts, object]] = [
    (400, None, "InputRefused", NO, MEMBER, Never()),
    (401, None, "CredentialsRefused", NO, OPERATOR, Never()),
    (401, 2009, "CredentialsRefused", NO, OPERATOR, Never()),
    (400, 2009, "CredentialsRefused", NO, OPERATOR, Never()),
    (402, None, "OutOfCredits", NO, OPERATOR, Never()),
    (402, 2021, "OutOfCredits", NO, OPERATOR, Never()),
    (403, None, "CredentialsRefused", NO, OPERATOR, Never()),
    (403, 3023, "CredentialsRefused", NO, OPERATOR, Never()),
    (403, 3041, "CredentialsRefused", NO, OPERATOR, Never()),
    (403, 5018, "CredentialsRefused", NO, OPERATOR, Never()),
    (404, None, "NoSuchModel", NO, OPERATOR, Never()),
    (404, 3042, "NoSuchModel", NO, OPERATOR, Never()),
    (400, 5007, "NoSuchModel", NO, OPERATOR, Never()),
    (408, None, "OutcomeUnknown", MAYBE, NOBODY, Unknown()),
    (408, 3007, "OutcomeUnknown", MAYBE, NOBODY, Unknown()),
    (408, 3008, "OutcomeUnknown", MAYBE, NOBODY, Unknown()),
    (400, 3008, "OutcomeUnknown", MAYBE, NOBODY, Unknown()),
    (413, None, "TooLarge", NO, MEMBER, Never()),
    (413, 3006, "TooLarge", NO, MEMBER, Never()),
    (422, None, "Moderated", MAYBE, MEMBER, Never()),
    (422, 2017, "Moderated", MAYBE, MEMBER, Never()),
    (424, 2016, "Moderated", MAYBE, MEMBER, Never()),
    (424, 2017, "Moderated", MAYBE, MEMBER, Never()),
    (429, None, "TryLater", NO, NOBODY, After(None)),
    (429, 3040, "TryLater", NO, NOBODY, After(None)),
    (429, 3036, "TryLater", NO, NOBODY, After(None)),
    (503, None, "TryLater", NO, NOBODY, After(None)),
    (503, 7013, "TryLater", NO, NOBODY, After(None)),
    *[
        (status, None, "OutcomeUnknown", MAYBE, NOBODY, Unknown())
        for status in (500, 502, 504, 520, 521, 522, 523, 524, 525, 526, 527, 530, 599, 418, 202, 302)
    ],
]


def shapes(code: int | None, message: str) -> list[object]:
    complaint = {"code": code if code is not None else 10000, "message": message}
    return [
        {"success": False, "errors": [{"code": 1, "message": "?"}, complaint], "result": None},
        {"state": "Failed", "error": complaint},
        {"result": {"state": "Failed", "error": complaint}, "success": False, "errors": []},
        {"name": "AiGatewayError", "internalCode": complaint["code"], "message": message},
    ]


@pytest.mark.parametrize("shape", range(4))
@pytest.mark.parametrize(("status", "code", "kind", "charged", "acts", "retry"), TABLE)
async def test_each_row_of_the_error_table(
    server: Server, shape: int, status: int, code: int | None, kind: str, charged: Charged, acts: Acts, retry: object
) -> None:
    error = await failure(server, reply(status, shapes(code, f"because {TOKEN}")[shape]))
    assert (type(error).__name__, error.charged, error.acts, error.retry) == (kind, charged, acts, retry)
    assert error.status == status
    assert code is None or error.code == code
    assert (error.sentence == OPERATOR_TOLD) == (acts is OPERATOR)
    assert "charged" in error.sentence


def test_the_test_knows_every_row_of_the_table() -> None:
    statuses = {status for row in cloudflare.ERROR_TABLE for status in row.statuses}
    codes = {code for row in cloudflare.ERROR_TABLE for code in row.codes}
    assert codes == {row[1] for row in TABLE} - {None}
    assert statuses - set(range(520, 531)) <= {row[0] for row in TABLE}


async def test_a_refused_input_tells_the_member_why_without_links_or_odd_characters(server: Server) -> None:
    message = "reference_images: at most 7\n(see https://bucket.test/x?sig=abc).\x1b"
    error = await failure(server, reply(400, {"errors": [{"code": 1, "message": message}]}))
    assert error.sentence == (
        "The model refused this request: reference_images: at most 7 (see (link). "
        "Nothing was charged. Change it and ask again."
    )


@pytest.mark.parametrize("status", [400, 200])
async def test_the_missing_upload_url_is_the_operators_to_mend(server: Server, status: int) -> None:
    message = "Zero Data Retention teams must provide output.upload_url for video generation."
    error = await failure(server, reply(status, {"state": "Failed", "error": {"code": "400", "message": message}}))
    assert type(error) is cloudflare.UploadUrlRequired
    assert (error.charged, error.acts, error.retry) == (NO, OPERATOR, Never())


async def test_a_failed_render_is_perhaps_charged(server: Server) -> None:
    error = await failure(server, reply(200, {"state": "Failed", "error": {"code": "internal", "message": "no luck"}}))
    assert (type(error), error.charged, error.retry) == (cloudflare.RenderFailed, MAYBE, Never())
    assert "no luck" in str(error)


async def test_a_failed_render_with_a_known_code_is_that_error(server: Server) -> None:
    error = await failure(server, reply(200, {"state": "Failed", "error": {"code": "2017", "message": "x"}}))
    assert type(error) is cloudflare.Moderated


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"state": "Running"}',
        b'{"state": "Paused"}',
        b'{"result": 5}',
        b'{"success": false, "errors": "x"}',
        b'{"success": false, "errors": [null, {"code": true}]}',
        b"\xff\xfe",
        b" " * (1024 * 1024 + 1),
    ],
    ids=lambda body: repr(body[:24]),
)
async def test_a_200_that_is_no_answer_leaves_the_outcome_open(server: Server, body: bytes) -> None:
    error = await failure(server, reply(200, body))
    assert (type(error), error.charged, error.retry) == (cloudflare.OutcomeUnknown, MAYBE, Unknown())


async def test_an_edges_html_page(server: Server) -> None:
    error = await failure(server, reply(502, b"<html>Bad gateway</html>", "text/html"))
    assert type(error) is cloudflare.OutcomeUnknown
    error = await failure_again(server, reply(503, b"<html>Busy</html>", "text/html", Retry_After="9"))
    assert error.retry == After(9)


async def failure_again(server: Server, script: Script) -> ModelError:
    server.requests.clear()
    return await failure(server, script)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        (formatdate(NOW + 90, usegmt=True), 90.0),
        (formatdate(NOW - 90, usegmt=True), 0.0),
        ("99999999999", 86400.0),
        ("9" * 400, 86400.0),
        ("soon", None),
        ("-5", None),
        ("²", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_in_both_forms(server: Server, status: int, header: str, seconds: float | None) -> None:
    error = await failure(server, reply(status, {}, Retry_After=header))
    assert error.retry == After(seconds)


async def test_a_long_error_page_keeps_what_its_status_proves(server: Server) -> None:
    error = await failure(server, reply(429, b"x" * (2 * 1024 * 1024)))
    assert type(error) is cloudflare.TryLater


async def test_a_refused_connection_was_never_sent() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(cloudflare.NotSent) as caught:
        await run(f"http://127.0.0.1:{port}")
    assert (caught.value.charged, caught.value.retry, caught.value.acts) == (NO, After(None), NOBODY)


async def test_a_failed_tls_handshake_was_never_sent() -> None:
    async def no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(no_tls, "127.0.0.1", 0) as listener:
        with pytest.raises(cloudflare.NotSent):
            await run(f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}")


async def test_a_connect_timeout_was_never_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloudflare, "CONNECT_SECONDS", 0.1)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        try:
            for one in waiting:  # a full backlog lets no further connection through
                one.setblocking(False)
                one.connect_ex(full.getsockname())
            with pytest.raises(cloudflare.NotSent):
                await run(f"http://127.0.0.1:{full.getsockname()[1]}")
        finally:
            for one in waiting:
                one.close()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200", HEAD, HEAD + b'{"state": "Comp', b"garbage\r\n\r\n"])
async def test_a_cut_connection_leaves_the_outcome_open(server: Server, sent: bytes, reset: bool) -> None:
    error = await failure(server, raw(sent, reset=reset))
    assert (type(error), error.charged, error.retry) == (cloudflare.OutcomeUnknown, MAYBE, Unknown())


async def test_a_cut_body_of_a_429_is_still_a_429(server: Server) -> None:
    head = b"HTTP/1.1 429 Slow\r\nContent-Length: 500\r\nRetry-After: 3\r\n\r\n{"
    error = await failure(server, raw(head))
    assert (type(error), error.retry) == (cloudflare.TryLater, After(3))


async def test_a_render_past_the_timeout_leaves_the_outcome_open(server: Server) -> None:
    release = asyncio.Event()

    async def silence(_: Received, __: asyncio.StreamWriter) -> None:
        await release.wait()

    error = await failure(server, silence, timeout_seconds=0.2)
    release.set()
    assert type(error) is cloudflare.OutcomeUnknown
    assert "ReadTimeout" in str(error)


async def test_an_answer_that_drips_for_ever_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloudflare, "CONNECT_SECONDS", 0.1)
    monkeypatch.setattr(cloudflare, "MARGIN_SECONDS", 0.1)
    stop = asyncio.Event()

    async def drip(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        while not stop.is_set():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    error = await failure(server, drip, timeout_seconds=0.2)
    stop.set()
    assert type(error) is cloudflare.OutcomeUnknown


async def test_a_redirect_is_not_followed(server: Server) -> None:
    error = await failure(server, reply(307, {}, Location=f"{server.url}/elsewhere"))
    assert type(error) is cloudflare.OutcomeUnknown


async def test_a_connection_serves_one_paid_call(server: Server) -> None:
    async with CloudflareClient(settings(server.url)) as client:
        await client.run(INPUT, job_id="a", guild_id=1)
        await client.run(INPUT, job_id="b", guild_id=1)
    assert [request.headers["connection"] for request in server.requests] == ["close", "close"]


async def test_the_token_is_in_no_log(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await failure(server, reply(500, {"errors": [{"code": 1, "message": f"bad token {TOKEN}"}]}))
    assert caplog.records
    assert TOKEN not in caplog.text


def entry(job: str, at: float, success: bool, *, attempt: int = 1, **more: object) -> dict[str, object]:
    created = datetime.fromtimestamp(at, UTC).isoformat()
    metadata = json.dumps({"job": job, "guild": "42", "attempt": attempt})
    return {"id": f"{job}-{at:.0f}", "created_at": created, "success": success, "metadata": metadata} | more


class Log:
    """The gateway's log: pages newest first; may ignore the filter, or refuse it."""

    def __init__(self, rows: list[dict[str, object]], *, refuse_filter: bool = False) -> None:
        self.rows = rows
        self.refuse_filter = refuse_filter

    async def __call__(self, request: Received, writer: asyncio.StreamWriter) -> None:
        query = parse_qs(urlsplit(request.target).query)
        if self.refuse_filter and "filters" in query:
            await reply(400, {"success": False})(request, writer)
            return
        start = (int(query["page"][0]) - 1) * int(query["per_page"][0])
        rows = self.rows[start : start + int(query["per_page"][0])]
        await reply(200, {"success": True, "result": rows})(request, writer)


async def find(server: Server, script: Script, *, attempt: int = 1, **changes: Any) -> cloudflare.LogEntry | None:
    server.script = script
    async with CloudflareClient(settings(server.url, **changes)) as client:
        return await client.find_log("job-7", since=NOW, attempt=attempt)


async def test_a_call_is_found_in_the_gateways_log_by_its_job(server: Server) -> None:
    rows = [entry("job-9", NOW + 2, True), entry("job-7", NOW + 1, True, cost=0.64, status_code=200)]
    assert await find(server, Log(rows)) == cloudflare.LogEntry(
        f"job-7-{NOW + 1:.0f}", True, 200, Decimal("0.64"), NOW + 1
    )
    (request,) = server.requests
    target = urlsplit(request.target)
    assert target.path == "/client/v4/accounts/acc1/ai-gateway/gateways/default/logs"
    query = parse_qs(target.query)
    assert json.loads(query["filters"][0]) == [{"key": "metadata.value", "operator": "eq", "value": ["job-7"]}]
    assert (query["order_by"], query["order_by_direction"]) == (["created_at"], ["desc"])
    assert request.headers["authorization"] == f"Bearer {TOKEN}"


async def test_the_log_of_a_gateway_with_a_name(server: Server) -> None:
    assert await find(server, Log([]), gateway_id="clips") is None
    assert "/gateways/clips/logs" in server.requests[0].target


async def test_an_earlier_attempts_failure_is_not_this_calls_whatever_the_clocks_say(server: Server) -> None:
    earlier = entry("job-7", NOW + 5, False, attempt=1, status_code=429)
    assert await find(server, Log([earlier]), attempt=2) is None
    later = entry("job-7", NOW - 5, False, attempt=2, status_code=500)
    found = await find(server, Log([earlier, later]), attempt=2)
    assert found is not None
    assert (found.success, found.status_code, found.cost) == (False, 500, None)
    won = await find(server, Log([earlier, later, entry("job-7", NOW - 9, True)]), attempt=2)
    assert won is not None
    assert won.success


async def test_a_refused_filter_is_left_out_and_older_pages_are_read(server: Server) -> None:
    rows = [entry("x", NOW + 500 - i, True) for i in range(120)] + [entry("job-7", NOW, True)]
    found = await find(server, Log(rows, refuse_filter=True))
    assert found is not None
    assert len(server.requests) == 4


async def test_pages_from_before_the_call_are_not_read(server: Server) -> None:
    assert await find(server, Log([entry("x", NOW - 400 - i, True) for i in range(200)])) is None
    assert len(server.requests) == 1


async def test_a_log_too_long_to_read_says_so(server: Server) -> None:
    with pytest.raises(LookupFailed, match="newest 500"):
        await find(server, Log([entry("x", NOW + 9, True) for _ in range(600)]))
    assert len(server.requests) == 10


@pytest.mark.parametrize("metadata", [None, "{", "[]", 5, {"job": 7}, "job-7"])
async def test_odd_metadata_is_somebody_elses(server: Server, metadata: object) -> None:
    row = entry("job-7", NOW, True) | {"metadata": metadata}
    assert await find(server, Log([row])) is None
    assert await find(server, Log([row | {"metadata": {"job": "job-7"}, "created_at": "long ago"}])) is None


@pytest.mark.parametrize("script", [reply(403, {}), reply(200, b"<html>"), reply(200, {"result": 1}), raw(b"")])
async def test_a_failing_look_up_is_no_proof_of_absence(server: Server, script: Script) -> None:
    with pytest.raises(LookupFailed) as caught:
        await find(server, script)
    assert TOKEN not in "".join(traceback.format_exception(caught.value))


VIDEO = bytes(range(256)) * 4000
SIGNATURE = "hush"


async def download(server: Server, to: Path, url: str = "", **changes: Any) -> int:
    async with CloudflareClient(settings(changes.pop("api", server.url))) as client:
        return await client.download(
            url or f"{server.url}/v.mp4?sig={SIGNATURE}", to, **({"max_bytes": 10**7} | changes)
        )


async def test_a_video_is_downloaded_without_the_token(server: Server, tmp_path: Path) -> None:
    server.script = reply(200, VIDEO, "video/mp4")
    to = tmp_path / "v.mp4"
    assert await download(server, to) == len(VIDEO)
    assert to.read_bytes() == VIDEO
    assert [path.name for path in tmp_path.iterdir()] == ["v.mp4"]
    assert "authorization" not in server.requests[0].headers


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (reply(403, b"gone"), "status 403"),
        (reply(302, b"", Location="/other"), "status 302"),
        (reply(200, VIDEO + b"x"), "more than"),
        (reply(200, b""), "empty"),
        (raw(HEAD + b"half"), "RemoteProtocolError"),
        (raw(b""), "RemoteProtocolError"),
    ],
)
async def test_a_download_that_fails_leaves_nothing(
    server: Server, tmp_path: Path, script: Script, reason: str
) -> None:
    server.script = script
    with pytest.raises(DownloadFailed, match=reason) as caught:
        await download(server, tmp_path / "v.mp4", max_bytes=len(VIDEO))
    assert list(tmp_path.iterdir()) == []
    assert len(server.requests) == 1
    assert f"sig={SIGNATURE}" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("url", "api"),
    [
        ("http://cdn.example.org/v.mp4", "http://127.0.0.1:1"),
        ("http://127.0.0.1:1/v.mp4", "https://api.example.org"),
        ("ftp://127.0.0.1/v.mp4", "http://127.0.0.1:1"),
        ("file:///etc/passwd", "http://127.0.0.1:1"),
        ("/v.mp4", "http://127.0.0.1:1"),
        ("https://[", "http://127.0.0.1:1"),
        ("", "http://127.0.0.1:1"),
    ],
)
async def test_only_https_is_fetched_unless_all_is_on_loopback(tmp_path: Path, url: str, api: str) -> None:
    async with CloudflareClient(settings(api)) as client:
        with pytest.raises(DownloadFailed, match=r"https links|not a URL"):
            await client.download(url, tmp_path / "v.mp4", max_bytes=10)
    assert list(tmp_path.iterdir()) == []


async def test_a_cancelled_download_leaves_nothing(server: Server, tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def half(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"x" * 400)
        await writer.drain()
        begun.set()
        await asyncio.Event().wait()

    server.script = half
    task = asyncio.create_task(download(server, tmp_path / "v.mp4"))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list(tmp_path.iterdir()) == []


async def test_a_disk_that_takes_nothing_is_a_storage_error(server: Server, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file or directory"):
        await download(server, tmp_path / "none" / "v.mp4")


async def test_a_render_whose_upload_failed_is_perhaps_charged(server: Server) -> None:
    message = "The video could not be written to output.upload_url"
    error = await failure(
        server, reply(200, {"state": "Failed", "error": {"code": "upload_failed", "message": message}})
    )
    assert (type(error), error.charged) == (cloudflare.RenderFailed, MAYBE)


async def test_a_number_that_no_decimal_holds_is_no_answer(server: Server) -> None:
    error = await failure(server, reply(200, b'{"state": "Completed", "cost": 1e99999999999999999999}'))
    assert type(error) is cloudflare.OutcomeUnknown

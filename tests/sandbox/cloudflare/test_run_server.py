"""Answers, uploads, links, money, logs, background mode and the handles for tests."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from sandbox.cloudflare import CloudflareSandbox
from sandbox.cloudflare.calls import Call
from tests.sandbox.cloudflare.caller import Bucket, Client, plain_http

JOB = {"cf-aig-metadata": '{"job": "job-1", "guild": 7}'}


async def test_the_wrapped_answer_follows_the_upload(client: Client) -> None:
    answer = await client.run(JOB)
    assert answer.json() == {
        "result": {"state": "Completed", "result": {}, "gatewayMetadata": {"keySource": "Unified"}},
        "success": True,
        "errors": [],
        "messages": [],
    }
    call = client.sandbox.calls[0]
    assert answer.headers["cf-aig-log-id"] == call.log_id
    assert (call.uploaded, call.status, call.job, client.bucket.puts) == (True, 200, "job-1", 1)
    assert call.headers["cf-aig-metadata"] == JOB["cf-aig-metadata"]
    assert call.input["prompt"] == "a fox"
    assert [charge.usd for charge in client.sandbox.charges_for("job-1")] == [0.08]
    assert client.sandbox.charges_for(7) == client.sandbox.charges_for("job-1")
    assert client.sandbox.charges_for("job-2") == []


async def test_the_upload_url_is_used_as_it_is_signed(client: Client) -> None:
    path = "/clip%2Fa.mp4?X-Amz-Signature=a%2Bb%3D%7E&x=%20"
    await client.run(output={"upload_url": f"{client.bucket.url}{path}"})
    assert list(client.bucket.headers) == [path]


@pytest.mark.parametrize("status", [403, 500, 307])
async def test_an_upload_is_tried_once(client: Client, status: int) -> None:
    client.bucket.status = status
    answer = await client.run()
    assert (answer.status_code, answer.json()["result"]["state"]) == (200, "Failed")
    assert client.bucket.puts == 1
    assert [(c.reason, c.certain, c.usd) for c in client.sandbox.ledger] == [("upload failed", False, 0.08)]
    assert client.sandbox.calls[0].uploaded is False


async def test_without_zero_data_retention_the_link_expires(bucket: Bucket) -> None:
    now = 1_000_000.0
    sandbox = CloudflareSandbox(zero_data_retention=False, wrapped=False, quick=True, clock=lambda: now)
    async with sandbox, plain_http() as http:
        answer = await Client(sandbox, bucket, http).run(output=None)
        assert answer.json()["state"] == "Completed"
        url = answer.json()["result"]["video"]
        video = await http.get(url)
        assert (video.status_code, video.headers["Content-Type"], video.content[4:8]) == (200, "video/mp4", b"ftyp")
        assert (await http.get(url[:-1] + ("0" if url[-1] != "0" else "1"))).status_code == 403
        now += 3601
        assert (await http.get(url)).status_code == 403


async def test_the_client_is_killed_while_it_renders(client: Client) -> None:
    client.sandbox.hold()
    reader, writer = await asyncio.open_connection("127.0.0.1", client.sandbox.port)
    content = json.dumps(client.body()).encode()
    head = (
        f"POST {httpx.URL(client.url).path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {client.sandbox.api_token}\r\nContent-Length: {len(content)}\r\n"
        'cf-aig-metadata: {"job": "killed"}\r\n\r\n'
    )
    writer.write(head.encode() + content)
    call = await client.sandbox.wait_for_call(1)
    writer.transport.abort()
    assert not reader.at_eof() or call.status is None
    assert client.sandbox.ledger == []
    client.sandbox.release()
    await client.sandbox.wait_for(lambda: call.finished)
    assert call.uploaded
    assert call.client_gone
    assert "/clip.mp4" in client.bucket.files
    assert len(client.sandbox.charges_for("killed")) == 1
    entries = (await client.logs(filters='[{"key": "metadata.value", "operator": "eq", "value": ["killed"]}]'))[
        "result"
    ]
    assert [(entry["success"], entry["cost"]) for entry in entries] == [(True, 0.08)]


async def test_renders_are_held_at_each_stage(client: Client) -> None:
    for stage in ("render", "upload", "answer"):
        client.sandbox.hold(stage)
    task = asyncio.create_task(client.run())
    call = await client.sandbox.wait_for_call(1)
    await client.sandbox.wait_for(lambda: call.rendering)
    assert client.sandbox.ledger == []
    client.sandbox.release("render")
    await client.sandbox.wait_for(lambda: client.sandbox.ledger)
    with pytest.raises(TimeoutError):
        await client.sandbox.wait_for(lambda: client.bucket.puts, 0.1)
    client.sandbox.release("upload")
    await client.sandbox.wait_for(lambda: call.uploaded)
    with pytest.raises(TimeoutError):
        await client.sandbox.wait_for(lambda: call.finished, 0.1)
    client.sandbox.release()
    assert (await task).status_code == 200


async def test_render_seconds_may_depend_on_the_call(client: Client) -> None:
    seen: list[Call] = []

    def seconds(call: Call) -> float:
        seen.append(call)
        return 0.05

    client.sandbox.render_seconds = seconds
    await client.run()
    assert seen == client.sandbox.calls


async def test_latency_comes_before_every_answer(client: Client) -> None:
    client.sandbox.latency = 0.05
    loop = asyncio.get_running_loop()
    start = loop.time()
    await client.logs()
    assert loop.time() - start >= 0.05


async def test_an_upload_that_takes_too_long_has_failed(client: Client) -> None:
    client.sandbox.slow_upload_seconds, client.sandbox.upload_timeout = 30, 0.05
    client.sandbox.fail_next("slow_upload")
    assert (await client.run()).json()["result"]["state"] == "Failed"
    assert client.sandbox.ledger[0].reason == "upload failed"


async def test_waiting_gives_up(client: Client) -> None:
    with pytest.raises(TimeoutError):
        await client.sandbox.wait_for_call(1, 0.01)


async def test_background_mode_calls_the_webhook_once(client: Client) -> None:
    hook = {"background": True, "webhookUrl": f"{client.bucket.url}/hook"}
    answer = await client.post(client.body() | {"options": hook})
    assert answer.status_code == 202
    assert answer.json()["result"]["state"] == "Running"
    await client.sandbox.wait_for(lambda: client.sandbox.logs.get("default"))
    async with asyncio.timeout(5):
        while not client.bucket.hooks:
            await asyncio.sleep(0.01)
    body = client.bucket.hooks[0]
    assert body["id"] == answer.json()["result"]["runId"]
    assert set(body) == {"id", "state", "result", "error", "provider", "model", "usage"}
    assert (body["state"], client.bucket.puts, client.sandbox.charged_usd) == ("Completed", 1, 0.08)


async def three_logs(client: Client) -> None:
    await client.run({"cf-aig-metadata": '{"job": "one", "kind": "x"}'})
    client.sandbox.fail_next("no_credits")
    await client.run({"cf-aig-metadata": '{"job": "two", "kind": "x"}'})
    await client.run({"cf-aig-metadata": '{"job": "three"}'}, duration=2)


def jobs(page: dict[str, Any]) -> list[str]:
    return [json.loads(entry["metadata"])["job"] for entry in page["result"]]


async def test_logs_are_paged_newest_first_and_searched(client: Client) -> None:
    await three_logs(client)
    page = await client.logs()
    assert jobs(page) == ["three", "two", "one"]
    assert page["result_info"] == {"page": 1, "per_page": 20, "count": 3, "total_count": 3}
    assert jobs(await client.logs(per_page="2", page="2")) == ["one"]
    assert jobs(await client.logs(order_by="cost", direction="asc")) == ["two", "one", "three"]
    assert jobs(await client.logs(search="two")) == ["two"]
    assert [entry["success"] for entry in page["result"]] == [True, False, True]
    assert [entry["status_code"] for entry in page["result"]] == [200, 402, 200]
    assert page["result"][2]["id"] == client.sandbox.calls[0].log_id


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ([("metadata.value", "eq", ["one"])], ["one"]),
        ([("metadata.value", "eq", ["on"])], []),
        ([("metadata.value", "contains", ["t"])], ["three", "two"]),
        ([("metadata.key", "eq", ["kind"])], ["two", "one"]),
        # Cloudflare does not pair the two: any key and any value of the entry will do.
        ([("metadata.key", "eq", ["kind"]), ("metadata.value", "eq", ["two"])], ["two"]),
        ([("success", "eq", [True])], ["three", "one"]),
        ([("cost", "gt", [0.1])], ["three"]),
        ([("created_at", "lt", ["2020-01-01T00:00:00Z"])], []),
        ([("created_at", "gt", ["2020-01-01T00:00:00Z"])], ["three", "two", "one"]),
        ([("provider", "neq", ["xai"])], []),
    ],
)
async def test_logs_are_filtered(client: Client, filters: list[tuple[str, str, list[Any]]], found: list[str]) -> None:
    await three_logs(client)
    items = [{"key": key, "operator": operator, "value": value} for key, operator, value in filters]
    assert jobs(await client.logs(filters=json.dumps(items))) == found


async def test_bracket_filters_are_a_setting(client: Client) -> None:
    await three_logs(client)
    query = {
        "filters[0][key]": "metadata.value",
        "filters[0][operator]": "eq",
        "filters[0][value][]": "one",
    }
    assert jobs(await client.logs(**query)) == ["one"]
    client.sandbox.bracket_filters = False
    assert len(jobs(await client.logs(**query))) == 3


@pytest.mark.parametrize(
    "query",
    [
        {"per_page": "51"},
        {"page": "0"},
        {"order_by": "colour"},
        {"direction": "up"},
        {"filters": "no"},
        {"filters": "{}"},
        {"filters": '[{"key": "metadata.value", "operator": "eq", "value": "one"}]'},
        {"filters": '[{"key": "metadata.job", "operator": "eq", "value": ["one"]}]'},
        {"filters": '[{"key": "model", "operator": "like", "value": ["one"]}]'},
    ],
)
async def test_a_bad_log_query_is_refused(client: Client, query: dict[str, str]) -> None:
    page = await client.logs(**query)
    assert (page["status"], page["errors"][0]["code"]) == (400, 7001)


async def test_logs_lag_and_need_the_token(client: Client) -> None:
    client.sandbox.log_lag_seconds = 60
    await client.run()
    assert (await client.logs())["result"] == []
    client.headers = {"Authorization": "Bearer wrong"}
    assert (await client.logs())["status"] == 401


async def test_the_control_endpoints(client: Client) -> None:
    base, http = f"{client.sandbox.base_url}/sandbox", client.http
    assert (await http.post(f"{base}/fault", json={"kind": "quota", "times": 1})).status_code == 200
    assert (await client.run()).status_code == 429
    for bad in ({"kind": "no"}, {"kind": "quota", "after_render": True}, []):
        assert (await http.post(f"{base}/fault", json=bad)).status_code == 400
    assert (await http.post(f"{base}/render_seconds", json={"seconds": 0.01})).json() == {"render_seconds": 0.01}
    assert (await http.post(f"{base}/render_seconds", json={"seconds": -1})).status_code == 400
    await http.post(f"{base}/hold")
    task = asyncio.create_task(client.run(JOB))
    await client.sandbox.wait_for_call(2)
    await http.post(f"{base}/release")
    await task
    state = (await http.get(f"{base}/state")).json()
    assert state["charged_usd"] == 0.08
    assert [(call["status"], call["job"]) for call in state["calls"]] == [(429, None), (200, "job-1")]
    assert state["charges"] == [{"job": "job-1", "usd": 0.08, "reason": "completed", "certain": True}]


async def test_stopping_ends_a_held_render(bucket: Bucket) -> None:
    sandbox = await CloudflareSandbox(quick=True).start()
    sandbox.hold()
    async with plain_http() as http:
        task = asyncio.create_task(Client(sandbox, bucket, http).run())
        await sandbox.wait_for(lambda: sandbox.calls and sandbox.calls[0].rendering)
        await sandbox.stop()
        with pytest.raises(httpx.HTTPError):
            await task
    assert not sandbox.folder.exists()

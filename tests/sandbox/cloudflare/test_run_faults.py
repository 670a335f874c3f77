"""Every row of the reference's error table, and broken transport, as the caller sees them."""

import asyncio

import httpx
import pytest

from sandbox.cloudflare import CloudflareSandbox, Fault
from sandbox.cloudflare.faults import AFTER_RENDER, ANSWERS, MAY_BE_CHARGED
from tests.sandbox.cloudflare.caller import Bucket, Client, plain_http

PLAIN = [fault for fault in ANSWERS if fault not in (Fault.FAILED_STATE, Fault.AI_GATEWAY_ERROR)]


@pytest.mark.parametrize("fault", PLAIN)
async def test_a_row_answers_with_its_status_and_code(client: Client, fault: Fault) -> None:
    client.sandbox.fail_next(fault)
    answer = await client.run()
    wanted = ANSWERS[fault]
    assert answer.status_code == wanted.status
    if wanted.html:
        assert answer.headers["Content-Type"].startswith("text/html")
    else:
        assert answer.json()["success"] is False
        assert answer.json()["errors"][0]["code"] == wanted.code
    assert ("Retry-After" in answer.headers) == (fault is Fault.RATE_LIMITED_RETRY_AFTER)
    assert client.sandbox.ledger == []
    assert client.bucket.puts == 0
    assert client.sandbox.calls[0].fault == fault
    assert (await client.run()).status_code == 200, "a fault strikes once"


def test_every_row_of_the_reference_has_its_code() -> None:
    pairs = {(answer.status, answer.code) for answer in ANSWERS.values()}
    table = {
        *((401, 2009), (402, 2021), (403, 3023), (403, 3041), (403, 5018), (404, 3042), (400, 5007), (408, 3007)),
        *((408, 3008), (413, 3006), (422, 2017), (424, 2016), (424, 2017), (429, 3040), (429, 3036), (503, 7013)),
    }
    assert table <= pairs
    assert {500, 502, 504, 524} <= {answer.status for answer in ANSWERS.values()}


@pytest.mark.parametrize("fault", sorted(MAY_BE_CHARGED - AFTER_RENDER))
async def test_a_maybe_row_after_the_render_is_charged(client: Client, fault: Fault) -> None:
    client.sandbox.fail_next(fault, after_render=True)
    answer = await client.run()
    assert answer.status_code == (200 if fault is Fault.FAILED_STATE else ANSWERS[fault].status)
    assert [(c.reason, c.certain) for c in client.sandbox.ledger] == [(fault.value, False)]
    refused = fault in {Fault.MODERATED, Fault.MODERATED_424, Fault.MODERATED_424_2017, Fault.FAILED_STATE}
    assert client.bucket.puts == (0 if refused else 1)


async def test_a_row_that_is_never_charged_cannot_come_after_the_render(client: Client) -> None:
    with pytest.raises(ValueError, match="never charged"):
        client.sandbox.fail_next(Fault.RATE_LIMITED, after_render=True)


async def test_retry_after_and_times(client: Client) -> None:
    client.sandbox.fail_next("rate_limited", 2, retry_after=2.5)
    answers = [await client.run() for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["Retry-After"] == "2.5"


async def test_the_connection_is_cut_before_the_render(client: Client) -> None:
    client.sandbox.fail_next(Fault.CONNECTION_LOST)
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        await client.run()
    assert client.sandbox.ledger == []
    assert client.bucket.puts == 0
    assert client.sandbox.calls[0].status == 0


async def test_the_connection_is_cut_after_the_render(client: Client) -> None:
    client.sandbox.fail_next(Fault.CONNECTION_LOST_AFTER_RENDER)
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        await client.run()
    assert client.sandbox.charged_usd == 0.08
    assert "/clip.mp4" in client.bucket.files


@pytest.mark.parametrize("fault", [Fault.GARBAGE_JSON, Fault.EMPTY_BODY])
async def test_a_body_that_is_no_json(client: Client, fault: Fault) -> None:
    client.sandbox.fail_next(fault)
    answer = await client.run()
    assert answer.status_code == 200
    with pytest.raises(ValueError):
        answer.json()
    assert (client.sandbox.charged_usd, client.bucket.puts) == (0.08, 1)


async def test_a_body_that_breaks_off(client: Client) -> None:
    client.sandbox.fail_next(Fault.TRUNCATED_BODY)
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        await client.run()
    assert (client.sandbox.charged_usd, client.bucket.puts) == (0.08, 1)


async def test_failed_state_and_the_gateways_own_error(client: Client) -> None:
    client.sandbox.fail_next(Fault.FAILED_STATE)
    answer = await client.run()
    assert (answer.status_code, answer.json()["result"]["state"]) == (200, "Failed")
    client.sandbox.fail_next(Fault.AI_GATEWAY_ERROR)
    answer = await client.run()
    assert answer.json()["name"] == "AiGatewayError"
    assert answer.json()["internalCode"] == 2021
    assert client.sandbox.ledger == []


async def test_an_upload_that_never_happens(client: Client) -> None:
    client.sandbox.fail_next(Fault.UPLOAD_MISSING)
    answer = await client.run()
    assert answer.json()["result"]["state"] == "Completed"
    assert (client.sandbox.charged_usd, client.bucket.puts) == (0.08, 0)


async def test_a_slow_upload_arrives_whole(client: Client) -> None:
    client.sandbox.slow_upload_seconds = 0.1
    client.sandbox.fail_next(Fault.SLOW_UPLOAD)
    assert (await client.run()).status_code == 200
    assert client.sandbox.ledger[0].reason == "completed"
    size = int(client.bucket.headers["/clip.mp4"]["Content-Length"])
    assert len(client.bucket.files["/clip.mp4"]) == size > 1000


async def test_a_prompt_can_ask_for_a_fault(client: Client) -> None:
    assert (await client.run(prompt="a fox sandbox:fault=no_credits")).status_code == 402
    assert (await client.run(prompt="a fox sandbox:fault=no_credits")).status_code == 402
    twice = [(await client.run(prompt="sandbox:fault=quota*2 please")).status_code for _ in range(3)]
    assert twice == [429, 429, 200]


async def test_bare_errors_have_the_state(bucket: Bucket) -> None:
    async with CloudflareSandbox(quick=True, wrapped=False) as sandbox, plain_http() as http:
        client = Client(sandbox, bucket, http)
        sandbox.fail_next(Fault.NO_CREDITS)
        answer = await client.run()
        assert answer.status_code == 402
        assert answer.json() == {
            "state": "Failed",
            "error": {"code": 2021, "message": ANSWERS[Fault.NO_CREDITS].message},
        }


async def test_the_gateways_own_timeout_leaves_the_render_running(client: Client) -> None:
    client.sandbox.hold()
    answer = await client.run({"cf-aig-request-timeout": "30"})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (408, 3007)
    assert client.sandbox.ledger == []
    client.sandbox.release()
    await client.sandbox.wait_for(lambda: client.sandbox.calls[0].uploaded)
    assert client.sandbox.charged_usd == 0.08


async def test_an_outage_refuses_connections_and_ends(client: Client) -> None:
    client.sandbox.hold()
    async with plain_http() as other:
        pending = asyncio.create_task(other.post(client.url, json=client.body(), headers=client.headers))
        await client.sandbox.wait_for(lambda: client.sandbox.calls and client.sandbox.calls[0].rendering)
        async with client.sandbox.outage():
            with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
                await pending
            with pytest.raises(httpx.ConnectError):
                await client.run()
            client.sandbox.release()
            await client.sandbox.wait_for(lambda: client.sandbox.calls[0].uploaded)
    assert (await client.run()).status_code == 200

"""What is refused, over HTTP: each refusal is a 400 that names its field, and costs nothing."""

import base64
import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.cloudflare.checks import RefusedError, check_input
from tests.sandbox.cloudflare.caller import Bucket, Client

SCHEMA = Path(
    os.environ.get(
        "GROK_INPUT_SCHEMA",
        str(Path(__file__).parents[4] / "shared/reference/grok-imagine-video-1.5-preview.input.schema.json"),
    )
)
VIDEO = {"url": "data:video/mp4;base64,AAAA"}
PICTURE = {"url": "data:image/png;base64,AAAA"}

REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("operation", {"operation": "generate"}),
    ("seed", {"seed": 1}),
    ("_operation", {"_operation": "remix"}),
    ("prompt", {"prompt": 3}),
    ("prompt", {"prompt": None}),
    ("prompt", {"prompt": ""}),
    ("prompt", {"prompt": " \n\t"}),
    ("prompt", {"prompt": "x" * 8001}),
    ("prompt", {"prompt": "sandbox:fault=nonsense"}),
    ("duration", {"duration": 0}),
    ("duration", {"duration": 16}),
    ("duration", {"duration": "8"}),
    ("duration", {"duration": 8.5}),
    ("duration", {"duration": True}),
    ("duration", {"_operation": "extend", "video": VIDEO, "duration": 1}),
    ("duration", {"_operation": "extend", "video": VIDEO, "duration": 11}),
    ("aspect_ratio", {"aspect_ratio": "21:9"}),
    ("aspect_ratio", {"aspect_ratio": "1:1", "image": PICTURE}),
    ("resolution", {"resolution": "1080p"}),
    ("size", {"size": "640x480"}),
    ("size", {"size": "1920x1080", "reference_images": [PICTURE]}),
    ("image", {"image": "https://a.example/x.png"}),
    ("image.url", {"image": {}}),
    ("image.uri", {"image": {"url": "https://a.example/x.png", "uri": ""}}),
    ("image", {"image": PICTURE, "reference_images": [PICTURE]}),
    ("image.url", {"image": {"url": "ftp://a.example/x"}}),
    ("image.url", {"image": {"url": "http://a.example/x.png"}}),
    ("image.url", {"image": {"url": "data:image/png,hello"}}),
    ("image.url", {"image": {"url": "data:image/png;base64,A"}}),
    ("image.url", {"image": PICTURE}),
    ("image", {"_operation": "edit", "video": VIDEO, "image": PICTURE}),
    ("reference_images", {"reference_images": [PICTURE] * 11}),
    ("reference_images", {"reference_images": PICTURE}),
    ("reference_images.1.url", {"reference_images": [{"url": "https://a.example/"}, {"url": 5}]}),
    ("reference_images", {"_operation": "extend", "video": VIDEO, "reference_images": [PICTURE]}),
    ("video", {"_operation": "edit"}),
    ("video", {"_operation": "extend"}),
    ("video", {"video": VIDEO}),
    ("video.url", {"_operation": "edit", "video": VIDEO}),
    ("output.upload_url", {"output": {}}),
    ("output.upload_url", {"output": {"upload_url": "data:a/b;base64,AAAA"}}),
    ("output.upload_url", {"output": {"upload_url": "http://bucket.example/x"}}),
    ("user", {"user": 7}),
]


@pytest.mark.parametrize(("field", "fields"), REFUSED)
async def test_a_bad_field_is_named_and_free(client: Client, field: str, fields: dict[str, Any]) -> None:
    answer = await client.run(**fields)
    assert answer.status_code == 400
    error = answer.json()["errors"][0]
    assert error["message"].startswith(f"AiError: Bad input: {field}: ")
    assert error["code"] == 5006
    assert client.sandbox.charged_usd == 0
    assert client.bucket.puts == 0


async def test_body_and_headers_are_checked(client: Client) -> None:
    body = client.body()
    cases: list[tuple[Any, dict[str, str], int, str]] = [
        (body | {"model": "xai/other"}, {}, 5007, "No such model"),
        (body | {"extra": 1}, {}, 5006, "extra"),
        ({"model": body["model"]}, {}, 5006, "input"),
        ([], {}, 5006, "body"),
        (body | {"options": {"background": True}}, {}, 5006, "options"),
        (body, {"cf-aig-metadata": "no"}, 5006, "cf-aig-metadata"),
        (body, {"cf-aig-metadata": json.dumps({str(n): n for n in range(6)})}, 5006, "cf-aig-metadata"),
        (body, {"cf-aig-metadata": '{"a": {}}'}, 5006, "cf-aig-metadata"),
        (body, {"cf-aig-gateway-id": "other"}, 5006, "cf-aig-gateway-id"),
        (body, {"cf-aig-request-timeout": "soon"}, 5006, "cf-aig-request-timeout"),
        (body, {"cf-aig-collect-log-payload": "no"}, 5006, "cf-aig-collect-log-payload"),
    ]
    for value, headers, code, word in cases:
        answer = await client.post(value, headers)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, code), word
        assert word in answer.json()["errors"][0]["message"]
    for content, kind in ((b"{", "application/json"), (json.dumps(body).encode(), "text/plain")):
        answer = await client.http.post(client.url, content=content, headers=client.headers | {"Content-Type": kind})
        assert answer.status_code == 400
    assert client.sandbox.charged_usd == 0


async def test_credentials_and_account(client: Client) -> None:
    answer = await client.post(client.body(), {"Authorization": "Bearer wrong"})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (401, 2009)
    elsewhere = client.url.replace(client.sandbox.account_id, "someone-else")
    answer = await client.http.post(elsewhere, json=client.body(), headers=client.headers)
    assert answer.status_code == 404


async def test_a_body_over_100_mb_is_too_large(client: Client) -> None:
    answer = await client.http.post(client.url, content=_megabytes(101), headers=client.headers)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (413, 3006)


async def _megabytes(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield bytes(1 << 20)


async def test_zero_data_retention_needs_an_upload_url(client: Client) -> None:
    answer = await client.run(output=None)
    assert answer.status_code == 400
    sentence = "Zero Data Retention teams must provide output.upload_url for video generation."
    assert answer.json()["errors"][0]["message"] == sentence
    assert client.sandbox.ledger == []


@pytest.mark.parametrize(
    ("name", "content"),
    [("empty", b""), ("text", b"not a picture"), ("svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>")],
)
async def test_a_picture_that_cannot_be_decoded(client: Client, bucket: Bucket, name: str, content: bytes) -> None:
    bucket.files[f"/{name}"] = content
    answer = await client.run(image={"url": f"{bucket.url}/{name}"})
    assert answer.status_code == 400
    assert "image.url" in answer.json()["errors"][0]["message"]


async def test_a_truncated_picture_and_a_missing_one(
    client: Client, bucket: Bucket, png: Callable[[int, int], bytes]
) -> None:
    half = png(300, 300)[:400]
    answer = await client.run(image={"url": f"data:image/png;base64,{base64.b64encode(half).decode()}"})
    assert "image.url" in answer.json()["errors"][0]["message"]
    references = [{"url": f"data:image/png;base64,{base64.b64encode(png(20, 20)).decode()}"}]
    answer = await client.run(reference_images=[*references, {"url": f"{bucket.url}/missing"}])
    assert "reference_images.1.url: it could not be fetched: HTTP 404" in answer.json()["errors"][0]["message"]


async def test_a_source_over_50_mb(client: Client, bucket: Bucket) -> None:
    bucket.files["/big"] = bytes(50 * 1024 * 1024 + 1)
    answer = await client.run(_operation="edit", video={"url": f"{bucket.url}/big"})
    assert "video.url: it is larger than 50 MB" in answer.json()["errors"][0]["message"]


URLS = st.sampled_from(["https://a.example/x", "data:image/png;base64,AAAA", "http://127.0.0.1/x", "ftp://a", "", 5])
HOLDER = st.one_of(
    st.fixed_dictionaries({"url": URLS}),
    st.fixed_dictionaries({"upload_url": URLS}),
    st.sampled_from([None, {}, "https://a.example", {"url": "https://a.example", "more": 1}]),
)
JUNK = st.one_of(st.none(), st.booleans(), st.integers(-2, 20), st.floats(allow_nan=False), st.text(max_size=4))
INPUTS = st.fixed_dictionaries(
    {"prompt": st.one_of(st.just("a fox"), JUNK)},
    optional={
        "_operation": st.one_of(st.sampled_from(["generate", "edit", "extend"]), JUNK),
        "duration": st.one_of(st.integers(-1, 17), JUNK),
        "aspect_ratio": st.one_of(st.sampled_from(["1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3", "5:4"]), JUNK),
        "resolution": st.one_of(st.sampled_from(["480p", "720p", "1080p"]), JUNK),
        "size": st.one_of(st.sampled_from(["848x480", "1696x960", "1280x720", "1920x1080", "1x1"]), JUNK),
        "image": HOLDER,
        "video": HOLDER,
        "reference_images": st.one_of(st.lists(HOLDER, max_size=12), JUNK),
        "output": HOLDER,
        "user": st.one_of(st.text(max_size=3), JUNK),
        "seed": JUNK,
    },
)


@pytest.mark.skipif(not SCHEMA.exists(), reason="the model's schema is not beside this checkout")
def test_whatever_is_accepted_satisfies_the_published_schema() -> None:
    validator = jsonschema_rs.validator_for(json.loads(SCHEMA.read_text()))
    accepted = 0

    @settings(max_examples=1500, deadline=None, print_blob=True)
    @given(INPUTS)
    def compare(value: dict[str, Any]) -> None:
        nonlocal accepted
        try:
            check_input(value)
        except RefusedError:
            return
        accepted += 1
        assert validator.is_valid(value), value

    compare()
    assert accepted > 10


@pytest.mark.skipif(not SCHEMA.exists(), reason="the model's schema is not beside this checkout")
def test_every_value_of_the_schema_is_known() -> None:
    properties = json.loads(SCHEMA.read_text())["properties"]
    for name in ("aspect_ratio", "resolution", "size"):
        for value in properties[name]["enum"]:
            assert check_input({"prompt": "x", name: value})
    for operation in properties["_operation"]["enum"]:
        video = {} if operation == "generate" else {"video": {"url": "https://a.example/x.mp4"}}
        assert check_input({"prompt": "x", "_operation": operation, **video}).operation == operation
    references = [{"url": "https://a.example/x.png"}] * properties["reference_images"]["maxItems"]
    assert check_input({"prompt": "x", "user": "u", "reference_images": references})

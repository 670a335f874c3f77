"""The model's limits: what can be built is accepted by the model's own schema; what breaks a rule cannot be built."""

import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.errors import InvalidRequest
from bot.model import (
    PROMPT_LIMIT,
    AspectRatio,
    Operation,
    Request,
    Resolution,
    Size,
    SourceVideo,
    can_edit,
    can_extend,
    end_user_id,
    normalise_prompt,
)

SCHEMA = Path(__file__).parents[3] / "shared/reference/grok-imagine-video-1.5-preview.input.schema.json"
PRICES = {Resolution.P480: Decimal("0.08"), Resolution.P720: Decimal("0.14")}
PROMPTS = st.text(st.characters(codec="utf-8"), max_size=60).map(lambda text: f"a cat {text}")
KEYS = st.text("abcdef0123456789", min_size=1, max_size=8)

# A busy machine is no failure; a failing example prints how to run it again.
calm = settings(deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])


def source(**changes: Any) -> SourceVideo:
    return SourceVideo(**({"key": "v1", "seconds": 8.0, "width": 848, "height": 480, "size": 1_000_000} | changes))


@st.composite
def sources(draw: st.DrawFn, least: float, most: float) -> SourceVideo:
    return SourceVideo(
        key=draw(KEYS),
        seconds=draw(st.floats(least, most)),
        width=draw(st.integers(1, 4000)),
        height=draw(st.integers(1, 4000)),
        size=draw(st.integers(1, 50_000_000)),
    )


@st.composite
def generates(draw: st.DrawFn) -> dict[str, Any]:
    raw: dict[str, Any] = {"operation": "generate", "prompt": draw(PROMPTS)}
    raw["duration"] = draw(st.none() | st.integers(1, 15))
    kind = draw(st.sampled_from(["text", "image", "references"]))
    if kind == "image":
        raw["image"] = draw(KEYS)
    if kind == "references":
        raw["reference_images"] = tuple(draw(st.lists(KEYS, min_size=1, max_size=10)))
    if draw(st.booleans()):
        sizes = [Size.W848H480, Size.W1280H720] if kind == "references" else list(Size)
        raw["size"] = draw(st.sampled_from(sizes))
    else:
        raw["resolution"] = draw(st.none() | st.sampled_from(Resolution))
        raw["aspect_ratio"] = None if kind == "image" else draw(st.none() | st.sampled_from(AspectRatio))
    return raw


EDITS = st.fixed_dictionaries({"operation": st.just("edit"), "prompt": PROMPTS, "video": sources(0.1, 8.7)})
EXTENDS = st.fixed_dictionaries(
    {
        "operation": st.just("extend"),
        "prompt": PROMPTS,
        "video": sources(2, 15),
        "duration": st.none() | st.integers(2, 10),
    }
)
VALID = generates() | EDITS | EXTENDS


def build(raw: dict[str, Any]) -> Request:
    return Request(**raw)


def to_input(request: Request, upload_url: str | None = None) -> dict[str, object]:
    return request.to_input(lambda key: f"https://media.test/{key}", user="abc", upload_url=upload_url)


@pytest.fixture(scope="module")
def schema() -> Any:
    if not SCHEMA.exists():
        pytest.skip(f"the model's schema is not at {SCHEMA}")
    return jsonschema_rs.validator_for(json.loads(SCHEMA.read_text()))


@calm
@given(VALID, st.none() | st.just("https://bucket.test/put"))
def test_every_constructible_request_satisfies_the_models_schema(
    schema: Any, raw: dict[str, Any], upload: str | None
) -> None:
    schema.validate(to_input(build(raw), upload))


def test_the_schema_knows_no_input_that_a_request_cannot_give(schema: Any) -> None:
    requests = [
        Request(operation=Operation.GENERATE, prompt="a", aspect_ratio=AspectRatio.TALL, reference_images=("r",)),
        Request(operation=Operation.GENERATE, prompt="a", image="i", size=Size.W848H480),
        Request(operation=Operation.EXTEND, prompt="a", video=source()),
    ]
    given_fields = set[str]().union(*(to_input(request, "https://put.test/") for request in requests))
    assert given_fields == set(json.loads(SCHEMA.read_text())["properties"])


BREAKS: list[tuple[str, dict[str, Any]]] = [
    ("prompt", {"prompt": ""}),
    ("prompt", {"prompt": " \n\t\u200b"}),
    ("prompt", {"prompt": "\u3164\u115f"}),
    ("prompt", {"prompt": "\u0301" * 50}),
    ("prompt", {"prompt": "\x00\x07"}),
    ("prompt", {"prompt": "a" * (PROMPT_LIMIT + 1)}),
    ("prompt", {"prompt": "a" + "\u0301" * 4_000_000}),
    ("prompt", {"prompt": None}),
    ("operation", {"operation": "delete"}),
    ("duration", {"duration": 0}),
    ("duration", {"duration": 16}),
    ("duration", {"duration": True}),
    ("duration", {"duration": 5.0}),
    ("duration", {"duration": "5"}),
    ("aspect_ratio", {"aspect_ratio": "21:9"}),
    ("aspect_ratio", {"aspect_ratio": "16:9", "image": "i"}),
    ("resolution", {"resolution": "1080p"}),
    ("resolution", {"resolution": True}),
    ("size", {"size": "640x480"}),
    ("size", {"size": "848x480", "resolution": "480p"}),
    ("size", {"size": "848x480", "aspect_ratio": "16:9"}),
    ("size", {"size": "1920x1080", "reference_images": ("r",)}),
    ("size", {"size": "1696x960", "reference_images": ("r",)}),
    ("image", {"image": ""}),
    ("image", {"image": "i", "reference_images": ("r",)}),
    ("reference_images", {"reference_images": tuple("abcdefghijk")}),
    ("reference_images", {"reference_images": ("r", "")}),
    ("reference_images", {"reference_images": ["r"]}),
    ("video", {"video": source()}),
    ("video", {"operation": "edit"}),
    ("video", {"operation": "extend", "video": "v1"}),
    ("video", {"operation": "edit", "video": source(seconds=8.71)}),
    ("video", {"operation": "edit", "video": source(size=50_000_001)}),
    ("video", {"operation": "extend", "video": source(seconds=1.99)}),
    ("video", {"operation": "extend", "video": source(seconds=15.01)}),
    ("duration", {"operation": "extend", "video": source(), "duration": 1}),
    ("duration", {"operation": "extend", "video": source(), "duration": 11}),
    ("duration", {"operation": "edit", "video": source(), "duration": 5}),
    *[
        (field, {"operation": operation, "video": source(), field: value})
        for operation in ("edit", "extend")
        for field, value in (("aspect_ratio", "16:9"), ("resolution", "720p"), ("size", "848x480"), ("image", "i"))
    ],
    ("image", {"operation": "edit", "video": source(), "reference_images": ("r",)}),
]


@pytest.mark.parametrize(("field", "broken"), BREAKS, ids=lambda value: str(value)[:60])
def test_a_broken_rule_is_refused_with_one_sentence_for_its_field(field: str, broken: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        build({"operation": "generate", "prompt": "a cat"} | broken)
    assert refusal.value.field == field
    assert refusal.value.sentence[0].isupper()
    assert refusal.value.sentence.endswith((".", "?"))
    assert len(refusal.value.sentence) < 200


MUTATIONS: dict[str, st.SearchStrategy[Any]] = {
    "operation": st.sampled_from(["edit", "extend", "generate", "delete"]),
    "prompt": PROMPTS | st.text(" \u200b\u0301\n", max_size=5) | st.integers(),
    "duration": st.integers(-3, 20) | st.booleans() | st.floats(allow_nan=True),
    "aspect_ratio": st.sampled_from(["1:1", "2:1", "16:9", True]),
    "resolution": st.sampled_from(["480p", "720p", "1080p", 720]),
    "size": st.sampled_from(["848x480", "1696x960", "1x1"]),
    "image": KEYS | st.just("") | st.integers(),
    "reference_images": st.lists(KEYS, max_size=12).map(tuple),
    "video": sources(0.1, 30) | st.none() | KEYS,
}


def allowed(raw: dict[str, Any]) -> bool:
    """The rules once more, written as one predicate and apart from the code under test."""
    get = raw.get
    operation, duration, refs, video = get("operation"), get("duration"), get("reference_images", ()), get("video")
    text = isinstance(get("prompt"), str) and any(c not in " \u200b\u0301\n" for c in raw["prompt"])
    known = all(get(f) is None or get(f) in set(k) for f, k in CHOICES.items())
    whole = duration is None or type(duration) is int
    if not (text and known and whole and (get("image") is None or (isinstance(raw["image"], str) and raw["image"]))):
        return False
    if operation == "generate":
        clashes = [get("size") and (get("resolution") or get("aspect_ratio")), get("image") and get("aspect_ratio")]
        clashes += [get("image") and refs, len(refs) > 10, video is not None]
        clashes += [refs and get("size") in {"1696x960", "1920x1080"}]
        return not any(clashes) and (duration is None or 1 <= duration <= 15)
    bare = not any(get(f) for f in ("aspect_ratio", "resolution", "size", "image", "reference_images"))
    if operation not in {"edit", "extend"} or not bare or not isinstance(video, SourceVideo):
        return False
    if operation == "edit":
        return duration is None and video.seconds <= 8.7 and video.size <= 50_000_000
    return 2 <= video.seconds <= 15 and (duration is None or 2 <= duration <= 10)


CHOICES = {"aspect_ratio": AspectRatio, "resolution": Resolution, "size": Size}


@calm
@given(st.data())
def test_a_mutated_request_is_built_exactly_when_the_rules_allow_it(data: st.DataObject) -> None:
    raw = data.draw(VALID)
    for field in data.draw(st.sets(st.sampled_from(sorted(MUTATIONS)), min_size=1, max_size=3)):
        raw[field] = data.draw(MUTATIONS[field], label=field)
    if allowed(raw):
        build(raw)
        return
    with pytest.raises(InvalidRequest):
        build(raw)


@calm
@given(VALID)
def test_a_request_comes_back_from_json_as_it_was(raw: dict[str, Any]) -> None:
    request = build(raw)
    assert Request.from_json(request.to_json()) == request


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@calm
@given(
    st.text() | JSON.map(json.dumps) | st.dictionaries(st.sampled_from(["operation", "video"]), JSON).map(json.dumps)
)
def test_garbage_in_the_table_of_jobs_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        Request.from_json(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"more": 1},
        {"reference_images": "abc"},
        {"reference_images": [1]},
        {"video": {"key": "v"}},
        {"video": {"key": "v", "seconds": 10**400, "width": 1, "height": 1, "size": 1}},
        {"video": {"key": "v", "seconds": math.nan, "width": 1, "height": 1, "size": 1}},
        {"video": {"key": "v", "seconds": 3, "width": True, "height": 1, "size": 1}},
        {"video": {"key": "", "seconds": 3, "width": 1, "height": 1, "size": 1}},
    ],
)
def test_a_damaged_row_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        Request.from_json(json.dumps({"operation": "extend", "prompt": "a"} | changes))


@pytest.mark.parametrize(
    ("raw", "micro"),
    [
        ({"operation": "generate"}, 640_000),
        ({"operation": "generate", "duration": 15, "resolution": "720p"}, 2_100_000),
        ({"operation": "generate", "duration": 1, "size": "848x480"}, 80_000),
        ({"operation": "generate", "duration": 1, "size": "1280x720"}, 140_000),
        ({"operation": "generate", "duration": 1, "size": "1696x960"}, 140_000),
        ({"operation": "generate", "duration": 1, "size": "1920x1080"}, 140_000),
        ({"operation": "edit", "video": source(seconds=3.04)}, 320_000),
        ({"operation": "edit", "video": source(width=480, height=854)}, 640_000),
        ({"operation": "edit", "video": source(width=1280, height=720, seconds=8.7)}, 1_260_000),
        ({"operation": "extend", "video": source()}, 480_000),
        ({"operation": "extend", "video": source(height=720), "duration": 10}, 1_400_000),
    ],
)
def test_price(raw: dict[str, Any], micro: int) -> None:
    assert build(raw | {"prompt": "a"}).price(PRICES) == micro


def test_a_fraction_of_a_micro_dollar_is_rounded_up() -> None:
    price = Request(operation=Operation.GENERATE, prompt="a", duration=1).price({Resolution.P480: Decimal("0.0000001")})
    assert price == 1
    assert isinstance(price, int)


def test_lengths_of_results() -> None:
    made = Request(operation=Operation.GENERATE, prompt="a")
    edited = Request(operation=Operation.EDIT, prompt="a", video=source(seconds=5.5))
    extended = Request(operation=Operation.EXTEND, prompt="a", video=source(seconds=5.5))
    assert [request.seconds for request in (made, edited, extended)] == [8, 5.5, 11.5]
    assert [request.billed_seconds for request in (made, edited, extended)] == [8, 5.5, 6]


def test_the_input_holds_only_what_the_operation_takes() -> None:
    picture = Request(operation=Operation.GENERATE, prompt="a", image="i", resolution=Resolution.P720)
    assert to_input(picture, "https://put.test/") == {
        "_operation": "generate",
        "prompt": "a",
        "user": "abc",
        "duration": 8,
        "resolution": "720p",
        "image": {"url": "https://media.test/i"},
        "output": {"upload_url": "https://put.test/"},
    }
    edit = Request(operation=Operation.EDIT, prompt="a", video=source())
    video = {"url": "https://media.test/v1"}
    assert to_input(edit) == {"_operation": "edit", "prompt": "a", "user": "abc", "video": video}
    extend = Request(operation=Operation.EXTEND, prompt="a", video=source())
    assert to_input(extend) == {"_operation": "extend", "prompt": "a", "user": "abc", "duration": 6, "video": video}


@calm
@given(st.text(max_size=80))
def test_a_normalised_prompt_stays_as_it_is(text: str) -> None:
    try:
        prompt = normalise_prompt(text)
    except InvalidRequest:
        return
    assert normalise_prompt(prompt) == prompt
    assert prompt.encode()
    assert not {"\r", "\x00", "\x1b", "\ud800"} & set(prompt)


def test_a_prompt_is_brought_to_one_form() -> None:
    assert normalise_prompt(" Cafe\u0301\r\nat\rnight\x00\x1b ") == "Caf\u00e9\nat\nnight"
    assert normalise_prompt("👩‍🚀 <@1> ```x```") == "👩‍🚀 <@1> ```x```"
    assert len(normalise_prompt("a" * PROMPT_LIMIT)) == PROMPT_LIMIT


def test_a_button_that_cannot_apply_says_why() -> None:
    assert can_edit(8.7) is None
    assert can_edit(12.3) == (
        "An edit works on up to 8.7 seconds of video; this one is 12.3 s. "
        "Use /video edit with a start time to edit a part of it."
    )
    assert "this one is 8.8 s" in str(can_edit(8.701))
    assert can_extend(2) is can_extend(15) is None
    assert "this one is 1.9 s" in str(can_extend(1.99))
    assert "this one is 15.1 s" in str(can_extend(15.001))


def test_the_end_users_id_is_stable_keyed_and_short() -> None:
    key, other = b"k" * 32, b"o" * 32
    assert end_user_id(key, 42) == end_user_id(key, 42)
    assert len({end_user_id(key, 42), end_user_id(key, 43), end_user_id(other, 42)}) == 3
    assert len(end_user_id(key, 42)) == 32
    assert "42424242" not in end_user_id(key, 42424242)
    with pytest.raises(ValueError, match="16 bytes"):
        end_user_id(b"short", 42)

"""What may be asked of the model: operations, limits, defaults, price. Pure: no I/O.

Limits and defaults are those of `xai/grok-imagine-video-1.5-preview` (Cloudflare's model catalog and xAI's docs,
2026-10). A `Request` that the model would refuse cannot be constructed; each refusal is a sentence for the member.
"""

import hashlib
import hmac
import json
import math
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from typing import NoReturn, Self, TypeVar, cast

from bot.errors import InvalidRequest

PROMPT_LIMIT = 6000
"""Characters. The model publishes no cap; this is the most that Discord's string option carries."""

GENERATE_SECONDS, GENERATE_DEFAULT_SECONDS = (1, 15), 8
EXTEND_SECONDS, EXTEND_DEFAULT_SECONDS = (2, 10), 6
EDIT_SOURCE_SECONDS = 8.7
EDIT_SOURCE_BYTES = 50 * 1000 * 1000
EXTEND_SOURCE_SECONDS = (2, 15)
REFERENCE_LIMIT = 10
MICRO = 1_000_000
"""Micro-dollars in a US dollar: money is kept in whole micro-dollars."""

_BLANK_LETTERS = frozenset("\u115f\u1160\u3164\uffa0\u2800")  # letters and a symbol by category, yet nothing to see


class Operation(StrEnum):
    GENERATE = "generate"
    EDIT = "edit"
    EXTEND = "extend"


class AspectRatio(StrEnum):
    """Width to height. The model's default is 16:9; with a first frame the result takes the picture's own."""

    SQUARE = "1:1"
    WIDE = "16:9"
    TALL = "9:16"
    LANDSCAPE_4_3 = "4:3"
    PORTRAIT_3_4 = "3:4"
    LANDSCAPE_3_2 = "3:2"
    PORTRAIT_2_3 = "2:3"


class Resolution(StrEnum):
    P480 = "480p"
    P720 = "720p"


class Size(StrEnum):
    """Exact width and height in pixels."""

    W848H480 = "848x480"
    W1696H960 = "1696x960"
    W1280H720 = "1280x720"
    W1920H1080 = "1920x1080"

    @property
    def billed_as(self) -> Resolution:
        """The resolution whose price applies: the catalog prices no size of its own."""
        return Resolution.P480 if self is Size.W848H480 else Resolution.P720


DEFAULT_RESOLUTION = Resolution.P480


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceVideo:
    """The video that an edit or an extension starts from.

    `key` is a media reference (a storage key), `seconds` its length, `width` and `height` pixels, `size` bytes.
    """

    key: str
    seconds: float
    width: int
    height: int
    size: int

    def __post_init__(self) -> None:
        if not _is_reference(self.key):
            _refuse("video", "That video cannot be found. Pick another one.")
        sides = (self.width, self.height, self.size)
        if not all(_is_int(side) and 0 < side < 2**63 for side in sides) or not _is_length(self.seconds):
            _refuse("video", "That file has no picture to work on. Pick another video.")

    @property
    def resolution(self) -> Resolution:
        """The resolution whose price applies to a result of the same size."""
        return Resolution.P480 if min(self.width, self.height) <= 480 else Resolution.P720


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request that the model accepts. `duration` is in seconds; for extend it is the part added.

    `image`, `reference_images` and `video.key` are media references, turned into URLs by `to_input`.
    Raises InvalidRequest, which names the field, when the model would refuse or ignore a value.
    """

    operation: Operation
    prompt: str
    duration: int | None = None
    aspect_ratio: AspectRatio | None = None
    resolution: Resolution | None = None
    size: Size | None = None
    image: str | None = None
    reference_images: tuple[str, ...] = ()
    video: SourceVideo | None = None

    def __post_init__(self) -> None:
        _set(self, "operation", _choice("operation", Operation, self.operation))
        _set(self, "prompt", normalise_prompt(self.prompt))
        _set(self, "aspect_ratio", _optional_choice("aspect_ratio", AspectRatio, self.aspect_ratio))
        _set(self, "resolution", _optional_choice("resolution", Resolution, self.resolution))
        _set(self, "size", _optional_choice("size", Size, self.size))
        _check_pictures(self)
        if self.operation is Operation.GENERATE:
            _check_generate(self)
        else:
            _check_source(self)

    @property
    def seconds(self) -> float:
        """Length of the result, in seconds."""
        if self.video is None:
            return self.billed_seconds
        return self.video.seconds + (self.billed_seconds if self.operation is Operation.EXTEND else 0)

    @property
    def billed_seconds(self) -> float:
        """Seconds of video that are paid for: all of a generated one, the source's of an edit, the part added."""
        if self.operation is Operation.GENERATE:
            return GENERATE_DEFAULT_SECONDS if self.duration is None else self.duration
        if self.operation is Operation.EXTEND:
            return EXTEND_DEFAULT_SECONDS if self.duration is None else self.duration
        return _source_of(self).seconds

    @property
    def billed_resolution(self) -> Resolution:
        """The resolution whose price applies."""
        if self.video is not None:
            return self.video.resolution
        if self.size is not None:
            return self.size.billed_as
        return self.resolution or DEFAULT_RESOLUTION

    def price(self, per_second: Mapping[Resolution, Decimal]) -> int:
        """Micro-dollars for this request, rounded up; `per_second` is in US dollars per second of video."""
        exact = per_second[self.billed_resolution] * math.ceil(self.billed_seconds) * MICRO
        return int(exact.to_integral_value(rounding=ROUND_CEILING))

    def to_input(self, url: Callable[[str], str], *, user: str, upload_url: str | None) -> dict[str, object]:
        """The API's `input`: only fields that the operation takes, with length and resolution always said.

        `url` turns a media reference into an HTTPS or data URL; `upload_url` is where the finished mp4 is PUT.
        """
        given: dict[str, object] = {"_operation": str(self.operation), "prompt": self.prompt, "user": user}
        if self.operation is not Operation.EDIT:
            given["duration"] = int(self.billed_seconds)
        if self.video is not None:
            given["video"] = {"url": url(self.video.key)}
        elif self.size is not None:
            given["size"] = str(self.size)
        else:
            given["resolution"] = str(self.billed_resolution)
        if self.aspect_ratio is not None:
            given["aspect_ratio"] = str(self.aspect_ratio)
        if self.image is not None:
            given["image"] = {"url": url(self.image)}
        if self.reference_images:
            given["reference_images"] = [{"url": url(key)} for key in self.reference_images]
        if upload_url is not None:
            given["output"] = {"upload_url": upload_url}
        return given

    def to_json(self) -> str:
        """The request as JSON text, for the table of jobs; `from_json` takes it back."""
        kept = {name: value for name, value in asdict(self).items() if value is not None and value != ()}
        return json.dumps(kept, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The request that `to_json` wrote. Raises InvalidRequest for anything else."""
        values = _object("request", _parse(text), cls)
        references = values.get("reference_images", [])
        if not isinstance(references, list):
            _refuse("reference_images", "This request's reference pictures cannot be read.")
        values["reference_images"] = tuple(cast("list[object]", references))
        if values.get("video") is not None:
            values["video"] = _build(SourceVideo, "video", _object("video", values["video"], SourceVideo))
        return _build(cls, "request", values)


def normalise_prompt(prompt: object) -> str:
    """The prompt in NFC, trimmed, with LF line ends and no control characters. Raises InvalidRequest.

    Bounded before it is normalised: putting a long run of combining marks in order takes quadratic time.
    """
    if not isinstance(prompt, str):
        _refuse("prompt", "Write a prompt: what should happen in the video?")
    if len(prompt) > 2 * PROMPT_LIMIT:
        _refuse_long(len(prompt))
    lines = prompt.replace("\r\n", "\n").replace("\r", "\n")
    kept = "".join(char for char in lines if char in "\n\t" or unicodedata.category(char) not in {"Cc", "Cs"})
    normal = unicodedata.normalize("NFC", kept).strip()
    if not any(_is_visible(char) for char in normal):
        _refuse("prompt", "The prompt is empty. Write what should happen in the video.")
    if len(normal) > PROMPT_LIMIT:
        _refuse_long(len(normal))
    return normal


def can_edit(seconds: float) -> str | None:
    """Why a video of this length cannot be edited as it is, or None when it can."""
    if seconds > EDIT_SOURCE_SECONDS:
        return (
            f"An edit works on up to {EDIT_SOURCE_SECONDS} seconds of video; this one is {_above(seconds)} s. "
            "Use /video edit with a start time to edit a part of it."
        )
    return None


def can_extend(seconds: float) -> str | None:
    """Why a video of this length cannot be sent to be extended as it is, or None when it can."""
    least, most = EXTEND_SOURCE_SECONDS
    if seconds < least:
        return f"Only a video of at least {least} seconds can be extended; this one is {_below(seconds)} s."
    if seconds > most:
        return (
            f"The model extends up to {most} seconds of video at a time; this one is {_above(seconds)} s. "
            "Use a shorter one."
        )
    return None


def end_user_id(key: bytes, discord_user_id: int) -> str:
    """The `user` input: a keyed hash, 32 hex digits, stable for one key and not reversible without it."""
    if len(key) < 16:
        raise ValueError("the key of end-user ids needs at least 16 bytes")
    return hmac.new(key, str(discord_user_id).encode(), hashlib.sha256).hexdigest()[:32]


_Choice = TypeVar("_Choice", bound=StrEnum)
_Built = TypeVar("_Built")


def _check_generate(request: Request) -> None:
    if request.video is not None:
        _refuse("video", "A new video does not start from another one. Use /video edit or /video extend for that.")
    _check_duration("A video", request.duration, GENERATE_SECONDS)
    if request.image is not None and request.aspect_ratio is not None:
        _refuse("aspect_ratio", "A video from a picture takes the picture's shape. Leave the aspect ratio out.")
    if request.size is not None and request.resolution is not None:
        _refuse("size", "Size and resolution contradict each other. Give one of the two.")
    if request.size is not None and request.aspect_ratio is not None:
        _refuse("size", "Size and aspect ratio contradict each other. Give one of the two.")
    if request.reference_images and request.size in {Size.W1696H960, Size.W1920H1080}:
        _refuse("size", "With reference pictures the model makes at most 720p. Pick a smaller size.")


def _check_source(request: Request) -> None:
    noun = "An edit" if request.operation is Operation.EDIT else "An extension"
    if request.image is not None or request.reference_images:
        _refuse("image", f"{noun} takes a video and no pictures. Leave the pictures out.")
    for name in ("aspect_ratio", "resolution", "size"):
        if getattr(request, name) is not None:
            _refuse(name, f"{noun} keeps the shape and size of its video. Leave the {name.replace('_', ' ')} out.")
    video = _source_of(request)
    if request.operation is Operation.EXTEND:
        _check_duration("The part added", request.duration, EXTEND_SECONDS)
        _refuse_if(can_extend(video.seconds))
        return
    if request.duration is not None:
        _refuse("duration", "An edit keeps the length of its video. Leave the duration out.")
    _refuse_if(can_edit(video.seconds))
    if video.size > EDIT_SOURCE_BYTES:
        _refuse("video", f"An edit works on up to 50 MB; this video has {_above(video.size / 1e6)} MB.")


def _source_of(request: Request) -> SourceVideo:
    if not isinstance(request.video, SourceVideo):
        verb = "edit" if request.operation is Operation.EDIT else "extend"
        _refuse("video", f"Give a video to {verb}: attach one, or pick one under source.")
    return request.video


def _check_pictures(request: Request) -> None:
    references = cast("object", request.reference_images)
    if not isinstance(references, tuple) or not all(map(_is_reference, cast("tuple[object, ...]", references))):
        _refuse("reference_images", "A reference picture cannot be found. Attach it again.")
    if request.image is not None and not _is_reference(request.image):
        _refuse("image", "That picture cannot be found. Attach it again.")
    if request.image is not None and references:
        _refuse("image", "A first picture and reference pictures exclude each other. Give one kind.")
    count = len(request.reference_images)
    if count > REFERENCE_LIMIT:
        _refuse("reference_images", f"The model takes up to {REFERENCE_LIMIT} reference pictures; these are {count}.")


def _check_duration(noun: str, duration: object, limits: tuple[int, int]) -> None:
    if duration is None:
        return
    if not _is_int(duration) or not limits[0] <= cast("int", duration) <= limits[1]:
        _refuse("duration", f"{noun} can be {limits[0]} to {limits[1]} whole seconds long.")


def _choice(field: str, kind: type[_Choice], value: object) -> _Choice:
    if isinstance(value, str) and value in set(kind):
        return kind(value)
    return _refuse(field, f"The {field.replace('_', ' ')} can be {', '.join(kind)}.")


def _optional_choice(field: str, kind: type[_Choice], value: object) -> _Choice | None:
    return None if value is None else _choice(field, kind, value)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_length(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e9


def _is_reference(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_visible(char: str) -> bool:
    return unicodedata.category(char)[0] not in "MCZ" and char not in _BLANK_LETTERS


def _above(amount: float) -> str:
    """One decimal, rounded up, so that an amount over a limit never reads as the limit."""
    return f"{math.ceil(round(amount * 10, 6)) / 10:.1f}"


def _below(amount: float) -> str:
    return f"{math.floor(round(amount * 10, 6)) / 10:.1f}"


def _refuse(field: str, sentence: str) -> NoReturn:
    raise InvalidRequest(field, sentence)


def _refuse_if(reason: str | None) -> None:
    if reason is not None:
        _refuse("video", reason)


def _refuse_long(count: int) -> NoReturn:
    _refuse("prompt", f"A prompt can have up to {PROMPT_LIMIT:,} characters; this one has {count:,}.")


def _set(request: Request, name: str, value: object) -> None:
    object.__setattr__(request, name, value)


def _parse(text: object) -> object:
    try:
        return json.loads(cast("str", text))
    except (TypeError, ValueError, RecursionError):
        _refuse("request", "This request cannot be read any more. Please ask again.")


def _object(field: str, value: object, kind: type[object]) -> dict[str, object]:
    if not isinstance(value, dict):
        _refuse(field, "This request cannot be read any more. Please ask again.")
    given = cast("dict[str, object]", value)
    if given.keys() - {known.name for known in fields(cast("type[Request]", kind))}:
        _refuse(field, "This request comes from another version of Cinecord. Please ask again.")
    return given


def _build(kind: type[_Built], field: str, values: Mapping[str, object]) -> _Built:
    try:
        return kind(**values)
    except TypeError:  # a required field is missing
        return _refuse(field, "This request cannot be read any more. Please ask again.")

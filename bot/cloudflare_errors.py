"""What can come of the paid call: each failure says who paid, whether to try again, and who must act.

    ModelError                 charged   retry     acts
    ├── InputRefused           no        never     member     the schema or the model refused the input
    ├── UploadUrlRequired      no        never     operator   the account keeps no data: storage must take the video
    ├── TooLarge               no        never     member     the request as a whole
    ├── CredentialsRefused     no        never     operator   token, permission, or a blocked account
    ├── OutOfCredits           no        never     operator
    ├── NoSuchModel            no        never     operator
    ├── Moderated              maybe     never     member     guardrails or the model's moderation
    ├── TryLater               no        after     nobody     rate or spend limit, capacity, provider away
    ├── NotSent                no        after     nobody     proven: no byte of the request left this machine
    ├── RenderFailed           maybe     never     member     the model gave up on a request that it had accepted
    └── OutcomeUnknown         maybe     unknown   nobody     never repeat; look for the video

Facts: Cloudflare's docs and live probes, 2026-10. Import these from `bot.cloudflare`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar, cast

from bot.errors import OPERATOR_TOLD, CinecordError


class Charged(StrEnum):
    NO = "no"
    YES = "yes"
    MAYBE = "maybe"


class Acts(StrEnum):
    """Who must do something before the same request can work."""

    MEMBER = "member"
    OPERATOR = "operator"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Never:
    """The same request would fail again."""


@dataclass(frozen=True, slots=True)
class After:
    """Surely not charged: send it again after so many seconds; None leaves the delay to the caller."""

    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may have been charged: never send it again, look for its outcome."""


Retry = Never | After | Unknown


class ModelError(CinecordError):
    """The paid call did not give a video. `detail` is for the log, and free of the token and of links."""

    charged: Charged = Charged.NO
    retry: Retry = Never()
    acts: Acts = Acts.OPERATOR
    told: ClassVar[str] = OPERATOR_TOLD

    def __init__(self, detail: str, *, status: int | None = None, code: int | None = None) -> None:
        where = " ".join(f"{name} {number}" for name, number in (("status", status), ("code", code)) if number)
        super().__init__(self.told, cause=f"{type(self).__name__} ({where}): {detail}" if where else detail)
        self.detail = detail
        self.status = status
        self.code = code


class InputRefused(ModelError):
    acts = Acts.MEMBER

    def __init__(self, detail: str, *, status: int | None = None, code: int | None = None) -> None:
        super().__init__(detail, status=status, code=code)
        reason = detail[:300].rstrip(". ")
        self.sentence = f"The model refused this request: {reason}. Nothing was charged. Change it and ask again."


class UploadUrlRequired(ModelError):
    pass


class TooLarge(ModelError):
    acts = Acts.MEMBER
    told = "The pictures or the video are too large for the model. Nothing was charged. Use smaller ones."


class CredentialsRefused(ModelError):
    pass


class OutOfCredits(ModelError):
    pass


class NoSuchModel(ModelError):
    pass


class Moderated(ModelError):
    charged = Charged.MAYBE
    acts = Acts.MEMBER
    told = (
        "The model's moderation blocked the request or the finished video. It may have been charged. "
        "Change the prompt or the pictures before you ask again."
    )


class TryLater(ModelError):
    retry: Retry = After()
    acts = Acts.NOBODY
    told = "The model takes no more requests right now. Nothing was charged. Ask again in a few minutes."


class NotSent(ModelError):
    retry: Retry = After()
    acts = Acts.NOBODY
    told = "The model's service could not be reached. Nothing was charged. Ask again in a few minutes."


class RenderFailed(ModelError):
    charged = Charged.MAYBE
    acts = Acts.MEMBER
    told = "The model could not make this video. It may have been charged. Change the request before you ask again."


class OutcomeUnknown(ModelError):
    charged = Charged.MAYBE
    retry: Retry = Unknown()
    acts = Acts.NOBODY
    told = (
        "The connection to the model broke before its answer came, so it is not known whether the video was made. "
        "It may have been charged. Use Retry to ask again."
    )


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the API's error table."""

    kind: type[ModelError]
    statuses: tuple[int, ...]
    codes: tuple[int, ...] = ()


ERROR_TABLE = (
    Row(InputRefused, (400,)),
    Row(CredentialsRefused, (401, 403), (2009, 3023, 3041, 5018)),
    Row(OutOfCredits, (402,), (2021,)),
    Row(NoSuchModel, (404,), (3042, 5007)),
    Row(OutcomeUnknown, (408, 500, 502, 504, *range(520, 531)), (3007, 3008)),
    Row(TooLarge, (413,), (3006,)),
    Row(Moderated, (422, 424), (2016, 2017)),
    Row(TryLater, (429, 503), (3036, 3040, 7013)),
)
_BY_STATUS = {status: row.kind for row in ERROR_TABLE for status in row.statuses}
_BY_CODE = {code: row.kind for row in ERROR_TABLE for code in row.codes}


def error_of(status: int, body: object, *, secret: str, retry_after: float | None = None) -> ModelError:
    """The error that an answer stands for: a 429 as such, else by its code, by its status, else of unknown outcome.

    `body` is the parsed JSON, or None where there was none. `secret` is struck out of the server's words.
    """
    found = _complaints(body)
    code, message = next((pair for pair in found if pair[0] in _BY_CODE), found[0] if found else (None, ""))
    # A gateway's spend limit is a 429 that shares its code with "no credits": it passes by itself, they do not.
    kind = TryLater if status == 429 else _BY_CODE.get(code) if code is not None else None
    detail = _plain(message, secret) or "the answer gave no reason"
    if kind is None:
        kind = RenderFailed if status == 200 and _envelope_state(body) == "Failed" else None
    kind = kind or _BY_STATUS.get(status, OutcomeUnknown)
    if kind in {InputRefused, RenderFailed} and "must provide output.upload_url" in message:
        kind = UploadUrlRequired
    error = kind(detail, status=status, code=code)
    if isinstance(error, TryLater):
        error.retry = After(retry_after)
    return error


def envelope(body: object) -> Mapping[str, object] | None:
    """The model's own envelope (`state`, `result`, `error`), bare or wrapped in the REST API's `result`."""
    outer = as_object(body)
    if outer is None or "state" in outer:
        return outer
    inner = as_object(outer.get("result"))
    return inner if inner is not None and "state" in inner else None


def as_object(value: object) -> Mapping[str, object] | None:
    """The value as a JSON object, or None."""
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else None


def parse_json(body: bytes) -> object:
    """The JSON value, or None for what is no JSON (an edge's HTML page, say)."""
    try:
        return json.loads(body, parse_float=Decimal)
    except (ValueError, RecursionError, ArithmeticError):  # 1e999… is JSON, and no Decimal
        return None


def _envelope_state(body: object) -> object:
    found = envelope(body)
    return None if found is None else found.get("state")


def _complaints(body: object) -> list[tuple[int | None, str]]:
    """Every (code, message) of the three shapes that an error's body has."""
    outer = as_object(body)
    if outer is None:
        return []
    errors = outer.get("errors")
    given: list[object] = [*cast("list[object]", errors)] if isinstance(errors, list) else []
    inner = envelope(body)
    if inner is not None:
        given.append(inner.get("error"))
    if "internalCode" in outer:
        given.append({"code": outer["internalCode"], "message": outer.get("message", "")})
    given.append(outer.get("error"))
    found = [as_object(item) for item in given]
    return [(_number(item.get("code")), str(item.get("message", ""))) for item in found if item is not None]


def _number(code: object) -> int | None:
    if isinstance(code, int) and not isinstance(code, bool):
        return code
    return int(code) if isinstance(code, str) and re.fullmatch(r"[0-9]{1,9}", code) else None


def _plain(message: str, secret: str) -> str:
    """One short line of the server's words, without the token, links (they can be signed) or odd characters."""
    line = message.replace(secret, "***") if secret else message
    line = re.sub(r"(?:https?:|data:)\S+", "(link)", line[:4000])
    return " ".join("".join(char if char.isprintable() else " " for char in line).split())[:500]

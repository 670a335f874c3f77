"""Every way in which the endpoint can fail, by name: the rows of the reference's error table, and broken transport.

A test plans one with `Faults.plan`; a person tries one by writing `sandbox:fault=<kind>` into a prompt
(`sandbox:fault=<kind>*2`: only the first two calls with that prompt fail).
"""

from __future__ import annotations

import re
from collections import Counter, deque
from dataclasses import dataclass, replace
from enum import StrEnum


class Fault(StrEnum):
    """What goes wrong. The comment tells status and code, where the answer has them."""

    BAD_INPUT = "bad_input"  # 400
    UPLOAD_URL_MISSING = "upload_url_missing"  # 400
    CREDENTIALS = "credentials"  # 401 / 2009
    NO_CREDITS = "no_credits"  # 402 / 2021
    FORBIDDEN = "forbidden"  # 403
    ACCOUNT_BLOCKED = "account_blocked"  # 403 / 3023
    ACCOUNT_BLOCKED_3041 = "account_blocked_3041"  # 403 / 3041
    ACCOUNT_BLOCKED_5018 = "account_blocked_5018"  # 403 / 5018
    NO_SUCH_MODEL = "no_such_model"  # 404 / 3042
    NO_SUCH_MODEL_400 = "no_such_model_400"  # 400 / 5007
    TIMEOUT = "timeout"  # 408 / 3007
    ABORTED = "aborted"  # 408 / 3008
    TOO_LARGE = "too_large"  # 413 / 3006
    MODERATED = "moderated"  # 422 / 2017
    MODERATED_424 = "moderated_424"  # 424 / 2016
    MODERATED_424_2017 = "moderated_424_2017"  # 424 / 2017
    RATE_LIMITED = "rate_limited"  # 429, without Retry-After unless asked for
    RATE_LIMITED_RETRY_AFTER = "rate_limited_retry_after"  # 429, Retry-After: 1
    SPEND_LIMIT = "spend_limit"  # 429 / 2021
    OUT_OF_CAPACITY = "out_of_capacity"  # 429 / 3040
    QUOTA = "quota"  # 429 / 3036
    UNAVAILABLE = "unavailable"  # 503 / 7013
    INTERNAL = "internal"  # 500
    BAD_GATEWAY = "bad_gateway"  # 502, HTML
    GATEWAY_TIMEOUT = "gateway_timeout"  # 504
    CF_524 = "cf_524"  # 524, HTML
    CONNECTION_LOST = "connection_lost"  # the request was read, then the connection is cut; nothing is rendered
    CONNECTION_LOST_AFTER_RENDER = "connection_lost_after_render"  # the same, with the video uploaded and charged
    FAILED_STATE = "failed_state"  # 200, state Failed
    AI_GATEWAY_ERROR = "ai_gateway_error"  # 402, {"name": "AiGatewayError", "internalCode": 2021}
    GARBAGE_JSON = "garbage_json"  # 200 with a body that is no JSON, after the render
    EMPTY_BODY = "empty_body"  # 200 with no body, after the render
    TRUNCATED_BODY = "truncated_body"  # 200 whose body breaks off, after the render
    UPLOAD_MISSING = "upload_missing"  # 200 Completed, nothing was PUT
    SLOW_UPLOAD = "slow_upload"  # the PUT takes `slow_upload_seconds`


@dataclass(frozen=True)
class Answer:
    """What a fault answers with."""

    status: int
    code: int
    message: str
    html: bool = False


@dataclass(frozen=True)
class Planned:
    """A fault that waits for its call. `retry_after` in seconds is sent as the header when it is set."""

    fault: Fault
    retry_after: float | None = None
    after_render: bool = False


AFTER_RENDER = frozenset(
    {
        Fault.CONNECTION_LOST_AFTER_RENDER,
        Fault.GARBAGE_JSON,
        Fault.EMPTY_BODY,
        Fault.TRUNCATED_BODY,
        Fault.UPLOAD_MISSING,
        Fault.SLOW_UPLOAD,
    }
)
"""These strike when the video exists and is paid for, whatever `after_render` says."""

REFUSES_RESULT = frozenset(
    {Fault.MODERATED, Fault.MODERATED_424, Fault.MODERATED_424_2017, Fault.FAILED_STATE, Fault.UPLOAD_MISSING}
)
"""With these a rendered and paid video is not handed over."""

MAY_BE_CHARGED = (
    AFTER_RENDER
    | REFUSES_RESULT
    | {
        Fault.TIMEOUT,
        Fault.ABORTED,
        Fault.INTERNAL,
        Fault.BAD_GATEWAY,
        Fault.GATEWAY_TIMEOUT,
        Fault.CF_524,
    }
)
"""The rows whose "charged" is "maybe": only these can be planned with `after_render`."""

ZDR_SENTENCE = "Zero Data Retention teams must provide output.upload_url for video generation."

ANSWERS: dict[Fault, Answer] = {
    Fault.BAD_INPUT: Answer(400, 5006, "AiError: Bad input: prompt: the model refused this value"),
    Fault.UPLOAD_URL_MISSING: Answer(400, 5006, ZDR_SENTENCE),
    Fault.CREDENTIALS: Answer(401, 2009, "Unauthorized"),
    Fault.NO_CREDITS: Answer(402, 2021, "Insufficient credits for this request"),
    Fault.FORBIDDEN: Answer(403, 10000, "The token lacks a permission for this resource"),
    Fault.ACCOUNT_BLOCKED: Answer(403, 3023, "Account blocked"),
    Fault.ACCOUNT_BLOCKED_3041: Answer(403, 3041, "Account not allowed to use this service"),
    Fault.ACCOUNT_BLOCKED_5018: Answer(403, 5018, "Account not allowed to use this model"),
    Fault.NO_SUCH_MODEL: Answer(404, 3042, "Model not found"),
    Fault.NO_SUCH_MODEL_400: Answer(400, 5007, "No such model"),
    Fault.TIMEOUT: Answer(408, 3007, "Request timeout"),
    Fault.ABORTED: Answer(408, 3008, "Request was aborted"),
    Fault.TOO_LARGE: Answer(413, 3006, "Request is too large"),
    Fault.MODERATED: Answer(422, 2017, "The request was blocked by content moderation"),
    Fault.MODERATED_424: Answer(424, 2016, "The prompt was blocked by guardrails"),
    Fault.MODERATED_424_2017: Answer(424, 2017, "The response was blocked by guardrails"),
    Fault.RATE_LIMITED: Answer(429, 971, "Rate limited"),
    Fault.RATE_LIMITED_RETRY_AFTER: Answer(429, 971, "Rate limited"),
    Fault.SPEND_LIMIT: Answer(429, 2021, "The gateway's spend limit is reached"),
    Fault.OUT_OF_CAPACITY: Answer(429, 3040, "No capacity left, try again later"),
    Fault.QUOTA: Answer(429, 3036, "The account's quota is used up"),
    Fault.UNAVAILABLE: Answer(503, 7013, "The provider is unavailable"),
    Fault.INTERNAL: Answer(500, 3043, "Internal server error"),
    Fault.BAD_GATEWAY: Answer(502, 502, "Bad gateway", html=True),
    Fault.GATEWAY_TIMEOUT: Answer(504, 3046, "Gateway timeout"),
    Fault.CF_524: Answer(524, 524, "A timeout occurred", html=True),
    Fault.FAILED_STATE: Answer(200, 500, "The model could not finish this video"),
    Fault.AI_GATEWAY_ERROR: Answer(402, 2021, "Insufficient credits"),
}

_IN_PROMPT = re.compile(r"sandbox:fault=([a-z0-9_]+)(?:\*(\d{1,3}))?")


class Faults:
    """The line of planned faults: each accepted call takes the next one."""

    def __init__(self) -> None:
        self._planned: deque[Planned] = deque()
        self._prompts: Counter[str] = Counter()

    def plan(self, planned: Planned, times: int = 1) -> None:
        """Raises ValueError where a row that is never charged is asked for after the render."""
        if planned.after_render and planned.fault not in MAY_BE_CHARGED:
            raise ValueError(f"{planned.fault} is never charged: it cannot come after the render")
        if planned.fault in AFTER_RENDER:
            planned = replace(planned, after_render=True)
        if planned.fault is Fault.RATE_LIMITED_RETRY_AFTER and planned.retry_after is None:
            planned = replace(planned, retry_after=1)
        self._planned.extend([planned] * times)

    def clear(self) -> None:
        self._planned.clear()

    def take(self, prompt: object) -> Planned | None:
        """The fault for a call with this prompt, if any. Raises ValueError for an unknown name in the prompt."""
        if self._planned:
            return self._planned.popleft()
        found = _IN_PROMPT.search(prompt) if isinstance(prompt, str) else None
        if not found:
            return None
        fault = Fault(found[1])
        self._prompts[found.string] += 1
        if found[2] and self._prompts[found.string] > int(found[2]):
            return None
        self.plan(Planned(fault))
        return self._planned.popleft()

"""What each planned failure of the model means, in a few words, for the person who chooses one."""

from __future__ import annotations

import difflib

from sandbox.cloudflare import Fault
from sandbox.discord import SandboxError

GROUPS: dict[str, dict[Fault, str]] = {
    "The request is refused": {
        Fault.BAD_INPUT: "a field is not accepted",
        Fault.MODERATED: "moderation blocks the request",
        Fault.MODERATED_424: "a guardrail blocks the prompt",
        Fault.MODERATED_424_2017: "a guardrail blocks the finished video",
        Fault.TOO_LARGE: "the request is too large",
        Fault.UPLOAD_URL_MISSING: "the address for the upload is missing",
    },
    "The operator must act": {
        Fault.CREDENTIALS: "the API token is wrong",
        Fault.FORBIDDEN: "the API token lacks a permission",
        Fault.NO_CREDITS: "no credits are left",
        Fault.AI_GATEWAY_ERROR: "the same, in the gateway's own form",
        Fault.SPEND_LIMIT: "the gateway's spend limit is reached",
        Fault.QUOTA: "the account's quota is used up",
        Fault.ACCOUNT_BLOCKED: "the account is blocked",
        Fault.ACCOUNT_BLOCKED_3041: "the account may not use this service",
        Fault.ACCOUNT_BLOCKED_5018: "the account may not use this model",
        Fault.NO_SUCH_MODEL: "the model is not found",
        Fault.NO_SUCH_MODEL_400: "the same, as a bad request",
    },
    "It passes": {
        Fault.RATE_LIMITED: "too many requests",
        Fault.RATE_LIMITED_RETRY_AFTER: "too many requests, with the time to wait",
        Fault.OUT_OF_CAPACITY: "no capacity now",
        Fault.UNAVAILABLE: "the provider is away",
    },
    "Nobody knows whether a video was made": {
        Fault.TIMEOUT: "Cloudflare gives up waiting",
        Fault.ABORTED: "the request was aborted",
        Fault.INTERNAL: "an internal error",
        Fault.BAD_GATEWAY: "a bad gateway, as an HTML page",
        Fault.GATEWAY_TIMEOUT: "the gateway gives up waiting",
        Fault.CF_524: "Cloudflare's 524, as an HTML page",
        Fault.CONNECTION_LOST: "the connection breaks; nothing was made",
        Fault.CONNECTION_LOST_AFTER_RENDER: "the connection breaks; the video is there",
        Fault.GARBAGE_JSON: "the answer is not JSON; the video is there",
        Fault.EMPTY_BODY: "the answer is empty; the video is there",
        Fault.TRUNCATED_BODY: "the answer breaks off; the video is there",
    },
    "The answer comes, the video does not": {
        Fault.FAILED_STATE: "the model could not finish",
        Fault.UPLOAD_MISSING: "it says done, but no video arrives",
        Fault.SLOW_UPLOAD: "the video arrives late",
    },
}


def fault_list() -> str:
    """Every kind with its meaning, a line each, in groups."""
    lines = ["fault <kind> [times] makes the next calls of the model fail; the kinds:"]
    for group, kinds in GROUPS.items():
        lines += ["", f"{group}:", *(f"  {kind.value:<28}  {meaning}" for kind, meaning in kinds.items())]
    return "\n".join(lines)


def read_fault(typed: str) -> tuple[Fault, int]:
    """The kind and how many times. Raises SandboxError with the nearest kind, or what a number must be."""
    kind, *rest = typed.lower().split()
    if kind not in set(Fault):
        near = difflib.get_close_matches(kind, list(Fault), 1, 0.5)
        hint = f"Did you mean {near[0]}?" if near else "fault alone lists them."
        raise SandboxError(f"There is no such fault as {kind}. {hint}")
    times = rest[0] if rest else "1"
    if len(rest) > 1 or not times.isdecimal() or not 1 <= int(times) <= 100:
        raise SandboxError(f"How many times? A number from 1 to 100: fault {kind} 2")
    return Fault(kind), int(times)

"""Strangers' text made fit to show, and figures in words. Prompts are hostile: they must not ping, link or deform."""

import re
import unicodedata

import discord

from bot.model import Operation, Request
from bot.store.ledger import MICRO

PROMPT_SHOWN = 600
"""Characters of a prompt in a card or a posted message; Details has all of it."""
MARKS = 3
"""Combining marks kept on one letter. Real scripts need two or three; more is meant to spill over other text."""

_INVISIBLE = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SPACE = re.compile(r"\s+")
_SPECIAL = re.compile(r"([\\*_~`|<>\[\]()#:@/-])")

VERBS = {Operation.GENERATE: "Generate", Operation.EDIT: "Edit", Operation.EXTEND: "Extend"}


def plain(text: str, limit: int = PROMPT_SHOWN) -> str:
    """A stranger's text as one line of at most `limit` characters that Discord shows to the letter."""
    line = _SPACE.sub(" ", _INVISIBLE.sub("", text)).strip()
    line = _without_piles(line)
    if len(line) > limit:
        line = line[: limit - 1].rstrip() + "…"
    return _SPECIAL.sub(r"\\\1", line)


def _without_piles(text: str) -> str:
    kept: list[str] = []
    marks = 0
    for char in text:
        category = unicodedata.category(char)
        if category in {"Mn", "Me"}:
            marks += 1
        elif category != "Cf":  # a joiner without width between two marks does not end their pile
            marks = 0
        if marks <= MARKS:
            kept.append(char)
    return "".join(kept)


def dollars(micro: int) -> str:
    """An amount for people: $0.64. Parts of a cent are rounded up, so that no price looks lower than it is."""
    return f"${-(-micro // (MICRO // 100)) / 100:.2f}"


def seconds(amount: float) -> str:
    """A length for people: 8 s, 8.7 s."""
    return f"{round(amount, 1):g} s"


def settings(request: Request) -> str:
    """What was asked for, in a few words: Generate · 8 s · 480p · 16:9."""
    parts = [VERBS[request.operation], _length(request)]
    if request.video is None:
        parts.append(request.size.value.replace("x", "×") if request.size else request.billed_resolution.value)
    if request.aspect_ratio is not None:
        parts.append(request.aspect_ratio.value)
    if request.image is not None:
        parts.append("from a picture")
    if request.reference_images:
        count = len(request.reference_images)
        parts.append(f"{count} reference{'s' if count > 1 else ''}")
    return " · ".join(parts)


def _length(request: Request) -> str:
    # Only what is added costs, so the price must stand beside it.
    if request.operation is Operation.EXTEND and request.video is not None:
        return f"{seconds(request.video.seconds)} + {seconds(request.billed_seconds)}"
    return seconds(request.seconds)


def file_size(size: int) -> str:
    """A file's size for people: 32 KB, 4.1 MB."""
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(1, round(size / 1e3))} KB"


def mention(user_id: int) -> str:
    """A mention; whether it pings is said by the message's allowed mentions."""
    return f"<@{user_id}>"


NO_PINGS = discord.AllowedMentions.none()


def ping_only(user_id: int) -> discord.AllowedMentions:
    """Mentions off, except this member's."""
    return discord.AllowedMentions(everyone=False, roles=False, users=[discord.Object(user_id)], replied_user=False)

"""Strangers' text as it is shown, judged by rules of Discord's markdown written here anew; and figures in words."""

import math
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.model import AspectRatio, Operation, Request, Resolution, Size, SourceVideo
from cogs import text

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
TRICKS = [
    "@everyone", "@here", "<@1>", "<@!1>", "<@&1>", "<#1>", "</video generate:1>", "<id:guide>", "<t:1:R>", "<a:b:1>",
    "<:b:1>", "https://evil.example/x", "http://a", "[a](https://b)", "<https://a>", "```py\n", "`x`", "**b**", "__u__",
    "~~s~~", "||s||", "# head", "## h", "-# small", "> quote", ">>> all", "- item", "* item", "\\", "\\\\", "\n",
    "\r\n", "\u2028", "\u2029", "\x85", "a\u0301", "e" + "\u0301" * 50, "\u0301\u200d" * 20, "\u20dd" * 9, "👩‍❤️‍👨",
    "ｅ", *BIDI,
]  # fmt: skip
PROMPTS = st.lists(st.one_of(st.sampled_from(TRICKS), st.text(max_size=30)), max_size=40).map("".join)
SPECIAL = set("\\*_~`|<>[]()#:@/-")


def unescaped(shown: str) -> str:
    """What Discord draws of escaped text; fails where markdown is not escaped."""
    drawn: list[str] = []
    letters = iter(shown)
    for letter in letters:
        if letter == "\\":
            letter = next(letters)  # noqa: PLW2901 - the escape and what it escapes are one
            assert letter in SPECIAL
        else:
            assert letter not in SPECIAL, f"{letter!r} is drawn as markdown"
        drawn.append(letter)
    return "".join(drawn)


@given(PROMPTS, st.integers(1, 700))
@example("@everyone https://evil.example `x` <@1>", 600)
@example("a" + "\u0301\u200d" * 100, 600)
@example("a" + "\u20dd" * 9, 600)
@example("a" * 700, 600)
def test_no_prompt_pings_links_or_deforms(prompt: str, limit: int) -> None:
    shown = text.plain(prompt, limit)
    drawn = unescaped(shown)
    assert len(drawn) <= limit
    assert len(shown) <= 2 * limit
    assert not set(shown) & set(BIDI)
    assert len(shown.splitlines()) <= 1
    assert longest_pile(drawn) <= text.MARKS


def longest_pile(drawn: str) -> int:
    longest = pile = 0
    for letter in drawn:
        category = unicodedata.category(letter)
        pile = pile + 1 if category in {"Mn", "Me"} else pile if category == "Cf" else 0
        longest = max(longest, pile)
    return longest


def test_an_ordinary_prompt_is_left_as_it_is() -> None:
    for prompt in (
        "A fox runs, then naps.",
        "Ein schöner Fuchs",
        "ฟ้าที่สวยงาม",
        "狐が走る",
        "👩‍❤️‍👨 in Paris",
        "5 % off; 1+1=2!",
    ):
        assert text.plain(prompt) == prompt


def test_a_long_prompt_is_cut_where_it_can_be_seen() -> None:
    assert text.plain("ab " * 400, 10) == "ab ab ab…"
    assert text.plain("x" * 600) == "x" * 600
    assert text.plain("x" * 601) == "x" * 599 + "…"
    assert text.plain("a\r\n\r\n\tb") == "a b"


@pytest.mark.parametrize(
    ("micro", "shown"),
    [(0, "$0.00"), (1, "$0.01"), (640_000, "$0.64"), (640_001, "$0.65"), (699_999, "$0.70"), (1_120_000, "$1.12"),
     (12_345_600_000, "$12345.60")],
)  # fmt: skip
def test_amounts_are_rounded_up_to_the_cent(micro: int, shown: str) -> None:
    assert text.dollars(micro) == shown


@given(st.integers(0, 10**12))
def test_no_amount_looks_lower_than_it_is_nor_a_cent_higher(micro: int) -> None:
    cents = round(float(text.dollars(micro).removeprefix("$")) * 100)
    assert cents == math.ceil(micro / 10_000)


def test_what_was_asked_for_in_a_few_words() -> None:
    source = SourceVideo(key="videos/a.mp4", seconds=6.04, width=848, height=480, size=1)
    cases = {
        Request(operation=Operation.GENERATE, prompt="p"): "Generate · 8 s · 480p",
        Request(
            operation=Operation.GENERATE,
            prompt="p",
            duration=3,
            resolution=Resolution.P720,
            aspect_ratio=AspectRatio.TALL,
        ): "Generate · 3 s · 720p · 9:16",
        Request(operation=Operation.GENERATE, prompt="p", size=Size.W1280H720): "Generate · 8 s · 1280×720",
        Request(
            operation=Operation.GENERATE, prompt="p", image="images/a.png"
        ): "Generate · 8 s · 480p · from a picture",
        Request(
            operation=Operation.GENERATE, prompt="p", reference_images=("images/a.png",)
        ): "Generate · 8 s · 480p · 1 reference",
        Request(
            operation=Operation.GENERATE, prompt="p", reference_images=("images/a.png", "images/b.png")
        ): "Generate · 8 s · 480p · 2 references",
        Request(operation=Operation.EDIT, prompt="p", video=source): "Edit · 6 s",
        Request(operation=Operation.EXTEND, prompt="p", video=source, duration=4): "Extend · 6 s + 4 s",
    }
    for request, words in cases.items():
        assert text.settings(request) == words


def test_only_one_member_can_be_pinged() -> None:
    assert text.ping_only(5).to_dict() == {"parse": [], "users": [5]}
    assert text.NO_PINGS.to_dict() == {"parse": []}

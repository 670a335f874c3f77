"""The messages that follow a job, as Components V2: the status card, the posted video, and how it failed."""

from typing import Any

import discord
from discord import ui

from bot.model import can_edit, can_extend
from bot.store.records import Job, State, Video
from cogs import text
from cogs.buttons import CancelButton, VideoButton

QUEUE_COLOUR = 0x5865F2
WORK_COLOUR = 0xF0B232
FAIL_COLOUR = 0xDA373C
LINK_DAYS = 7
"""How long a link to a video that is too large to post lives. S3's longest."""


def status_card(job: Job, *, place: int | None = None) -> ui.LayoutView:
    """The card of a job that is not over: its place in line (1 is next), or since when it is being made."""
    if job.state is State.QUEUED:
        heading = "Waiting to be tried again" if place is None else f"In line: number {place}"
        colour = QUEUE_COLOUR
    else:
        heading = f"Being made: started {_since(job)}"
        colour = WORK_COLOUR
    lines = [f"**{heading}**", f"> {text.plain(job.request.prompt)}", _facts(job)]
    container: ui.Container[Any] = ui.Container(ui.TextDisplay("\n".join(lines)), accent_colour=colour)
    # Always there: it is also the mark by which a card is found whose message was not written down in time.
    container.add_item(_row(CancelButton(job.id, disabled=job.state is not State.QUEUED)))
    return _finished(container)


def video_post(job: Job, video: Video, *, file_name: str | None, link: str | None = None) -> ui.LayoutView:
    """The finished video: shown from the attachment `file_name`, or where it is too large, by a signed link."""
    view = ui.LayoutView(timeout=None)
    view.add_item(ui.TextDisplay(f"{text.mention(job.user_id)}, your video is ready."))
    if file_name is not None:
        view.add_item(ui.MediaGallery(discord.MediaGalleryItem(f"attachment://{file_name}")))
    else:
        view.add_item(ui.TextDisplay(_too_large(video, link)))
    view.add_item(ui.TextDisplay(f"> {text.plain(job.request.prompt)}\n{_facts(job, video)}"))
    view.add_item(video_buttons(video))
    # Stopped, so that discord.py keeps nothing of it in memory: its buttons are found by their custom_id.
    view.stop()
    return view


def video_buttons(video: Video) -> ui.ActionRow[Any]:
    """The five buttons. One that cannot apply is there, disabled; Details says why."""
    extend = VideoButton("extend", video.id, disabled=can_extend(video.seconds) is not None)
    edit = VideoButton("edit", video.id, disabled=can_edit(video.seconds) is not None)
    others = [VideoButton(action, video.id) for action in ("retry", "details", "delete")]
    return _row(extend, edit, *others)


def failure_card(job: Job) -> ui.LayoutView:
    """Why a job ended without a video, and the button to ask again."""
    # The model's own words may be in it, so it is shown as plainly as a prompt.
    sentence = text.plain(job.reason_text or "This request ended without a video.")
    lines = [
        f"**No video this time**, {text.mention(job.user_id)}",
        sentence,
        f"> {text.plain(job.request.prompt)}",
        f"-# {text.settings(job.request)}",
    ]
    container: ui.Container[Any] = ui.Container(ui.TextDisplay("\n".join(lines)), accent_colour=FAIL_COLOUR)
    container.add_item(_row(VideoButton("retry", job.id)))
    return _finished(container)


def cancelled_card(job: Job, by: int) -> ui.LayoutView:
    """What is left of a card after Cancel."""
    line = f"**Cancelled** by {text.mention(by)}. Nothing was charged.\n> {text.plain(job.request.prompt)}"
    return _finished(ui.Container(ui.TextDisplay(line)))


def _row(*buttons: ui.DynamicItem[Any]) -> ui.ActionRow[Any]:
    row: ui.ActionRow[Any] = ui.ActionRow()
    for button in buttons:
        row.add_item(button)
    return row


def _finished(container: "ui.Container[Any]") -> ui.LayoutView:
    view = ui.LayoutView(timeout=None)
    view.add_item(container)
    view.stop()
    return view


def _since(job: Job) -> str:
    # Discord counts this up in the reader's own client, so the card needs no edits to stay right.
    return f"<t:{(job.submitted_at or job.created_at) // 1000}:R>"


def _facts(job: Job, video: Video | None = None) -> str:
    parts = [text.settings(job.request)]
    if video is not None and video.width:
        parts.append(f"{video.width}×{video.height}")
    parts.append(text.dollars(job.price))
    if video is None:
        parts.append(f"asked for by {text.mention(job.user_id)}")
    return f"-# {' · '.join(parts)}"


def _too_large(video: Video, link: str | None) -> str:
    size = f"{video.size / 1024 / 1024:.1f} MB"
    if link is None:
        return (
            f"The video ({size}) is larger than the upload limit here, and this bot has no place to link to. "
            f"The bot's operator can hand it out: its id is `{video.id}`."
        )
    return (
        f"The video ({size}) is larger than the upload limit here: [open it]({link}). "
        f"The link works for {LINK_DAYS} days."
    )

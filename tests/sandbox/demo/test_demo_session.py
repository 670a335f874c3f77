"""The typed session on a pseudo-terminal, with the real bot behind it."""

import os
from pathlib import Path

import pytest
from processes import Terminal, left_behind


def test_a_newcomer_generates_extends_and_quits(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    with Terminal(tmp_path, "demo", "--keep", str(kept), "--render-seconds", "0.4") as typed:
        typed.until("/video generate a fox in the snow duration:4")
        typed.type("/video generate clouds over the hills duration:99 image:hills.png")
        typed.until("duration: 99 is outside 1 to 15")
        typed.type("/video generate clouds over the [bold]hills[/] duration:3 image:hills.png")
        typed.until("your video is ready")
        typed.until(r"1\W+Extend\W+2\W+Edit\W+3\W+Retry\W+4\W+Details\W+5\W+Delete")
        typed.until(r"3\.0 s  854×480  \d+ KB  kept as \S+1-generate\.mp4")
        typed.type("extend")
        typed.until(r"What happens next\?\s+Enter keeps: clouds over the \[bold\]hills\[/\]")
        typed.type("", prompt="  > ")
        typed.until("Seconds to add.*Enter keeps: 6")
        typed.type("2", prompt="  > ")
        typed.until(r"5\.0 s  854×480  \d+ KB  kept as \S+2-extend\.mp4")
        typed.type("press 4")
        typed.until(r"filmstrip\.jpg")
        typed.type("save missing/copy.mp4")
        typed.until("There is no folder missing")
        typed.type("save copy.mp4")
        typed.until(r"/copy\.mp4")
        typed.type("open")
        typed.until(r"/2-extend\.mp4")
        typed.type("quit")
        assert typed.end() == 0
        assert "2 videos are kept in" in typed.text
    assert sorted(path.name for path in kept.iterdir()) == ["1-generate.mp4", "2-extend.mp4"]
    assert (tmp_path / "copy.mp4").read_bytes() == (kept / "2-extend.mp4").read_bytes()
    assert not (tmp_path / "missing").exists()
    assert left_behind(tmp_path) == []


def test_bad_input_never_ends_the_session(tmp_path: Path) -> None:
    with Terminal(tmp_path, "demo", "--render-seconds", "0") as typed:
        for line, answer in (
            ("bogus", "is nothing that I know"),
            ("mesages", "Did you mean messages"),
            ("/", "There is no such command"),
            ("/video generate x image:/no/such.png", "There is no file /no/such.png"),
            ("/video generate x duration:soon", "a whole number, not “soon”"),
            ("/video generate", "/video generate needs a prompt"),
            ("/video generate x size:500x500", r"size: 500x500 is none of 848x480, 1696x960"),
            ("press 1", "There is no button “1” in sight"),
            ("fault nonsense", "There is no such fault as nonsense. fault alone"),
            ("fault conection_lost", "Did you mean connection_lost"),
            ("fault moderated many", "A number from 1 to 100"),
            ("fault", r"Nobody knows whether a video was made:.*connection_lost +the connection breaks"),
            ("cancel", "no message has that button now; a request can be cancelled only while it waits in line"),
            ("extend", "no message has that button now; it is under a posted video"),
            ("open there", r"save \[#3\] <path> copies it"),
            ("help render", "how many seconds a video takes"),
            ("help /video generate", r"/video generate .*prompt: .*\(needed\).*one of 848x480"),
            ("help nothing", "There is no help about"),
            ("messages #9", "There is no message #9"),
            ("as nobody", "There are alice and mira"),
            ("save", "No video was posted yet"),
            ("\x1b[Z \x00 ''\"", "help tells"),
            ("help", r"/video generate prompt:… \[image:…\]"),
            ("as mira", r"mira in "),
            ("go videos", r"mira in "),
        ):
            typed.type(line)
            typed.until(answer)
        typed.type("fault moderated")
        typed.type("/video generate a thing duration:1")
        typed.until("No video this time.*Retry")
        typed.type("retry")
        typed.type(".", prompt="  > ")
        typed.until("nothing was sent")
        typed.until("#videos> ")
        typed.press(b"\x04")
        assert typed.end() == 0
        assert "No video was made" in typed.text
    assert left_behind(tmp_path) == []


def test_a_lost_video_gives_the_prompt_back_and_holds_up_nothing(tmp_path: Path) -> None:
    with Terminal(tmp_path, "demo", "--render-seconds", "0") as typed:
        typed.type("fault connection_lost")
        typed.type("/video generate a lost one duration:1")
        typed.until(r"still looking for the video \(until its render timeout, 30 s\); go on meanwhile")
        typed.type("/video generate another one duration:1")
        typed.until("your video is ready")
        typed.type("quit")
        assert typed.end() == 0
    assert left_behind(tmp_path) == []


def test_the_help_tells_how_cancel_can_be_tried(tmp_path: Path) -> None:
    with Terminal(tmp_path, "demo", "--render-seconds", "0") as typed:
        typed.type("help cancel")
        typed.until("render 15")
        typed.type("render 6")
        for word in ("one", "two", "three"):
            typed.type(f"/video generate {word} duration:2 &")
        typed.type("cancel")
        typed.until("Cancelled")
        typed.type("quit")
        assert typed.end() == 0
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("key", [b"\x03", None])
def test_an_interrupt_while_it_renders_leaves_nothing(tmp_path: Path, key: bytes | None) -> None:
    with Terminal(tmp_path, "demo", "--render-seconds", "1") as typed:
        typed.type("/video generate a long one duration:2")
        typed.until("rendering")
        if key:
            typed.press(key)
        else:
            os.kill(typed.pid, 15)
        assert typed.end() == 0
        assert "Traceback" not in typed.text
        assert "Stopping the bot" in typed.text
    assert left_behind(tmp_path) == []

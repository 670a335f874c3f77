"""`demo --once` and `demo` without a terminal, as processes: their lines, the kept files, what stays behind."""

import re
import time
from pathlib import Path

import av
import pytest
from PIL import Image
from processes import demo, left_behind

from sandbox.demo.background import Background
from sandbox.demo.bot_process import BotFailed, BotProcess, free_port
from sandbox.demo.clips import Keeper
from sandbox.demo.once import StepFailed, walk
from sandbox.demo.show import terminal
from sandbox.demo.stand import Stand

LINE = re.compile(
    r"(?P<step>\w+)  +(?P<path>/.+\.mp4)  (?P<seconds>\d+\.\d) s  (?P<width>\d+)×(?P<height>\d+)  (?P<size>\d+) KB"
)


def test_once_prints_a_line_a_step_and_keeps_the_videos(tmp_path: Path) -> None:
    # A broken config.toml and a real token of the person's own must not get into the try-out.
    (tmp_path / "config.toml").write_text("[discord]\nnonsense = 1\n")
    picture = tmp_path / "pictures" / "posted.png"
    result = demo(
        tmp_path, "--once", "--keep", str(tmp_path / "kept"), "--picture", str(picture), CINECORD_DISCORD__TOKEN="real"
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    *steps, last = result.stdout.splitlines()
    matches = [LINE.fullmatch(line) for line in steps]
    assert [match and match["step"] for match in matches] == ["generate", "extend", "edit"]
    for match, seconds in zip(matches, (4.0, 8.0, 8.0), strict=True):
        assert match
        with av.open(match["path"], "r") as clip:
            video = clip.streams.video[0]
            assert (video.width, video.height) == (int(match["width"]), int(match["height"])) == (854, 480)
            assert float((clip.duration or 0) / av.time_base) == pytest.approx(seconds, abs=0.1)
            assert sum(1 for _ in clip.decode(video)) == seconds * 24
        assert float(match["seconds"]) == seconds
        assert Path(match["path"]).parent == tmp_path / "kept"
        assert int(match["size"]) == round(Path(match["path"]).stat().st_size / 1024)
    # 4 s made, 4 s added, an edit of 8 s: 16 s at 8 cents.
    assert re.fullmatch(r"took \d+\.\d s, would have charged \$1\.28", last)
    with Image.open(picture) as drawn:
        assert drawn.width == 900
        assert picture.stat().st_size < 150_000
    assert left_behind(tmp_path) == []


def test_without_a_terminal_it_does_what_once_does(tmp_path: Path) -> None:
    result = demo(tmp_path, "--render-seconds", "0")
    assert result.returncode == 0, result.stderr
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["generate", "extend", "edit", "took"]
    assert result.stderr == "There is no terminal to ask at, so this does what --once does.\n"
    kept = list((tmp_path / "demo-videos").glob("*/*.mp4"))
    assert sorted(path.name for path in kept) == ["1-generate.mp4", "2-extend.mp4", "3-edit.mp4"]
    assert left_behind(tmp_path) == []


def test_a_bot_that_does_not_start_is_told_with_its_cause(tmp_path: Path) -> None:
    result = demo(tmp_path, "--once", CINECORD_LOG__LEVEL="loud")
    assert result.returncode == 1
    assert result.stdout == ""
    assert "The bot has ended by itself" in result.stderr
    assert "log.level" in result.stderr
    assert left_behind(tmp_path) == []
    assert not (tmp_path / "demo-videos").exists()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = demo(tmp_path, "--once", "--render-seconds", "0", "--keep", str(tmp_path / "file" / "inside"))
    assert result.returncode == 1
    assert "The try-out failed" in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert left_behind(tmp_path) == []


def test_a_step_that_fails_and_a_violation_end_the_walk(tmp_path: Path) -> None:
    stand = Stand()
    with Background() as background:
        background.run(stand.start())
        port = free_port()
        settings = stand.environment(bot_port=port, database=f"{tmp_path}/c.db", files=tmp_path / "files")
        bot = BotProcess(settings, tmp_path)
        bot.start()
        try:
            background.run(bot.wait_ready(stand))
            stand.cloudflare.fail_next("moderated")
            with pytest.raises(StepFailed, match=r"generate: no video was posted\..*moderation"):
                list(walk(stand, background, Keeper(tmp_path / "kept"), bot.check, terminal()))
            stand.discord.violations.append("POST /somewhere: 400")
            with pytest.raises(StepFailed, match="POST /somewhere"):
                list(walk(stand, background, Keeper(tmp_path / "kept"), bot.check, terminal()))
        finally:
            bot.stop()
            background.run(stand.stop())


def test_a_bot_that_hangs_or_ends_is_told_and_stopped(tmp_path: Path) -> None:
    stand = Stand()
    with Background() as background:
        background.run(stand.start())
        # It says a word, then takes no notice of SIGTERM.
        deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
        bot = BotProcess({}, tmp_path, command=("python3", "-c", deaf))
        bot.start()
        deadline = time.monotonic() + 20
        while "deaf" not in bot.log.read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        with pytest.raises(BotFailed, match=r"not ready after 0\.3 s(?s:.*)deaf"):
            background.run(bot.wait_ready(stand, 0.3))
        bot.stop(grace=0.2)
        with pytest.raises(BotFailed, match="exit code -9"):
            bot.check()
        background.run(stand.stop())

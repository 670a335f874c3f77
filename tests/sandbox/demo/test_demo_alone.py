"""`python -m sandbox` on its own: a bot of another process finds it by the printed settings, a driver by HTTP."""

import base64
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from processes import DEADLINE, Terminal, environment, left_behind

from sandbox.demo.bot_process import free_port
from sandbox.demo.scene import scene_png


@contextmanager
def running(folder: Path, *words: str, **more: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A process with its output in a file; ended by SIGINT, which it must take well."""
    output = folder / f"{words[1]}.txt"
    with output.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *words], cwd=folder, env=environment(folder, **more), stdin=subprocess.DEVNULL,
            stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield process, output
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0, output.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def wait_for(path: Path, process: subprocess.Popen[bytes], output: Path) -> str:
    deadline = time.monotonic() + DEADLINE
    while not path.exists():
        assert process.poll() is None, output.read_text()
        assert time.monotonic() < deadline, output.read_text()
        time.sleep(0.02)
    return path.read_text()


def exported(text: str) -> dict[str, str]:
    """The settings of the `export` lines."""
    words = (shlex.split(line)[1] for line in text.splitlines() if line.startswith("export "))
    return dict(word.split("=", 1) for word in words)


class Driver:
    """Discord's control interface as somebody with curl uses it."""

    def __init__(self, address: str) -> None:
        self._http = httpx.Client(base_url=address, timeout=DEADLINE, trust_env=False)

    def get(self, path: str, **query: Any) -> Any:
        answer = self._http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, **body: Any) -> Any:
        answer = self._http.post(path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def wait_ready(self, bot: subprocess.Popen[bytes], log: Path) -> None:
        deadline = time.monotonic() + DEADLINE
        while not self.get("state")["ready"]:
            assert bot.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            self.get("changes", timeout=0.5)
        assert self.get("ready", timeout=1) == {"ready": True}

    def video(self, channel: str, number: int) -> Any:
        """The `number`th posted video, from 1; waits by `changes`."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            since = self.get("state")["changes"]
            found = [m for m in self.get(f"channels/{channel}/messages") if m["media"]]
            if len(found) >= number:
                return found[number - 1]
            self.get("changes", since=since, timeout=2)
        raise AssertionError("no video was posted")

    def close(self) -> None:
        self._http.close()


def test_a_bot_started_by_hand_posts_videos_over_http_alone(tmp_path: Path) -> None:
    ports = [str(free_port()) for _ in range(3)]
    arguments = ["--discord-port", ports[0], "--cloudflare-port", ports[1], "--bot-port", ports[2]]
    arguments += ["--render-seconds", "0", "--env-file", "bot.env", "--token", "a-token-of-mine"]
    with running(tmp_path, "-m", "sandbox", *arguments) as (sandbox, printed):
        kept = wait_for(tmp_path / "bot.env", sandbox, printed)
        settings = exported(printed.read_text())
        assert settings == dict(shlex.split(line)[0].split("=", 1) for line in kept.splitlines())
        assert settings["CINECORD_DISCORD__TOKEN"] == "a-token-of-mine"
        assert f"http://127.0.0.1:{ports[0]}/sandbox/" in printed.read_text()
        assert f"{Path(sys.executable).parent}/cinecord run" in printed.read_text()
        for port in ports[:2]:
            paths = httpx.get(f"http://127.0.0.1:{port}/sandbox/", trust_env=False).json()
            assert "/sandbox/state" in paths["GET"]
            assert len(paths["POST"]) >= 4
        with running(tmp_path, "-m", "bot", "run", **settings) as (bot, log):
            driver = Driver(f"http://127.0.0.1:{ports[0]}/sandbox/")
            try:
                driver.wait_ready(bot, log)
                drive(driver, f"http://127.0.0.1:{ports[1]}/sandbox/")
            finally:
                driver.close()
    assert left_behind(tmp_path) == []


def drive(driver: Driver, cloudflare: str) -> None:
    (guild,) = driver.get("guilds")
    assert guild["name"] == "Film club"
    assert {"alice", "mira"} <= {member["name"] for member in guild["members"]}
    channel = guild["channels"][0]["id"]
    file = {"file": "hills.png", "data": base64.b64encode(scene_png()).decode()}
    values = {"prompt": "clouds over the hills", "duration": 3, "image": file}
    sent = driver.post("slash", user="alice", channel=channel, name="video generate", values=values)
    answered = driver.get(f"interactions/{sent['id']}", wait="message", timeout=20)
    assert "Taken" in answered["original"]["text"]
    posted = driver.video(channel, 1)
    assert [button["label"] for button in posted["buttons"]] == ["Extend", "Edit", "Retry", "Details", "Delete"]
    data = httpx.get(posted["media"][0]["url"], trust_env=False).content
    assert data[4:8] == b"ftyp"
    opened = driver.post("click", user="mira", message=posted["id"], label="Edit")
    assert driver.get(f"interactions/{opened['id']}", wait="response")["modal"]["title"] == "Edit this video"
    driver.post("submit", interaction=opened["id"], values={"prompt": "in blue"})
    assert "in blue" in driver.video(channel, 2)["text"]
    assert driver.get("state")["violations"] == []
    charged = httpx.get(f"{cloudflare}state", trust_env=False).json()["charged_usd"]
    assert charged == pytest.approx(0.48)


def test_a_termination_leaves_no_complaint(tmp_path: Path) -> None:
    with running(tmp_path, "-m", "sandbox", "--discord-port", "0", "--cloudflare-port", "0", "--env-file", "s.env") as (
        process, output,
    ):  # fmt: skip
        wait_for(tmp_path / "s.env", process, output)
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0, output.read_text()
        assert "Unclosed" not in output.read_text()
        assert "Traceback" not in output.read_text()
    assert left_behind(tmp_path) == []


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = subprocess.run(
            [sys.executable, "-m", "sandbox", "--discord-port", "0", "--cloudflare-port", str(port)],
            cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=DEADLINE, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    assert result.returncode == 1
    assert "The stand-ins cannot start" in result.stderr
    assert str(port) in result.stderr
    assert "Traceback" not in result.stderr
    assert left_behind(tmp_path) == []


def test_at_a_terminal_it_offers_the_session_without_a_bot(tmp_path: Path) -> None:
    with Terminal(tmp_path, "--discord-port", "0", "--cloudflare-port", "0") as typed:
        typed.until("export CINECORD_DISCORD__TOKEN=sandbox-token")
        typed.type("/video generate something")
        typed.until("No bot is connected yet")
        typed.until("#general> ")
        os.kill(typed.pid, signal.SIGTERM)
        assert typed.end() == 0
        assert "Traceback" not in typed.text
    assert left_behind(tmp_path) == []

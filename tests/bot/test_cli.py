"""The commands as a person starts them: exit codes, clear words, no traceback, no secret."""

import asyncio
import os
import signal
import socket
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from tests.bot.parts import serving

ROOT = Path(__file__).parents[2]
SECRET = "hush-this-is-the-token"


@dataclass
class Ended:
    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err

    def plain(self) -> str:
        """What was said, after making sure that it is fit to be read."""
        assert "Traceback" not in self.text
        assert SECRET not in self.text
        return self.text


class Cinecord:
    """`python -m bot` in an empty folder, with nothing but what is given in its environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.given = {
            "CINECORD_DISCORD__TOKEN": SECRET,
            "CINECORD_DISCORD__API_URL": "http://127.0.0.1:9",
            "CINECORD_CLOUDFLARE__ACCOUNT_ID": "account",
            "CINECORD_CLOUDFLARE__API_TOKEN": SECRET,
            "CINECORD_HTTP__LISTEN": "127.0.0.1:0",
        }

    async def start(self, *command: str, **environment: str) -> asyncio.subprocess.Process:
        inherited = {name: text for name, text in os.environ.items() if not name.startswith("CINECORD_")}
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bot", *command,
            cwd=self.folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={**inherited, "PYTHONPATH": str(ROOT), **self.given, **environment},
        )  # fmt: skip

    async def run(self, *command: str, **environment: str) -> Ended:
        process = await self.start(*command, **environment)
        try:
            out, err = await asyncio.wait_for(process.communicate(), 60)
        except TimeoutError:
            process.kill()
            raise
        return Ended(process.returncode or 0, out.decode(), err.decode())


@pytest.fixture
def cinecord(tmp_path: Path) -> Cinecord:
    return Cinecord(tmp_path)


@pytest.mark.parametrize("command", ["run", "check", "migrate"])
async def test_without_settings_every_missing_key_is_named(cinecord: Cinecord, command: str) -> None:
    cinecord.given = {}
    ended = await cinecord.run(command)
    assert ended.code == 2
    assert ended.out == ""
    for key in ("discord", "cloudflare"):
        assert f"{key}: missing" in ended.plain() or f"{key}." in ended.plain()
    assert list(cinecord.folder.iterdir()) == []


async def test_wrong_settings_are_named_without_the_secret_in_them(cinecord: Cinecord) -> None:
    (cinecord.folder / "mine.toml").write_text('[http]\nlisten = "nowhere"\n[queue]\nmax_runing = 3\n')
    del cinecord.given["CINECORD_HTTP__LISTEN"]
    wrong = {"CINECORD_DISCORD__TOKEN": f"{SECRET} and more"}
    ended = await cinecord.run("run", "--config", "mine.toml", **wrong)
    assert ended.code == 2
    said = ended.plain()
    for words in ("discord.token", "http.listen", "'nowhere'", "queue.max_runing: unknown key", "max_running"):
        assert words in said


async def test_a_settings_file_that_is_not_there_is_named(cinecord: Cinecord) -> None:
    ended = await cinecord.run("check", "-c", "missing.toml")
    assert ended.code == 2
    assert "missing.toml" in ended.plain()


async def test_migrate_says_whether_there_was_anything_to_do(cinecord: Cinecord) -> None:
    first, second = await cinecord.run("migrate"), await cinecord.run("migrate")
    assert (first.code, first.out.strip()) == (0, "The database was brought up to date.")
    assert (second.code, second.out.strip()) == (0, "The database is up to date.")
    assert (cinecord.folder / "data" / "cinecord.db").is_file()
    assert SECRET not in first.text + second.text


async def test_migrate_and_run_name_a_database_that_is_none(cinecord: Cinecord) -> None:
    (cinecord.folder / "data").write_text("a file where the folder belongs")
    migrated, ran = await asyncio.gather(cinecord.run("migrate"), cinecord.run("run"))
    assert (migrated.code, ran.code) == (1, 1)
    assert "database.url" in migrated.plain()
    assert "start.failed" in ran.plain()
    assert "database.url" in ran.plain()


async def test_check_tells_troubles_and_is_not_zero(cinecord: Cinecord) -> None:
    ended = await cinecord.run("check", CINECORD_CLOUDFLARE__API_URL="http://127.0.0.1:9")
    assert ended.code == 1
    lines = [line[:8].strip() for line in ended.out.splitlines()]
    assert lines == ["ok", "trouble", "trouble", "ok", "warning"], ended.plain()


async def test_run_names_a_port_that_is_taken(cinecord: Cinecord) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = await cinecord.run("run", CINECORD_HTTP__LISTEN=f"127.0.0.1:{taken.getsockname()[1]}")
    assert ended.code == 1
    assert "http.listen" in ended.plain()


async def test_run_ends_when_discord_refuses_the_token(cinecord: Cinecord) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"message": "401: Unauthorized", "code": 0}, status=401)

    async with serving(web.get("/users/@me", refuse)) as url:
        ended = await cinecord.run("run", CINECORD_DISCORD__API_URL=url, CINECORD_LOG__FORMAT="json")
    assert ended.code == 1
    assert '"event": "discord.token_refused"' in ended.plain()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_run_waits_for_discord_and_stops_when_told(cinecord: Cinecord, number: int) -> None:
    process = await cinecord.start("run")
    assert process.stderr is not None
    try:
        async with asyncio.timeout(30):
            said = b""
            while b"discord.unreachable" not in said:
                line = await process.stderr.readline()
                assert line, said.decode()
                said += line
            process.send_signal(number)
            _, rest = await process.communicate()
    except TimeoutError:
        process.kill()
        raise
    assert process.returncode == 0
    assert "stop.done" in Ended(0, "", (said + rest).decode()).plain()
    assert b"start.no_upload_url" in said, "the operator is told at the start"


async def test_without_a_command_there_is_help(cinecord: Cinecord) -> None:
    ended = await cinecord.run()
    assert all(name in ended.plain() for name in ("demo", "run", "check", "migrate"))

"""`cinecord check`: one line a check, tried against real stand-ins, with what to do about each trouble."""

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bot.check import run_checks
from bot.config import CloudflareSettings, DiscordSettings, HttpSettings, Settings, StorageSettings
from sandbox.cloudflare import CloudflareSandbox
from tests.bot.parts import DISCORD_TOKEN, MakeSettings, files_in, for_model, opened, serving

Answer = Any


async def checked(settings: Settings) -> tuple[int, dict[str, str], str]:
    """The exit code, each check's line without its name, and everything that was said."""
    said: list[str] = []
    code = await run_checks(settings, said.append)
    lines = {line[9:].partition(":")[0]: line[:9].strip() + line[9:].partition(":")[2] for line in said}
    return code, lines, "\n".join(said)


def discord_at(url: str) -> DiscordSettings:
    return DiscordSettings.model_validate({"token": DISCORD_TOKEN, "api_url": url})


async def me(request: web.Request) -> web.Response:
    if request.headers.get("Authorization") != f"Bot {DISCORD_TOKEN}":
        return web.json_response({"message": "401: Unauthorized", "code": 0}, status=401)
    return web.json_response({"id": "1", "username": "Cinecord"})


async def test_all_is_well(make_settings: MakeSettings, model: CloudflareSandbox, tmp_path: Path) -> None:
    async with serving(web.get("/users/@me", me)) as url:
        settings = make_settings(
            discord=discord_at(url),
            cloudflare=for_model(model),
            http=HttpSettings(public_url="https://bot.example.org"),
        )
        code, lines, text = await checked(settings)
        assert code == 0
        assert lines == {
            "database": "ok empty; `cinecord run` sets it up",
            "discord": "ok logged in as 'Cinecord'",
            "cloudflare": "ok the token reads the gateway's log, which recovery after a crash uses; "
            "AI Gateway Run and the credits show at the first video",
            "storage": "ok folder takes files and gives them up",
            "uploads": "untried the model uploads to https://bot.example.org. While the bot runs, "
            "https://bot.example.org/healthz must answer from outside",
        }
        async with opened(settings, public=False):
            pass
        assert (await checked(settings))[1]["database"] == "ok revision 0001"
    assert files_in(tmp_path / "files") == []
    assert model.charged_usd == 0
    assert DISCORD_TOKEN not in text
    assert model.api_token not in text


async def trouble(settings: Settings, name: str) -> str:
    code, lines, text = await checked(settings)
    assert code == 1
    assert lines[name].startswith("trouble")
    assert len(lines) == 5, "the other checks are made all the same"
    assert DISCORD_TOKEN not in text
    assert "Traceback" not in text
    return lines[name]


async def test_a_refused_token(make_settings: MakeSettings) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"message": "401: Unauthorized", "code": 0}, status=401)

    async with serving(web.get("/users/@me", refuse)) as url:
        assert "discord.token: copy it again" in await trouble(make_settings(discord=discord_at(url)), "discord")


@pytest.mark.parametrize("body", ["<html>hello</html>", "[]", "{}", "7"])
async def test_something_else_at_discords_address(make_settings: MakeSettings, body: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=body)

    async with serving(web.get("/users/@me", answer)) as url:
        assert "is not Discord" in await trouble(make_settings(discord=discord_at(url)), "discord")


async def test_discord_away_or_broken(make_settings: MakeSettings) -> None:
    async def broken(_: web.Request) -> web.Response:
        return web.Response(status=503)

    async with serving(web.get("/users/@me", broken)) as url:
        assert "503" in await trouble(make_settings(discord=discord_at(url)), "discord")
    assert "cannot reach 127.0.0.1" in await trouble(make_settings(discord=discord_at(url)), "discord")


async def test_a_refused_cloudflare_token(make_settings: MakeSettings, model: CloudflareSandbox) -> None:
    wrong = CloudflareSettings.model_validate(
        {"account_id": model.account_id, "api_token": "wrong-token", "api_url": model.api_url}
    )
    said = await trouble(make_settings(cloudflare=wrong, discord=discord_at("http://127.0.0.1:9")), "cloudflare")
    assert "make one with the permissions AI Gateway Run" in said
    assert "wrong-token" not in said


async def test_a_storage_that_takes_nothing(make_settings: MakeSettings, tmp_path: Path) -> None:
    (tmp_path / "files").write_text("a file")
    settings = make_settings(discord=discord_at("http://127.0.0.1:9"))
    assert "cannot keep" in await trouble(settings, "storage")


async def test_a_database_that_is_none_or_newer(make_settings: MakeSettings, tmp_path: Path) -> None:
    settings = make_settings(discord=discord_at("http://127.0.0.1:9"))
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "cinecord.db"
    path.write_bytes(b"no database at all" * 100)
    assert "not a database" in await trouble(settings, "database")
    path.unlink()
    async with opened(settings) as services:
        newer = "UPDATE alembic_version SET version_num = '9999'"
        await services.jobs._db.write(lambda connection: connection.exec_driver_sql(newer).close())
    assert "newer Cinecord" in await trouble(settings, "database")


@pytest.mark.parametrize("kind", ["folder", "s3"])
async def test_where_the_model_may_upload_to(make_settings: MakeSettings, kind: str) -> None:
    s3 = {"bucket": "b", "endpoint": "http://127.0.0.1:9", "access_key_id": "i", "secret_access_key": "hush-s3-key"}
    storage = {} if kind == "folder" else {"storage": StorageSettings.model_validate({"kind": "s3", "s3": s3})}
    settings = make_settings(discord=discord_at("http://127.0.0.1:9"), **storage)
    from bot.check import _upload_advice

    line = _upload_advice(settings)
    if kind == "s3":
        assert line.startswith("ok       uploads: the model uploads to the bucket")
    else:
        assert line.startswith("warning  uploads")
        assert "http.public_url" in line
        assert 'storage.kind = "s3"' in line
    assert "hush" not in line

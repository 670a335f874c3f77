"""Settings: file, environment and secret files, each problem named with a fix, and no secret in any text."""

import json
import re
import tomllib
import traceback
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from bot.config import CloudflareSettings, DiscordSettings, Settings, StorageKind, is_loopback
from bot.errors import ConfigError
from bot.model import Resolution

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
REQUIRED = {
    "CINECORD_DISCORD__TOKEN": "hush.discord.token",
    "CINECORD_CLOUDFLARE__ACCOUNT_ID": "acc0",
    "CINECORD_CLOUDFLARE__API_TOKEN": "hush-cloudflare",
}


def refusal(tmp_path: Path, toml: str = "", **environ: str) -> str:
    """The text of the ConfigError; also looks for secrets in all that a log could show of it."""
    file = tmp_path / "config.toml"
    file.write_text(toml)
    with pytest.raises(ConfigError) as caught:
        Settings.load(file, REQUIRED | environ)
    shown = "".join(traceback.format_exception(caught.value, chain=True)) + repr(caught.value)
    assert "hush" not in shown
    return str(caught.value)


def test_the_environment_alone_is_enough_and_the_rest_are_defaults() -> None:
    settings = Settings.load(None, REQUIRED)
    assert settings.discord.token.get_secret_value() == "hush.discord.token"
    assert settings.discord.cdn_hosts == ("cdn.discordapp.com", "media.discordapp.net")
    assert settings.cloudflare.price_per_second == {Resolution.P480: Decimal("0.08"), Resolution.P720: Decimal("0.14")}
    assert (settings.http.host, settings.http.port) == ("127.0.0.1", 8080)
    assert settings.storage.kind is StorageKind.FOLDER
    assert settings.budget.monthly_usd == 0


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(
        '[discord]\ntoken = "from-file"\nsync_guild = 7\n[queue]\nmax_running = 9\nper_user_running = 3\n'
        '[cloudflare]\nprice_per_second = { "480p" = 0.1, "720p" = 0.2 }\n'
    )
    settings = Settings.load(
        file,
        REQUIRED
        | {
            "CINECORD_QUEUE__MAX_RUNNING": "2",
            "CINECORD_DISCORD__CDN_HOSTS": "127.0.0.1:8081, CDN.test",
            "CINECORD_STORAGE__S3__REGION": "weur",
            "CINECORD_DISCORD__API_URL": "http://127.0.0.1:9/api/v10/",
        },
    )
    assert (settings.queue.max_running, settings.queue.per_user_running, settings.discord.sync_guild) == (2, 3, 7)
    assert settings.discord.token.get_secret_value() == "hush.discord.token"
    assert settings.discord.cdn_hosts == ("127.0.0.1:8081", "cdn.test")
    assert settings.discord.api_url == "http://127.0.0.1:9/api/v10"
    assert settings.cloudflare.price_per_second[Resolution.P480] == Decimal("0.1")
    assert settings.storage.s3.region == "weur"


def test_lists_and_prices_are_json_in_the_environment() -> None:
    environ = REQUIRED | {
        "CINECORD_DISCORD__CDN_HOSTS": '["a.test"]',
        "CINECORD_CLOUDFLARE__PRICE_PER_SECOND": '{"480p": 0.05, "720p": "0.1"}',
    }
    settings = Settings.load(None, environ)
    assert settings.discord.cdn_hosts == ("a.test",)
    assert settings.cloudflare.price_per_second[Resolution.P480] == Decimal("0.05")


def test_the_file_is_named_by_the_variable_or_lies_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config.toml").write_text("[queue]\nmax_running = 11")
    Path("other.toml").write_text("[queue]\nmax_running = 12")
    Path("third.toml").write_text("[queue]\nmax_running = 13")
    named = REQUIRED | {"CINECORD_CONFIG": "other.toml"}
    assert Settings.load(None, REQUIRED).queue.max_running == 11
    assert Settings.load(None, named).queue.max_running == 12
    assert Settings.load(Path("third.toml"), named).queue.max_running == 13


def test_the_constructor_reads_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CINECORD_QUEUE__MAX_RUNNING", "77")
    monkeypatch.setenv("QUEUE", "{}")
    settings = Settings.load(None, REQUIRED)
    copy = Settings(discord=settings.discord, cloudflare=settings.cloudflare)
    assert copy.queue.max_running == 4


SECRETS = [
    ("DISCORD__TOKEN", "discord.token"),
    ("CLOUDFLARE__API_TOKEN", "cloudflare.api_token"),
    ("STORAGE__S3__ACCESS_KEY_ID", "storage.s3.access_key_id"),
    ("STORAGE__S3__SECRET_ACCESS_KEY", "storage.s3.secret_access_key"),
]


@pytest.mark.parametrize(("variable", "key"), SECRETS)
def test_a_secret_comes_from_a_file_without_its_line_end(tmp_path: Path, variable: str, key: str) -> None:
    file = tmp_path / "secret"
    file.write_text("hush-from-file\r\n")
    environ = {name: text for name, text in REQUIRED.items() if name != f"CINECORD_{variable}"}
    settings = Settings.load(None, environ | {f"CINECORD_{variable}_FILE": str(file)})
    found: Any = settings
    for part in key.split("."):
        found = getattr(found, part)
    assert found.get_secret_value() == "hush-from-file"


@pytest.mark.parametrize(("variable", "key"), SECRETS)
def test_a_secret_file_that_is_no_use_is_named(tmp_path: Path, variable: str, key: str) -> None:
    empty, binary, good = tmp_path / "empty", tmp_path / "binary", tmp_path / "good"
    empty.write_text("\n")
    binary.write_bytes(b"\xff\xfe\x00")
    good.write_text("hush")
    name = f"CINECORD_{variable}"
    without = {name: ""}
    for path, problem in (
        (tmp_path / "none", "cannot be read (No such file or directory)"),
        (tmp_path, "cannot be read (Is a directory)"),
        (empty, "is empty"),
        (binary, "is not a text file"),
    ):
        text = refusal(tmp_path, **without | {f"{name}_FILE": str(path)})
        assert f"{key}_file: '{path}' {problem}" in text
        assert f"{key}: missing" not in text
    text = refusal(tmp_path, **{name: "hush-1", f"{name}_FILE": str(good)})
    assert f"{key}_file: given together with {key}" in text


PROBLEMS = [
    ('[discord]\ntokne = "hush"', "discord.tokne: unknown key. Did you mean discord.token?"),
    ("[queues]\nmax_running = 1", "queues: unknown key. Did you mean queue?"),
    ("[storage.s3]\nbukcet = 'x'", "storage.s3.bukcet: unknown key. Did you mean storage.s3.bucket?"),
    ("[log]\nzzz = 1", "log.zzz: unknown key. Known here: level, format."),
    ("queue = 5", "queue: must be a section. Write [queue]"),
    ("[queue]\nmax_running = 0", "queue.max_running: 0 must be greater than 0. The default is 4."),
    ("[queue]\nmax_running = true", "queue.max_running: True must be a number"),
    ("[queue]\nlease_seconds = nan", "queue.lease_seconds: nan must be"),
    ("[queue]\nretry_base_seconds = -1", "queue.retry_base_seconds: -1 must be greater than 0"),
    ("[cloudflare]\ntimeout_seconds = 9", "cloudflare.timeout_seconds: 9 must be greater than or equal to 10"),
    ("[cloudflare]\ntimeout_seconds = 3601", "cloudflare.timeout_seconds: 3601 must be less than or equal to 3600"),
    ('[cloudflare]\nprice_per_second = { "480p" = 1 }', "needs a price for 720p too"),
    ('[cloudflare]\nprice_per_second = { "480p" = 1, "720p" = -1 }', "cloudflare.price_per_second.720p: -1 must be"),
    ('[cloudflare]\nprice_per_second = { "1080p" = 1 }', "cloudflare.price_per_second.1080p: "),
    ('[cloudflare]\napi_url = "http://api.test"', "cloudflare.api_url: 'http://api.test' must start with https://"),
    ('[cloudflare]\napi_url = "https://u:hush@api.test"', "cloudflare.api_url: must be a URL"),
    ('[cloudflare]\nmodel = ""', "cloudflare.model: "),
    ('[cloudflare]\ngateway_id = "a/b"', "cloudflare.gateway_id: 'a/b' "),
    ("[discord]\ncdn_hosts = []", "discord.cdn_hosts: "),
    ('[discord]\ncdn_hosts = ["https://cdn.test"]', "discord.cdn_hosts.0: 'https://cdn.test' "),
    ("[discord]\nsync_guild = -1", "discord.sync_guild: -1 must be greater than 0"),
    ('[database]\nurl = "sqlite:///x.db"', "write sqlite+aiosqlite:///x.db"),
    ('[database]\nurl = "postgresql+asyncpg://u:hush@db/c"', "database.url: is not supported yet"),
    ('[database]\nurl = "sqlite+aiosqlite://"', "must name a file"),
    ('[database]\nurl = "sqlite+aiosqlite:///:memory:"', "must name a file"),
    ('[storage]\nkind = "ftp"', "storage.kind: 'ftp' must be 'folder' or 's3'. The default is folder."),
    ('[storage]\nkind = "s3"', "needs storage.s3.bucket, storage.s3.access_key_id, storage.s3.secret_access_key"),
    ('[storage.s3]\nendpoint = "http://minio.test"', "storage.s3.endpoint: "),
    ('[storage.s3]\nsecret_access_key = "hush hush"', "storage.s3.secret_access_key: has a space"),
    *[
        (f'[http]\nlisten = "{listen}"', f"http.listen: '{listen}' must be host:port")
        for listen in ("8080", ":8080", "localhost", "localhost:65536", "::1:80", "[::1]")
    ],
    ('[http]\npublic_url = "ftp://a.test"', "http.public_url: 'ftp://a.test' must start with https://"),
    ('[http]\npublic_url = "https://a.test/?x=1"', "must not have a query"),
    ('[http]\npublic_url = "example.org"', "http.public_url: 'example.org' must be a URL"),
    ('[http]\npublic_url = "http://10.0.0.1"', "must start with https://"),
    ("[budget]\nmonthly_usd = -1", "budget.monthly_usd: -1 must be greater than or equal to 0"),
    ('[log]\nlevel = "loud"', "log.level: 'loud' must be 'debug', 'info', 'warning' or 'error'. The default is info."),
    ('[log]\nformat = "xml"', "log.format: 'xml' must be 'console' or 'json'"),
]


@pytest.mark.parametrize(("toml", "text"), PROBLEMS)
def test_a_problem_names_its_key_and_a_fix(tmp_path: Path, toml: str, text: str) -> None:
    assert text in refusal(tmp_path, toml)


def test_all_problems_are_listed_at_once(tmp_path: Path) -> None:
    text = refusal(
        tmp_path, '[queue]\nmax_running = 0\n[log]\nlevel = "x"', CINECORD_DISCORD__TOKEN="", CINECORD_FOO__BAR="hush"
    )
    assert "discord.token: missing. Set token in [discord], or CINECORD_DISCORD__TOKEN" in text
    assert "foo (from CINECORD_FOO__BAR): unknown key." in text
    assert {"queue.max_running", "log.level"} <= set(re.findall(r"^  (\S+):", text, re.MULTILINE))


def test_nothing_given_says_what_is_needed() -> None:
    with pytest.raises(ConfigError, match=r"(?s)discord\.token: .*cloudflare\.account_id: .*cloudflare\.api_token: "):
        Settings.load(None, {})


def test_a_wrong_variable_is_named(tmp_path: Path) -> None:
    text = refusal(tmp_path, CINECORD_DISCORD__TOKNE="hush")
    assert "discord.tokne (from CINECORD_DISCORD__TOKNE): unknown key. Did you mean discord.token?" in text
    assert "storage.s3 (from CINECORD_STORAGE__S3): must be a section" in refusal(tmp_path, CINECORD_STORAGE__S3="x")
    text = refusal(tmp_path, CINECORD_QUEUE__MAX_RUNNING="many")
    assert "queue.max_running (from CINECORD_QUEUE__MAX_RUNNING): 'many' must be a valid integer" in text


def test_variables_of_other_forms_are_left_alone() -> None:
    Settings.load(None, REQUIRED | {"CINECORD_PORT": "tcp://10.0.0.1:80", "CINECORD_QUEUE__MAX_RUNNING": ""})


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"[discord\n", "is not TOML"), (b"\xff\xfe", "is not UTF-8"), (None, "cannot be read")],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, problem: str) -> None:
    file = tmp_path / "broken.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=re.escape(f"{file} {problem}")):
        Settings.load(file, REQUIRED)


@pytest.mark.parametrize(
    ("listen", "expected"),
    [("[::1]:8080", ("::1", 8080)), ("0.0.0.0:0", ("0.0.0.0", 0)), ("localhost:1", ("localhost", 1))],
)
def test_addresses_to_listen_on(listen: str, expected: tuple[str, int]) -> None:
    http = Settings.load(None, REQUIRED | {"CINECORD_HTTP__LISTEN": listen}).http
    assert (http.host, http.port) == expected


@pytest.mark.parametrize("url", ["https://a.test/bot/", "http://localhost:80/bot/", "http://[::1]:80/bot//"])
def test_a_public_url_loses_its_last_slash(url: str) -> None:
    settings = Settings.load(None, REQUIRED | {"CINECORD_HTTP__PUBLIC_URL": url})
    assert settings.http.public_url == url.rstrip("/")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1", "LOCALHOST"])
def test_this_machine(host: str) -> None:
    assert is_loopback(host)
    assert not is_loopback(f"{host}.example.org")
    assert not is_loopback("10.0.0.1")
    assert not is_loopback(None)


def test_no_secret_is_ever_shown(tmp_path: Path) -> None:
    keys = {"CINECORD_STORAGE__S3__ACCESS_KEY_ID": "hush1", "CINECORD_STORAGE__S3__SECRET_ACCESS_KEY": "hush2"}
    bucket = {"CINECORD_STORAGE__KIND": "s3", "CINECORD_STORAGE__S3__BUCKET": "clips"}
    settings = Settings.load(None, REQUIRED | keys | bucket)
    assert settings.storage.s3.bucket == "clips"
    for text in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.model_dump())):
        assert "hush" not in text
    for name in [*REQUIRED, *keys]:
        if name != "CINECORD_CLOUDFLARE__ACCOUNT_ID":
            assert "has a space" in refusal(tmp_path, **{name: "hush\nhush"})
    assert "cloudflare.account_id" in refusal(tmp_path, CINECORD_CLOUDFLARE__ACCOUNT_ID="hush.pasted.token")


def test_a_section_made_by_hand_shows_no_secret_either() -> None:
    with pytest.raises(ValidationError) as caught:
        DiscordSettings.model_validate({"token": "hush hush", "tokne": "hush"})
    assert "hush" not in str(caught.value)


def keys_of(kind: type[BaseModel], prefix: str = "") -> dict[str, Any]:
    """Every dotted key of the settings, with its default (None where it is required or has none)."""
    found: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= keys_of(field.annotation, f"{prefix}{name}.")
        else:
            default = None if field.is_required() else field.get_default(call_default_factory=True, validated_data={})
            found[f"{prefix}{name}"] = default
    return found


def test_the_example_has_every_key_with_its_default_and_a_reason(tmp_path: Path) -> None:
    lines = EXAMPLE.read_text().splitlines()
    section, seen = "", {}
    for above, line in zip(["", *lines], lines, strict=False):
        if header := re.fullmatch(r"\[(.+)\]", line):
            section = header[1]
        elif entry := re.fullmatch(r"(# )?(\w+) = (.+)", line):
            seen[f"{section}.{entry[2]}"] = None if entry[1] else tomllib.loads(f"x = {entry[3]}")["x"]
            assert re.match(r"# (?!\w+ = )", above), f"{line}: has no comment above it"
    defaults = keys_of(Settings)
    assert set(seen) == set(defaults)
    filled = EXAMPLE.read_text()
    for key, text in (("token", "t0"), ("account_id", "a0"), ("api_token", "c0")):
        filled = re.sub(rf'^{key} = ""$', f'{key} = "{text}"', filled, flags=re.MULTILINE)
    file = tmp_path / "config.toml"
    file.write_text(filled)
    loaded = Settings.load(file, {})
    bare = Settings(
        discord=DiscordSettings.model_validate({"token": "t0"}),
        cloudflare=CloudflareSettings.model_validate({"account_id": "a0", "api_token": "c0"}),
    )
    assert json.loads(loaded.model_dump_json()) == json.loads(bare.model_dump_json())
    assert [key for key, value in seen.items() if value is None and defaults[key] is not None] == []

"""The operator's settings: a TOML file and the environment, checked as a whole before anything starts.

`[section] key` is `CINECORD_SECTION__KEY` in the environment, which wins. A secret can be in a file (`token_file`).
Unknown keys are refused. No text made here ever holds a secret.
"""

import ipaddress
import json
import os
import re
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from bot.config_sources import ENV_PREFIX, ConfigSources
from bot.model import Resolution

DEFAULT_FILE = Path("config.toml")


def is_loopback(host: str | None) -> bool:
    """Whether a host name or address is this machine itself: the only place where plain HTTP is good enough."""
    if host is None:
        return False
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _url(text: str) -> str:
    parts = urlsplit(text)
    if not parts.hostname or parts.username is not None or not text.isprintable() or " " in text:
        raise ValueError("must be a URL such as https://example.org, without a user name")
    if parts.query or parts.fragment:
        raise ValueError("must not have a query or a fragment: leave out what follows ? or #")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise ValueError("must start with https:// (http:// is for this machine's own address only)")
    _ = parts.port  # raises ValueError for a port that is none
    return text.rstrip("/")


def _database_url(text: str) -> str:
    scheme, _, rest = text.partition("://")
    if scheme == "sqlite":
        raise ValueError(f"needs its driver named: write sqlite+aiosqlite://{rest}")
    if scheme != "sqlite+aiosqlite":
        raise ValueError("is not supported yet: only sqlite+aiosqlite is, such as sqlite+aiosqlite:///data/cinecord.db")
    if not rest.startswith("/") or rest in {"/", "/:memory:"}:
        raise ValueError("must name a file: sqlite+aiosqlite:///data/cinecord.db")
    return text


def split_address(text: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[::1]:port`; port 0 lets the system choose. Raises ValueError."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})", text)
    if match is None or int(match[3]) > 65535:
        raise ValueError("must be host:port, such as 127.0.0.1:8080 or [::1]:8080")
    if match[1]:
        ipaddress.IPv6Address(match[1])
    return match[1] or match[2], int(match[3])


def _address(text: str) -> str:
    split_address(text)
    return text


def _hosts(value: object) -> object:
    if not isinstance(value, str):
        return value
    return json.loads(value) if value.lstrip().startswith("[") else [host.strip() for host in value.split(",")]


def _prices(value: object) -> object:
    return json.loads(value, parse_float=Decimal) if isinstance(value, str) else value


def _both_prices(prices: dict[Resolution, Decimal]) -> dict[Resolution, Decimal]:
    missing = [str(name) for name in Resolution if name not in prices]
    if missing:
        raise ValueError(f'needs a price for {" and ".join(missing)} too: {{ "480p" = 0.08, "720p" = 0.14 }}')
    return prices


def _no_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic collects ValueErrors
    return value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _filled(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if not text:
        raise ValueError("is empty")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("has a space, a line break or another character that no such secret has: copy it again")
    return secret


Secret = Annotated[SecretStr, AfterValidator(_filled)]
HttpUrl = Annotated[str, AfterValidator(_url)]


def _identifier(text: str) -> str:
    if not text:
        raise ValueError("is empty")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text):
        raise ValueError("must be letters, digits, - and _ only, as Cloudflare's dashboard shows it")
    return text


Identifier = Annotated[str, AfterValidator(_identifier)]
Host = Annotated[str, BeforeValidator(_lower), Field(pattern=r"^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?$")]
Count = Annotated[int, BeforeValidator(_no_bool), Field(gt=0)]
Seconds = Annotated[float, BeforeValidator(_no_bool), Field(gt=0, allow_inf_nan=False)]
Dollars = Annotated[Decimal, BeforeValidator(_no_bool), Field(ge=0)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class DiscordSettings(Section):
    """`api_url` also sends the gateway there; `cdn_hosts` (host or host:port) are where attachments may come from."""

    token: Secret
    token_file: Path | None = None
    api_url: HttpUrl = "https://discord.com/api/v10"
    cdn_hosts: Annotated[tuple[Host, ...], BeforeValidator(_hosts), Field(min_length=1)] = (
        "cdn.discordapp.com",
        "media.discordapp.net",
    )
    sync_guild: Annotated[int, BeforeValidator(_no_bool), Field(gt=0, lt=2**64)] | None = None


class CloudflareSettings(Section):
    """`timeout_seconds` is the render timeout; `price_per_second` is US dollars per second of video."""

    account_id: Identifier
    api_token: Secret
    api_token_file: Path | None = None
    api_url: HttpUrl = "https://api.cloudflare.com/client/v4"
    gateway_id: Identifier | None = None
    model: Annotated[str, Field(pattern=r"^[A-Za-z0-9@._/-]+$")] = "xai/grok-imagine-video-1.5-preview"
    timeout_seconds: Annotated[float, BeforeValidator(_no_bool), Field(ge=10, le=3600)] = 900
    price_per_second: Annotated[dict[Resolution, Dollars], BeforeValidator(_prices), AfterValidator(_both_prices)] = (
        Field(default_factory=lambda: {Resolution.P480: Decimal("0.08"), Resolution.P720: Decimal("0.14")})
    )


class DatabaseSettings(Section):
    url: Annotated[str, AfterValidator(_database_url)] = "sqlite+aiosqlite:///data/cinecord.db"


class StorageKind(StrEnum):
    FOLDER = "folder"
    S3 = "s3"


class S3Settings(Section):
    """A bucket of any S3-compatible store; `endpoint` None is Amazon's own."""

    bucket: str = ""
    endpoint: HttpUrl | None = None
    region: str = "auto"
    access_key_id: Secret | None = None
    access_key_id_file: Path | None = None
    secret_access_key: Secret | None = None
    secret_access_key_file: Path | None = None
    prefix: str = ""


class StorageSettings(Section):
    kind: StorageKind = StorageKind.FOLDER
    path: Path = Path("data/files")
    s3: S3Settings = S3Settings()

    @model_validator(mode="after")
    def _bucket_is_complete(self) -> Self:
        needed = ("bucket", "access_key_id", "secret_access_key")
        missing = [f"storage.s3.{name}" for name in needed if not getattr(self.s3, name)]
        if self.kind is StorageKind.S3 and missing:
            raise ValueError(f'kind = "s3" needs {", ".join(missing)}: set them, or use kind = "folder"')
        return self


class HttpSettings(Section):
    """`listen` is where the bot's own web server binds; `public_url` is how the world reaches it."""

    listen: Annotated[str, AfterValidator(_address)] = "127.0.0.1:8080"
    public_url: HttpUrl | None = None

    @property
    def host(self) -> str:
        return split_address(self.listen)[0]

    @property
    def port(self) -> int:
        """0 lets the system choose."""
        return split_address(self.listen)[1]


class QueueSettings(Section):
    """How many jobs run and wait; `retry_base_seconds` is the first delay of the exponential ones."""

    max_running: Count = 4
    per_guild_running: Count = 2
    per_guild_waiting: Count = 50
    per_user_running: Count = 1
    per_user_waiting: Count = 5
    retry_base_seconds: Seconds = 5.0
    lease_seconds: Seconds = 60.0


class BudgetSettings(Section):
    """`monthly_usd` is for all servers together; 0 is no limit."""

    monthly_usd: Dollars = Decimal(0)


class LogSettings(Section):
    level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = "info"
    format: Literal["console", "json"] = "console"


class Settings(BaseSettings):
    """All settings. `Settings.load` reads them; the constructor takes ready sections and reads nothing."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    discord: DiscordSettings
    cloudflare: CloudflareSettings
    database: DatabaseSettings = DatabaseSettings()
    storage: StorageSettings = StorageSettings()
    http: HttpSettings = HttpSettings()
    queue: QueueSettings = QueueSettings()
    budget: BudgetSettings = BudgetSettings()
    log: LogSettings = LogSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)

    @classmethod
    def load(cls, path: Path | None = None, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Settings of the file at `path` (else `CINECORD_CONFIG`, else ./config.toml if there) and of `environ`.

        Relative paths in the settings are relative to the working directory. Raises ConfigError, which lists every
        problem that was found.
        """
        given = environ.get(f"{ENV_PREFIX}CONFIG")
        chosen = path or (Path(given) if given else None)
        if chosen is None and DEFAULT_FILE.is_file():
            chosen = DEFAULT_FILE
        return ConfigSources(chosen, environ).load(cls)

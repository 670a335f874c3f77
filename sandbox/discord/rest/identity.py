"""Who the bot is, where the gateway is, and fresh addresses for old attachments."""

from __future__ import annotations

from typing import Any

from sandbox.discord.errors import ApiError, Form, unknown_user
from sandbox.discord.ratelimits import Limit
from sandbox.discord.rest.router import Call, Reply, Route


def _gateway(call: Call) -> Reply:
    return Reply({"url": call.sandbox.gateway_url})


def _gateway_bot(call: Call) -> Reply:
    sandbox = call.sandbox
    start = {
        "total": 1000,
        "remaining": max(0, 1000 - sandbox.gateway.identifies),
        "reset_after": 86_400_000,
        "max_concurrency": sandbox.max_concurrency,
    }
    return Reply({"url": sandbox.gateway_url, "shards": sandbox.shards, "session_start_limit": start})


def _me(call: Call) -> Reply:
    return Reply(
        call.sandbox.bot_user.to_json() | {"verified": True, "mfa_enabled": False, "flags": 0, "locale": "en-US"}
    )


def _user(call: Call) -> Reply:
    user = call.sandbox.world.users.get(call.number("user_id"))
    if user is None:
        raise unknown_user()
    return Reply(user.to_json())


def _application(call: Call) -> Reply:
    sandbox = call.sandbox
    owner = {
        "id": "1",
        "username": "operator",
        "discriminator": "0",
        "global_name": None,
        "avatar": None,
        "public_flags": 0,
    }
    body: dict[str, Any] = {
        "id": str(sandbox.application_id),
        "name": sandbox.bot_user.name,
        "icon": None,
        "description": "",
        "summary": "",
        "bot_public": True,
        "bot_require_code_grant": False,
        "verify_key": "0" * 64,
        "flags": 0,
        "owner": owner,
        "bot": sandbox.bot_user.to_json(),
        "approximate_guild_count": len(sandbox.world.guilds),
        "integration_types_config": {"0": {}},
    }
    return Reply(body)


def _direct(call: Call) -> Reply:
    call.check_schema("CreatePrivateChannelRequest")
    user = call.sandbox.world.users.get(int(call.json.get("recipient_id") or 0))
    if user is None or user.bot:
        raise ApiError(400, 50033, "Invalid Recipient(s)", breach=False)
    return Reply(call.sandbox.world.direct(user).to_json())


def _refresh(call: Call) -> Reply:
    """Discord: `attachment_urls`, at most 50; an address that is none of Discord's comes back as it is."""
    form = Form()
    urls = form.items("attachment_urls", call.json.get("attachment_urls"), 1, 50)
    call.finish(form)
    cdn = call.sandbox.cdn
    refreshed = []
    for url in urls:
        found = cdn.find(str(url))
        fresh = None if found is None or found.deleted else cdn.url(found)
        refreshed.append({"original": url, "refreshed": fresh or url})
    return Reply({"refreshed_urls": refreshed})


ROUTES = (
    Route("GET", "/gateway", _gateway, auth=False),
    Route("GET", "/gateway/bot", _gateway_bot),
    Route("GET", "/users/@me", _me),
    Route("GET", "/users/{user_id}", _user),
    Route("GET", "/oauth2/applications/@me", _application),
    Route("GET", "/applications/@me", _application),
    Route("POST", "/users/@me/channels", _direct, Limit(10, 10.0)),
    Route("POST", "/attachments/refresh-urls", _refresh, Limit(10, 5.0)),
)

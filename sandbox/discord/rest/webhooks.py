"""The interaction's own webhook: followups and the original response, by the interaction's token."""

from __future__ import annotations

from sandbox.discord.errors import unknown_webhook
from sandbox.discord.interactions import Interaction, is_ephemeral
from sandbox.discord.ratelimits import Limit
from sandbox.discord.rest import posting
from sandbox.discord.rest.router import NOTHING, Call, Reply, Route


def _interaction(call: Call) -> Interaction:
    """The interaction whose token is in the path: 404 (10015) if unknown, 401 (50027) after its life."""
    found = call.sandbox.tokens.get(call.params["interaction_token"])
    if found is None or call.number("webhook_id") != call.sandbox.application_id:
        raise unknown_webhook()
    found.check_token()
    return found


def _followup(call: Call) -> Reply:
    found = _interaction(call)
    call.check_schema("IncomingWebhookRequestPartial")
    posting.check_create(call, found.channel, "webhook")
    original = found.original
    if original is not None and original.loading and not original.deleted:
        # The first followup fills the deferral's message, whose flag decides who sees it.
        return Reply(posting.edit(call, original, kind="webhook").to_json())
    ephemeral = is_ephemeral(call.json.get("flags"))
    message = posting.create(call, found.channel, call.json, interaction=found, ephemeral=ephemeral)
    found.followups.append(message)
    call.sandbox.touch()
    return Reply(message.to_json())


def _get(call: Call) -> Reply:
    return Reply(_interaction(call).find(call.params["message_id"]).to_json())


def _edit(call: Call) -> Reply:
    message = _interaction(call).find(call.params["message_id"])
    call.check_schema("IncomingWebhookUpdateRequestPartial")
    return Reply(posting.edit(call, message, kind="webhook").to_json())


def _delete(call: Call) -> Reply:
    posting.delete(call, _interaction(call).find(call.params["message_id"]))
    return NOTHING


_WEBHOOK = "/webhooks/{webhook_id}/{interaction_token}"
_LIMIT = Limit(5, 2.0)
ROUTES = (
    Route("POST", _WEBHOOK, _followup, _LIMIT, auth=False),
    Route("GET", _WEBHOOK + "/messages/{message_id}", _get, _LIMIT, auth=False),
    Route("PATCH", _WEBHOOK + "/messages/{message_id}", _edit, _LIMIT, auth=False),
    Route("DELETE", _WEBHOOK + "/messages/{message_id}", _delete, _LIMIT, auth=False),
)

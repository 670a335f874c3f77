"""The first answer to an interaction: `/interactions/{id}/{token}/callback`."""

from __future__ import annotations

import copy
from typing import Any

from sandbox.discord import interactions as ix
from sandbox.discord import modals
from sandbox.discord.bodies import Body
from sandbox.discord.errors import Form, unknown_interaction
from sandbox.discord.interactions import Interaction, Response
from sandbox.discord.messages import Message
from sandbox.discord.openapi import CALLBACKS
from sandbox.discord.ratelimits import Limit
from sandbox.discord.rest import posting
from sandbox.discord.rest.router import NOTHING, Call, Reply, Route

_KEYS = frozenset({"type", "data"})
_DEFER_KEYS = frozenset({"flags"})


def _callback(call: Call) -> Reply:
    found = call.sandbox.interactions.get(call.number("interaction_id"))
    if found is None or found.token != call.params["interaction_token"]:
        raise unknown_interaction()
    kind: Any = call.json.get("type") if isinstance(call.json, dict) else None
    found.may_respond(kind)
    if kind in CALLBACKS:
        call.check_schema(CALLBACKS[kind])
    form = Form()
    form.known("", call.json, _KEYS)
    call.finish(form)
    response = _read(call, found, kind, call.json.get("data"))
    found.respond(response)
    if call.request.query.get("with_response") not in {"1", "true"}:
        return NOTHING
    return Reply(_answer(found, response, kind))


def _read(call: Call, found: Interaction, kind: Any, data: Any) -> Response:
    at = call.sandbox.clock()
    name = ix.KINDS[kind]
    if kind == ix.NEW_MESSAGE:
        ephemeral = ix.is_ephemeral((data or {}).get("flags"))
        body = Body(data or {}, call.body.uploads)
        posting.check_create(call, found.channel, "response", body)
        message = posting.create(call, found.channel, body.json, interaction=found, ephemeral=ephemeral)
        return Response(name, at, ephemeral, message)
    if kind == ix.DEFERRED:
        form = Form()
        form.known("data", data or {}, _DEFER_KEYS)
        call.finish(form)
        ephemeral = ix.is_ephemeral((data or {}).get("flags"))
        return Response(name, at, ephemeral, posting.loading(call, found, ephemeral=ephemeral))
    if kind in {ix.DEFERRED_UPDATE, ix.UPDATE}:
        return Response(name, at, message=_update(call, found, kind, data))
    form = Form()
    if kind == ix.CHOICES:
        choices = ix.read_choices(form, data)
        call.finish(form)
        return Response(name, at, choices=choices)
    modals.check(form, data)
    call.finish(form)
    return Response(name, at, modal=modals.read(copy.deepcopy(data)))


def _update(call: Call, found: Interaction, kind: int, data: Any) -> Message | None:
    """The message that the component is on; a message that is gone cannot be updated, only acknowledged."""
    message = found.source
    if message is None or message.deleted:
        return None
    if kind == ix.UPDATE:
        posting.edit(call, message, data or {}, kind="response")
    return message


def _answer(found: Interaction, response: Response, kind: int) -> dict[str, Any]:
    body: dict[str, Any] = {"id": str(found.id), "type": found.kind}
    resource: dict[str, Any] = {"type": kind}
    if response.message is not None:
        body["response_message_id"] = str(response.message.id)
        body["response_message_loading"] = response.message.loading
        body["response_message_ephemeral"] = response.message.ephemeral
        if kind in {ix.NEW_MESSAGE, ix.DEFERRED, ix.UPDATE}:
            resource["message"] = response.message.to_json()
    return {"interaction": body, "resource": resource}


ROUTES = (
    Route("POST", "/interactions/{interaction_id}/{interaction_token}/callback", _callback, Limit(5, 2.0), auth=False),
)

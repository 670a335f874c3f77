"""A strict stand-in for Cloudflare's AI run endpoint on loopback, with logs and what it would have charged."""

from sandbox.cloudflare.calls import Call
from sandbox.cloudflare.faults import Fault
from sandbox.cloudflare.money import Charge
from sandbox.cloudflare.server import CloudflareSandbox

__all__ = ["Call", "Charge", "CloudflareSandbox", "Fault"]

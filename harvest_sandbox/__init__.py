"""A local server that answers as Harvest's read API does, as docs/harvest-api.md describes it."""

from .account import Account
from .clock import Clock
from .server import Sandbox

__all__ = ["Account", "Clock", "Sandbox"]

"""A local server that answers as Harvest's read API does: https://help.getharvest.com/api-v2/."""

from .account import Account
from .clock import Clock
from .server import Sandbox

__all__ = ["Account", "Clock", "Sandbox"]

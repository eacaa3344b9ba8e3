"""What Harvest has: the table of endpoints and the shape of its rows."""

from .endpoints import ENDPOINTS
from .schema import Columns, Endpoint

__all__ = ["ENDPOINTS", "Columns", "Endpoint"]

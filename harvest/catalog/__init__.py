"""What Harvest has: the table of endpoints and the shape of its rows."""

from .endpoints import BY_NAME, ENDPOINTS
from .schema import Columns, Endpoint

__all__ = ["BY_NAME", "ENDPOINTS", "Columns", "Endpoint"]

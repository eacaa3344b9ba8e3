"""What Harvest has: the table of endpoints and the shape of its rows."""

from .endpoints import BY_NAME, ENDPOINTS
from .reports import REPORTS
from .schema import Columns, Endpoint, Report

__all__ = ["BY_NAME", "ENDPOINTS", "REPORTS", "Columns", "Endpoint", "Report"]

"""Compares what the warehouse holds with Harvest's own reports, figure by figure."""

from .ledger import SUBJECTS
from .verification import MONTHS, VERIFICATION, Verification, store

__all__ = ["MONTHS", "SUBJECTS", "VERIFICATION", "Verification", "store"]

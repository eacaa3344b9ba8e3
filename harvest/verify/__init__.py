"""Compares what the warehouse holds with Harvest's own reports, figure by figure."""

from .ledger import SUBJECTS
from .verification import MONTHS, RECORDS, VERIFICATION, Verification, store

__all__ = ["MONTHS", "RECORDS", "SUBJECTS", "VERIFICATION", "Verification", "store"]

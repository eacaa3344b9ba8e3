"""Measures the source against the fewest requests that Harvest's API allows."""

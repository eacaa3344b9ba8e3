"""How Harvest is asked: requests, their limits, and the check of every answer."""

"""A page that shows the metrics: `--dashboard`. What else it needs stands in libraries.txt."""

from .serving import PORT, demand, export, has_metrics, serve

__all__ = ["PORT", "demand", "export", "has_metrics", "serve"]

"""Takes the dependencies of the package from the list that `dlt init` copies: there is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class Dependencies(MetadataHookInterface):
    """Fills in `project.dependencies`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Read the list, and add the destination that the command uses by default."""
        lines = Path(self.root, "harvest", "requirements.txt").read_text(encoding="utf-8")
        metadata["dependencies"] = [line.replace("dlt>", "dlt[duckdb]>") for line in lines.split()]

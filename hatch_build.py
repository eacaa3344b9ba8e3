"""Takes the dependencies of the package from the lists that `dlt init` copies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class Dependencies(MetadataHookInterface):
    """Fills in `project.dependencies`, and what the extra `dashboard` needs."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Read the lists, and add the destination that the command uses by default."""
        needed = self._listed("harvest", "requirements.txt")
        metadata["dependencies"] = [*needed, "dlt[duckdb]"]
        metadata["optional-dependencies"] = {
            "dashboard": self._listed("harvest", "dashboard", "libraries.txt")
        }

    def _listed(self, *path: str) -> list[str]:
        return Path(self.root, *path).read_text(encoding="utf-8").splitlines()

"""What the documents say is true."""

from __future__ import annotations

import re

import pytest
from dlt import Pipeline

from .running import ROOT, Make

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_questions(source: Make, pipeline: Pipeline) -> None:
    """Each question of the README is answered in SQL, on DuckDB and on Postgres."""
    pipeline.run(source())
    questions = re.findall(r"```sql\n(.*?)```", README, re.DOTALL)
    assert len(questions) == 3
    with pipeline.sql_client() as client:
        dataset = client.fully_qualified_dataset_name()
        for question in questions:
            rows = client.execute_sql(question.rstrip(";\n").replace("harvest_data", dataset))
            assert rows, question


@pytest.mark.parametrize(
    "phrase", re.findall(r"^\*\*(.+?)\*\*:", README.split("## Troubleshooting")[1], re.MULTILINE)
)
def test_troubleshooting(phrase: str) -> None:
    """The headings of the README's troubleshooting are words of our messages."""
    words = " ".join(
        path.read_text(encoding="utf-8")
        for path in (ROOT / "harvest" / "errors.py", ROOT / "harvest" / "cli.py")
    )
    known = re.sub(r'"\s*f?"', "", words)
    for part in re.split(r" \d+| … ?|`load`", phrase):
        assert part.strip() in known, phrase

"""What the documents say is true."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from dlt import Pipeline

from harvest.catalog import BY_NAME
from harvest.errors import REMEDIES
from harvest.run import verify
from harvest.verify import RECORDS
from harvest_sandbox import Sandbox

from .running import ROOT, Make, run_script

README = ROOT / "README.md"
PAGES = [
    README,
    *(ROOT / name for name in ("CONTRIBUTING.md", "DECISIONS.md", "harvest/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
ANYTHING = "…"
"""What stands in a heading for the part of a message that differs from case to case."""


def blocks(language: str) -> list[tuple[str, str]]:
    """Return the pages' blocks of code in a language, each with the name of its page."""
    return [
        (page.name, block)
        for page in PAGES
        for block in re.findall(
            rf"^```{language}\n(.*?)^```",
            page.read_text(encoding="utf-8"),
            re.DOTALL | re.MULTILINE,
        )
    ]


def test_questions(
    sandbox: Sandbox, source: Make, settings: dict[str, Any], pipeline: Pipeline
) -> None:
    """Each question is answered in SQL, on DuckDB and on Postgres; Postgres has no QUALIFY."""
    account = sandbox.account
    entry = next(row for row in account.rows("time_entries") if not row["is_running"])
    invoice = account.rows("invoices")[0]
    on = {"id": invoice["id"], "number": invoice["number"]}
    account.update("time_entries", entry["id"], is_billed=True, invoice=on)
    words = {word for _, question in blocks("sql") for word in re.findall(r"[a-z_]+", question)}
    asked = {word.partition("__")[0] for word in words} & BY_NAME.keys()
    pipeline.run(source(history="time_entries").with_resources(*asked, *RECORDS))
    account.update("time_entries", entry["id"], hours=Decimal("9.87"))
    pipeline.run(source(history="time_entries").with_resources("time_entries"))
    verify(pipeline, **settings)
    on_duckdb = pipeline.destination.destination_name == "duckdb"
    with pipeline.sql_client() as client:
        dataset = client.fully_qualified_dataset_name()
        for page, question in blocks("sql"):
            if on_duckdb or page != "destinations.md":
                rows = client.execute_sql(question.rstrip(";\n").replace("harvest_data", dataset))
                assert rows, question


@pytest.mark.parametrize(("page", "code"), blocks("python"))
def test_examples(
    page: str, code: str, sandbox: Sandbox, postgres_url: str, tmp_path: Path
) -> None:
    """Each example in Python runs as it stands, with its settings in the environment."""
    done = subprocess.run(  # noqa: S603 - our own examples
        [sys.executable, "-W", "error::DeprecationWarning:harvest", "-c", code],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "DESTINATION__POSTGRES__CREDENTIALS": postgres_url,
            "SOURCES__HARVEST__API_KEY": sandbox.token,
            "SOURCES__HARVEST__ACCOUNT_ID": str(sandbox.account_id),
            "SOURCES__HARVEST__BASE_URL": sandbox.base_url,
            "SOURCES__HARVEST__RATE_LIMIT": "100000",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (page, done.stderr)


def test_demo(tmp_path: Path) -> None:
    """The demo ends with what the README shows."""
    shown = README.read_text(encoding="utf-8").partition("`make demo` ends with\n")[2]
    expected = [line.split() for line in shown.partition("\n## ")[0].split("\n") if line.strip()]
    done = run_script("--demo", home=tmp_path)
    assert done.returncode == 0, done.stderr
    printed = [line.split() for line in done.stdout.splitlines()]
    for line in expected:
        if ANYTHING not in "".join(line):
            assert line in printed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links(page: Path) -> None:
    """Each link within the repository leads to a file, and to a heading of it."""
    for link in re.findall(r"\]\((?!https?://)([^)]+)\)", page.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}


PAGE_OF_ERRORS = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
HEADINGS = re.findall(r"^### (.+)$", PAGE_OF_ERRORS, re.MULTILINE)
TELLS = {"sys.exit", "parser.error", "logger.warning"}


class Told:
    """What the package can tell a user. What differs from case to case stands as `ANYTHING`.

    Attributes:
        texts: Every text in the code, docstrings left out.
        messages: Those that tell of an error or a warning, as far as the code shows it.
    """

    def __init__(self) -> None:
        self.texts: set[str] = set()
        self.messages: set[str] = set()
        for path in sorted((ROOT / "harvest").rglob("*.py")):
            self._read(ast.parse(path.read_text(encoding="utf-8")))
        (answered,) = {text for text in self.messages if f"Harvest answered {ANYTHING}" in text}
        self.messages.remove(answered)
        for status in (*REMEDIES, 500):
            self.messages.add(answered.replace(f"answered {ANYTHING}", f"answered {status}"))
        self.texts |= self.messages

    def _read(self, module: ast.Module) -> None:
        self._constants = {
            target.id: node.value
            for node in module.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        docstrings = {node.value for node in ast.walk(module) if isinstance(node, ast.Expr)}
        for node in ast.walk(module):
            if isinstance(node, (ast.Constant, ast.JoinedStr)) and node not in docstrings:
                self.texts.add(self._text(node))
            if isinstance(node, ast.ClassDef) and node.name.endswith("Error"):
                calls = (call for call in ast.walk(node) if _name(call) == "super().__init__")
                self._take(*calls)
            elif isinstance(node, ast.Call) and _name(node) in {*TELLS, "ConfigurationError"}:
                self._take(node)

    def _take(self, *calls: ast.AST) -> None:
        for call in calls:
            said = [self._text(argument) for argument in call.args]  # type: ignore[attr-defined]
            if len(said) == 3:  # as a `ConfigurationError` and its kinds take them
                said = ["`{}` {}: {}.".format(*said)]
            if re.search(r"[a-z]", said[0]):  # `sys.exit` also takes numbers
                self.messages.add(said[0])

    def _text(self, node: ast.AST) -> str:
        """Return the text that an expression makes."""
        if isinstance(node, ast.Constant):
            return str(node.value)
        if isinstance(node, ast.JoinedStr):
            return "".join(map(self._text, node.values))
        if isinstance(node, ast.Call) and _name(node).endswith(".format"):
            return self._text(node.func.value)  # type: ignore[attr-defined]
        if isinstance(node, ast.Name) and node.id in self._constants:
            return self._text(self._constants[node.id])
        return ANYTHING


def _name(node: ast.AST) -> str:
    """Return the function that a call calls; nothing for anything else."""
    return ast.unparse(node.func) if isinstance(node, ast.Call) else ""


TOLD = Told()


@pytest.mark.parametrize("message", sorted(TOLD.messages))
def test_messages_are_explained(message: str) -> None:
    """Each error and warning has a heading in docs/troubleshooting.md that is a part of it."""
    assert any(heading in message for heading in HEADINGS), message


@pytest.mark.parametrize("heading", HEADINGS)
def test_headings_are_messages(heading: str) -> None:
    """Each heading of docs/troubleshooting.md is what the package says somewhere."""
    assert any(heading in text for text in TOLD.texts), heading

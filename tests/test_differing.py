"""`children = "differing"` asks for the children of parents that differ, and for no others."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import dlt
from dlt import Pipeline

from harvest_sandbox import Sandbox
from harvest_sandbox.account import Account

from .running import Make, children_asked
from .truth import assert_equal

Edit = Callable[[Account], object]

PAID = ("invoices", "invoice_payments", "invoice_messages")
FAMILIES = (*PAID, "estimates", "estimate_messages", "users", "user_cost_rates")


def payment(account: Account) -> tuple[int, int]:
    """Return a payment's id, and that of its invoice."""
    return next(iter(account.parent_of["invoice_payments"].items()))


def asked(sandbox: Sandbox, table: str) -> set[int]:
    """Return the parents that were asked for these children."""
    return {int(path.split("/")[3]) for path in children_asked(sandbox) if path.endswith(table)}


def settled(sandbox: Sandbox) -> None:
    """Let what was edited lie a while back when the next run begins."""
    sandbox.clock.shift(minutes=10)


def test_quiet(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """Where nothing changed, no child is asked for, and no parent is sent again."""
    duck.run(source(children="differing").with_resources(*FAMILIES))
    for _ in range(2):
        sandbox.log.clear()
        duck.run(source(children="differing").with_resources(*FAMILIES))
        assert children_asked(sandbox) == []
        assert duck.last_trace
        assert duck.last_trace.last_normalize_info
        assert "invoices" not in duck.last_trace.last_normalize_info.row_counts
        assert_equal(duck, sandbox, *FAMILIES)


EDITS: dict[str, Edit] = {
    "payment deleted": lambda a: a.delete("invoice_payments", payment(a)[0]),
    "payment added": lambda a: a.add(
        "invoice_payments", {"amount": Decimal("0.01")}, payment(a)[1]
    ),
    "state": lambda a: a.update("invoices", payment(a)[1], touch=False, state="closed"),
    "stamp": lambda a: a.update("invoices", payment(a)[1], notes="stamped"),
    "due_amount": lambda a: a.update("invoices", payment(a)[1], touch=False, due_amount=Decimal(3)),
}


def test_differs(sandbox: Sandbox, source: Make, pipeline: Pipeline) -> None:
    """A parent that differs, be it without a stamp, is asked alone, and its row is loaded too."""
    pipeline.run(source(children="differing").with_resources(*PAID))
    for name, edit in EDITS.items():
        _, invoice = payment(sandbox.account)
        edit(sandbox.account)
        settled(sandbox)
        sandbox.log.clear()
        pipeline.run(source(children="differing").with_resources(*PAID))
        assert asked(sandbox, "payments") == {invoice}, name
        assert_equal(pipeline, sandbox, *PAID)


def test_parents_alone(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """Payments that went while only invoices were loaded are missed by their sum."""
    settings = {"children": "differing"}
    duck.run(source(**settings).with_resources(*PAID))
    deleted, invoice = payment(sandbox.account)
    sandbox.account.delete("invoice_payments", deleted)
    duck.run(source(full_read=True).with_resources("invoices"))
    sandbox.log.clear()
    duck.run(source(**settings).with_resources(*PAID))
    assert asked(sandbox, "payments") == {invoice}
    assert_equal(duck, sandbox, *PAID)


def test_parent_gone_and_new(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A new parent brings its children, and one that is gone takes its own along."""
    duck.run(source(children="differing").with_resources(*PAID))
    account = sandbox.account
    _, invoice = payment(account)
    model = {k: v for k, v in account.records["invoices"][invoice].items() if k != "id"}
    account.delete("invoices", invoice)
    old = account.add("invoices", {**model, "updated_at": "2015-01-01T00:00:00Z"})
    account.add("invoice_messages", {"subject": "new", "recipients": []}, old["id"])
    duck.run(source(children="differing").with_resources(*PAID))
    assert_equal(duck, sandbox, *PAID)


def test_full_read(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """What no parent tells of, a deleted message, is found by the full read that is due."""
    duck.run(source(children="differing").with_resources(*PAID))
    sandbox.account.delete("invoice_messages", max(sandbox.account.records["invoice_messages"]))
    duck.run(source(children="differing", full_read_hours=0).with_resources(*PAID))
    assert_equal(duck, sandbox, *PAID)


def test_files(source: Make, tmp_path: Path, told: list[str]) -> None:
    """A destination that can't be asked says that nothing is compared."""
    files = dlt.destinations.filesystem(str(tmp_path / "files"))
    pipeline = dlt.pipeline("files", destination=files, dataset_name="harvest_data")
    pipeline.run(source(children="differing").with_resources("invoices", "invoice_payments"))
    assert any("are not compared" in line for line in told)

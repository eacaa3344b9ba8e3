"""Puts screens together out of questions and answers: for the app, and as a file to send."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from html import escape
from pathlib import Path
from string import Template

import vl_convert

from .drawing import MIME, Spec, as_csv, as_excel, charts, explained, heading, table, words
from .questions import COUNT, FIGURES, QUESTIONS, SCREENS, Burns, Question, Weeks
from .reading import (
    CHOSEN_BY,
    MADE_OF,
    MONTH,
    MOST_ROWS,
    WEEK,
    Choice,
    Look,
    Options,
    Reading,
    Row,
    label,
)

STYLE = Path(__file__).parent / "page.css"
EXPORT = Path(__file__).parent / "page.html"

PERIODS = ("Last 3 months", "Last 6 months", "Last 12 months", "This year", "Last year",
           "Everything", "Days of my own")  # fmt: skip
USUAL, EVERYTHING, OWN = PERIODS[1], PERIODS[5], PERIODS[6]
"""Periods count whole months, this one included."""

BEGINNING = date(1900, 1, 1)
"""From when on history is whole where all of it was loaded."""

REACHING_BACK = {"budget_burn", "profit_fixed_fee", "receivables_aging", "work_in_progress"}
"""Metrics that count what came before the period."""

Embed = Callable[[Spec], str]
Downloads = Callable[[Question, list[Row]], str]


def days_of(period: str, today: date) -> tuple[date | None, date | None]:
    """Return the first and the last day of a period; None where it has no end."""
    if period == "This year":
        return today.replace(month=1, day=1), None
    if period == "Last year":
        return date(today.year - 1, 1, 1), date(today.year - 1, 12, 31)
    if period.endswith("months"):
        months = today.year * 12 + today.month - int(period.split()[1])
        return date(months // 12, months % 12 + 1, 1), None
    return None, None


@dataclass(frozen=True)
class Shown:
    """A chart as marimo shows it; of an altair chart it would make the specification three times.

    Args:
        spec: The chart in Vega-Lite.
    """

    spec: Spec

    def _mime_(self) -> tuple[str, str]:
        return MIME, json.dumps(self.spec)


@dataclass
class Page:
    """What the app shows, read anew whenever something is chosen.

    Args:
        look: Opens the warehouse.
    """

    look: Look

    def options(self) -> Options:
        """Return what can be chosen."""
        with self.look.open() as reading:
            return reading.options()

    def screen(
        self, name: str, choice: Choice, options: Options, embed: Embed, downloads: Downloads
    ) -> str:
        """Return one screen in HTML.

        Args:
            name: Which one of `SCREENS`.
            choice: What is chosen.
            options: What could be chosen.
            embed: Makes HTML of a chart.
            downloads: Makes HTML that lets a user take an answer away.
        """
        questions = [question for question in QUESTIONS if question.screen == name]
        models = {model for question in questions for model in question.tables}
        with self.look.open() as reading:
            accounts = _shown(choice, options)
            lacking = reading.lacking(accounts)

            def without(models: Iterable[str]) -> str:
                needed = {table for model in models for table in MADE_OF.get(model, ())}
                return _not_loaded(needed & lacking, several=len(accounts) > 1)

            figures = "".join(
                _no_figure(figure.title, why)
                if (why := without(figure.tables))
                else _figure(
                    figure.title, figure.kind, reading.rows(figure.sql, choice), figure.worry
                )
                for figure in FIGURES
                if figure.screen == name
            )
            cards = [
                _no_card(question, why)
                if (why := without(question.tables))
                else _card(
                    question,
                    answer(reading, question, choice, options),
                    choice,
                    embed,
                    downloads,
                )
                for question in questions
            ]
        return (
            f'<div class="harvest">{_banner(choice, options, models)}'
            f'<dl class="figures">{figures}</dl>{_cut(choice, models)}'
            f'<div class="cards">{"".join(cards)}</div></div>'
        )

    def file(self, question: Question, choice: Choice, options: Options, ending: str) -> bytes:
        """Return all rows of an answer as a file.

        Args:
            question: What is asked.
            choice: What is chosen.
            options: What could be chosen.
            ending: "csv" or "xlsx".
        """
        with self.look.open() as reading:
            rows = answer(reading, question, choice, options, None)
        return as_csv(rows) if ending == "csv" else as_excel(rows, question.title)

    def export(self, choice: Choice | None = None) -> str:
        """Return all screens as one HTML file that needs nothing else, not even a network.

        Args:
            choice: What is chosen; the usual period, if it is omitted.
        """
        options = self.options()
        choice = choice or Choice(*days_of(USUAL, options.today))
        specs: list[Spec] = []

        def embed(spec: Spec) -> str:
            specs.append(spec)
            return f'<div id="chart-{len(specs) - 1}"></div>'

        def downloads(question: Question, _: list[Row]) -> str:
            name = file_name(question)
            links = "".join(
                f'<a download="{name}.{ending}" href="data:{kind};base64,'
                f'{b64encode(self.file(question, choice, options, ending)).decode()}">{text}</a>'
                for ending, (kind, text) in FILES.items()
            )
            return f'<div class="downloads">{links}</div>'

        shown = "".join(
            f'<input type="radio" name="screen" id="screen-{n}"{" checked" * (n == 0)}>'
            f'<label for="screen-{n}">{name}</label>'
            for n, name in enumerate(SCREENS)
        )
        screens = "".join(
            f"<section>{self.screen(name, choice, options, embed, downloads)}</section>"
            for name in SCREENS
        )
        spoken = json.dumps(specs).replace("</", "<\\/")
        library = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
        return Template(EXPORT.read_text(encoding="utf-8")).substitute(
            title=escape(title(options)), style=STYLE.read_text(encoding="utf-8"), library=library,
            header=header(choice, options), shown=shown, screens=screens, specs=spoken,
        )  # fmt: skip


FILES: Mapping[str, tuple[str, str]] = {
    "csv": ("text/csv", "CSV"),
    "xlsx": ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "Excel"),
}
"""Endings of the files to take away, their types, and what they are called."""


def answer(
    reading: Reading,
    question: Question,
    choice: Choice,
    options: Options,
    most: int | None = MOST_ROWS,
) -> list[Row]:
    """Return the rows of an answer, names told apart that are the same.

    Args:
        reading: What is asked.
        question: The question.
        choice: What is chosen.
        options: What could be chosen.
        most: How many rows at most; None for all.
    """
    rows = reading.rows(question.sql, choice, most)
    if question.of_last_run:
        rows = reading.with_last_run(rows)
    if not question.label:
        return rows
    column = "person" if question.label == "user" else question.label
    accounts = {account: name for name, account in options.accounts.items()}
    named = [{**row, "id": row[f"{question.label}_id"], "name": row[column]} for row in rows]
    told_apart = label(named, accounts if len(accounts) > 1 else {})
    return [{**row, column: apart["label"]} for row, apart in zip(rows, told_apart, strict=True)]


def title(options: Options) -> str:
    """Return whose page it is."""
    names = list(options.accounts)
    return names[0] if len(names) == 1 else f"{len(names)} accounts" if names else "Harvest"


def header(choice: Choice, options: Options) -> str:
    """Return what stands above everything."""
    first = choice.first or options.first_day
    last = min(choice.last or options.today, options.today)
    span = f"{_day(first)} to {_day(last)}" if first else f"until {_day(last)}"
    chosen = [
        next((name for name, value in known.items() if value == wanted), "")
        for known, wanted in (
            (options.accounts, choice.account), (options.clients, choice.client),
            (options.people, choice.person),
        )
        if wanted is not None
    ]  # fmt: skip
    chosen += [choice.currency] if choice.currency else []
    return (
        f'<div class="harvest"><h1>{escape(title(options))}</h1>'
        f'<p class="asof">{escape(" · ".join([span, *chosen]))}</p></div>'
    )


def file_name(question: Question) -> str:
    """Return the name of an answer's file, without its ending."""
    return "".join(c if c.isalnum() else "-" for c in question.title.lower()).strip("-")


def _figure(name: str, kind: str, rows: list[Row], worry: bool) -> str:  # noqa: FBT001 - a field
    known = [row for row in rows if row["value"] is not None]
    worries = worry and any(row["value"] > 0 for row in known)
    values = "".join(
        f"<dd>{escape(words(row['value'], kind))} <small>{escape(row['unit'] or '')}</small></dd>"
        for row in known
    )
    if left_out := sum(row.get("left_out") or 0 for row in rows):
        projects = "project" if left_out == 1 else "projects"
        values += f"<dd><small>without {words(left_out, COUNT)} {projects}</small></dd>"
    return (
        f'<div class="figure{" worry" * worries}"><dt>{escape(name)}</dt>{values or "<dd>–</dd>"}'
        "</div>"
    )


def _no_figure(name: str, why: str) -> str:
    return (
        f'<div class="figure"><dt>{escape(name)}</dt><dd>–</dd><dd><small>{why}</small></dd></div>'
    )


def _no_card(question: Question, why: str) -> str:
    return _section(question, f'<p class="empty">{why}.</p>')


def _not_loaded(tables: Collection[str], *, several: bool) -> str:
    """Say which tables lack for a figure or an answer; nothing if none does."""
    names = [f"<code>{escape(table)}</code>" for table in sorted(tables)]
    if not names:
        return ""
    listed = f"{', '.join(names[:-1])} and {names[-1]}" if names[1:] else names[0]
    return f"{listed} were not loaded{' of every account' if several else ''}"


def _card(
    question: Question,
    rows: list[Row],
    choice: Choice,
    embed: Embed,
    downloads: Downloads,
) -> str:
    notes = [question.note] if question.note else []
    if unchosen := choice.without_effect(question.tables):
        notes.append(f"The {' and the '.join(unchosen)} chosen above does not choose here.")
    if lacking := [row for row in rows if row.get("months_without_profit")]:
        months = sum(row["months_without_profit"] for row in lacking)
        currencies = ", ".join(sorted({row["currency"] or "?" for row in lacking}))
        notes.append(
            f"{months:,} {'month of a project has' if months == 1 else 'months of projects have'} "
            f"no profit, since an exchange rate or a fee or its dates are missing ({currencies}): "
            "what else they have is in the figures."
        )
    if len(rows) == MOST_ROWS:
        notes.append(f"The first {MOST_ROWS:,} rows; the downloads hold all.")
    inside = f'<p class="note">{escape(" ".join(notes))}</p>' if notes and rows else ""
    if not rows:
        return _section(question, f'<p class="empty">{escape(question.empty)}</p>')
    for drawn in charts(question, rows):
        inside += f"<h3>{escape(heading(drawn.apart))}</h3>" if drawn.apart else ""
        inside += f'<p class="note">{drawn.left_out}</p>' if drawn.left_out else ""
        inside += f'{explained(drawn.legend)}<div class="chart">{embed(drawn.spec)}</div>'
    shown = table(question, rows) + downloads(question, rows)
    if question.chart:
        shown = f"<details><summary>Figures</summary>{shown}</details>"
    return _section(question, inside + shown)


def _section(question: Question, inside: str) -> str:
    wide = isinstance(question.chart, (Weeks, Burns)) or not question.chart
    return (
        f'<section class="card{" wide" * wide}"><h2>{escape(question.title)}</h2>{inside}</section>'
    )


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def _shown(choice: Choice, options: Options) -> Collection[int]:
    """Return the accounts that are shown."""
    return options.accounts.values() if choice.its_account is None else (choice.its_account,)


def _banner(choice: Choice, options: Options, models: Iterable[str]) -> str:
    """Say from when on history is whole, where something is shown that reaches back further.

    And to what time entries and expenses are limited.
    """
    shown = _shown(choice, options)
    limits = "".join(
        '<p class="banner">Time entries and expenses are limited to '
        f"{escape(limit)}{f' in account {account}' * (len(options.accounts) > 1)}: figures lack "
        "those of others, and are pale in charts.</p>"
        for account, limit in options.limits.items()
        if account in shown
    )
    first = choice.first or options.first_day
    known = [day for account, day in options.histories.items() if day and account in shown]
    whole = max(known, default=BEGINNING)
    if first and whole > first:
        lacking = "Figures of earlier days lack records, and are pale in charts."
    elif whole > BEGINNING and not REACHING_BACK.isdisjoint(models):
        lacking = (
            "Budgets, and what is open or was paid, count earlier days too, and lack their "
            "records. What is known to lack some is pale."
        )
    else:
        return limits
    return (
        f'<p class="banner">History was loaded in full from {_day(whole)} on. {lacking}</p>{limits}'
    )


def _cut(choice: Choice, models: Iterable[str]) -> str:
    """Say that weeks and months count whole, where the period cuts them."""
    first, last = choice.first, choice.last
    spans = {span for model in models for span in CHOSEN_BY.get(model, ())}
    said = []
    if WEEK in spans and (first or last):
        said.append("Weeks that the period cuts count whole.")
    ends = last and (last + timedelta(days=1)).day == 1
    if MONTH in spans and ((first and first.day > 1) or (last and not ends)):
        begin = f" from {first:%B %Y}" if first else ""
        said.append(f"Months count whole:{begin}{f' to {last:%B %Y}' if last else ' on'}.")
    return f'<p class="note">{" ".join(said)}</p>' if said else ""

"""Draws answers: charts by altair, tables in HTML, and files to take away.

Colours are the names of CSS variables, see page.css, so charts follow light and dark.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from html import escape
from typing import Any, TypeAlias

import altair as alt
from altair.utils.schemapi import debug_mode
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter

from .questions import (
    AMOUNT,
    COUNT,
    DAY,
    DAYS,
    HOURS,
    MOMENT,
    MONTH,
    QUANTITY,
    SHARE,
    SOON,
    Bars,
    Burns,
    Months,
    Question,
    Weeks,
)
from .reading import Row

Chart: TypeAlias = "alt.Chart | alt.LayerChart"

Spec: TypeAlias = "dict[str, Any]"
"""A chart in Vega-Lite."""

MIME = f"application/vnd.vegalite.{alt.SCHEMA_VERSION.partition('.')[0]}+json"

Legend: TypeAlias = "list[tuple[str, str]]"
"""What colours stand for: words and a colour. It is HTML, which breaks into lines where it must."""

Made: TypeAlias = "tuple[Chart, dict[str, list[Row]], Legend, str]"
"""A chart, its data by name, what its colours stand for, and what it leaves out, if anything.

The data stand apart, since altair copies all that a chart is made of, many times.
"""

OTHERS = "Others"

MOST_BARS = 25
LEAST_PLACES = {"months": 6, "weeks": 13}
"""So many have room, also where there are fewer: the first week of an account is no wide bar."""
MOST_TABLE_ROWS = 200

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a text begins with that Excel would compute."""

EMBEDDED = {"embedOptions": {"renderer": "svg", "actions": False}}
"""In SVG, since a canvas knows no CSS."""

FONT = "system-ui, -apple-system, 'Segoe UI', sans-serif"
INK, SOFT, LINE = "var(--ink)", "var(--soft)", "var(--line)"
PLAIN, OVER = "var(--plain)", "var(--over)"
SERIES = tuple(f"var(--series-{n})" for n in range(1, 7))
STEPS = tuple(f"var(--step-{n})" for n in range(1, 6))
"""From pale to dark, and the last one in the colour of what worries."""
CUT = alt.OpacityValue(1, condition={"test": "!datum.whole", "value": 0.4})
"""What is not whole is pale."""
PALE = "color-mix(in srgb, {} 40%, transparent)"

FULLNESS = ((0.5, "under 50 %"), (0.8, "50 to 80 %"), (1.0, "80 to 100 %"), (1.2, "100 to 120 %"))
FULLEST = "over 120 %"
WEEK_COLOURS = tuple(f"var(--week-{n})" for n in range(1, 6))


def words(value: Any, kind: str) -> str:
    """Return a value as people read it; a dash where there is none."""
    return "–" if value is None or value == "" else WORDS.get(kind, str)(value)


def _minus(number: str) -> str:
    return number.replace("-", "−")  # as wide as a digit


def _moment(moment: datetime) -> str:
    utc = moment.astimezone(timezone.utc) if moment.tzinfo else moment
    return f"{utc:%Y-%m-%d %H:%M}"


def _number(value: Any) -> str:
    return _minus(f"{value:,.2f}")


def _whole(value: Any) -> str:
    return _minus(f"{value:,.0f}")


WORDS: dict[str, Callable[[Any], str]] = {
    SHARE: lambda value: _minus(f"{float(value) * 100:,.0f} %"),
    AMOUNT: _number,
    HOURS: _number,
    QUANTITY: _number,
    COUNT: _whole,
    DAYS: _whole,
    MONTH: lambda value: f"{value:%b %Y}",
    DAY: lambda value: f"{value:%Y-%m-%d}",
    MOMENT: _moment,
}
"""How each kind of value is written."""

NUMBERS = {HOURS, AMOUNT, SHARE, COUNT, DAYS, QUANTITY}


def heading(column: str) -> str:
    """Return a column's name as people read it."""
    text = column.replace("_", " ")
    return text[:1].upper() + text[1:]


def table(question: Question, rows: Sequence[Row]) -> str:
    """Return a table in HTML."""
    kinds = question.columns
    several = {row.get("_account_id") for row in rows if row.get("_account_id")}
    if len(several) > 1:
        kinds = {"_account_id": "text", **kinds}

    def cell(tag: str, kind: str, text: str) -> str:
        numeric = ' class="number"' if kind in NUMBERS else ""
        return f"<{tag}{numeric}>{escape(text)}</{tag}>"

    head = "".join(
        cell("th", kind, "Account" if name == "_account_id" else heading(name))
        for name, kind in kinds.items()
    )
    body = "".join(
        "<tr>" + "".join(cell("td", kind, words(row[name], kind)) for name, kind in kinds.items())
        + "</tr>"
        for row in rows[:MOST_TABLE_ROWS]
    )  # fmt: skip
    more = ""
    if len(rows) > MOST_TABLE_ROWS:
        more = f'<p class="note">The first {MOST_TABLE_ROWS} rows; the downloads hold all.</p>'
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{more}"
    )


def explained(legend: Legend) -> str:
    """Return what a chart's colours stand for, in HTML."""
    if not legend:
        return ""
    parts = (
        f'<li><i style="background: {colour}"></i>{escape(text)}</li>' for text, colour in legend
    )
    return f'<ul class="legend">{"".join(parts)}</ul>'


def as_csv(rows: Sequence[Row]) -> bytes:
    """Return all columns of an answer as CSV, with a mark that lets Excel read UTF-8.

    Excel would compute a text that begins like a formula, such as a client's name; an apostrophe
    before it keeps it text.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    if rows:
        writer.writerow(rows[0])
    writer.writerows([_plain(value) for value in row.values()] for row in rows)
    return b"\xef\xbb\xbf" + text.getvalue().encode()


def as_excel(rows: Sequence[Row], title: str) -> bytes:
    """Return all columns of an answer as an Excel workbook; no text is taken for a formula."""
    book = Workbook(write_only=True)
    sheet: Any = book.create_sheet("".join(c for c in title if c.isalnum() or c == " ")[:31])
    sheet.freeze_panes = "A2"
    names = list(rows[0]) if rows else []
    for n, name in enumerate(names, 1):
        longest = max((len(str(row[name])) for row in rows[:500]), default=0)
        sheet.column_dimensions[get_column_letter(n)].width = min(max(longest, len(name)) + 2, 50)

    def cells(values: Iterable[Any], *, bold: bool = False) -> list[WriteOnlyCell]:
        made = []
        for value in values:
            cell = WriteOnlyCell(sheet)
            if isinstance(value, datetime) and value.tzinfo:
                value = value.astimezone(timezone.utc).replace(tzinfo=None)  # noqa: PLW2901
            if isinstance(value, str):
                cell.value = "".join(c for c in value if c >= " " or c in "\t\n")
                cell.data_type = "s"
            else:
                cell.value = value
            if bold:
                cell.font = Font(bold=True)
            made.append(cell)
        return made

    sheet.append(cells(names, bold=True))
    for row in rows:
        sheet.append(cells(row.values()))
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


@dataclass(frozen=True)
class Drawn:
    """A chart, with what sets it apart from others of the same answer, such as its currency."""

    apart: str
    spec: Spec
    legend: Legend
    left_out: str


def charts(question: Question, rows: list[Row]) -> list[Drawn]:
    """Draw an answer."""
    draw: dict[type, Callable[[Any, list[Row], list[Row]], Made | None]] = {
        Bars: _bars, Months: _months, Weeks: _weeks, Burns: _burns,
    }  # fmt: skip
    if not question.chart or not rows:
        return []
    parts: dict[str, list[Row]] = {}
    for row in rows:
        parts.setdefault(str(row[question.split] or "") if question.split else "", []).append(row)
    drawn = []
    with debug_mode(arg=False):  # tests check charts by Vega-Lite's schema; users would wait
        for apart, its_rows in parts.items():
            if done := draw[type(question.chart)](question.chart, its_rows, rows):
                chart, data, legend, left_out = done
                spec = {**_styled(chart).to_dict(validate=False), "datasets": data}
                drawn.append(Drawn(apart, spec, legend, left_out))
    return drawn


def _styled(chart: Chart) -> Chart:
    styled: Chart = (
        chart.properties(background="transparent", usermeta=EMBEDDED)
        .configure(font=FONT, padding=2)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=SOFT, titleColor=SOFT, gridColor=LINE, domainColor=LINE, tickColor=LINE,
            labelFontSize=12, domain=False, ticks=False, labelPadding=6,
        )
    )  # fmt: skip
    return styled


def _colours(series: tuple[int, ...], parts: int) -> list[str]:
    return [SERIES[n - 1] for n in series[:parts]]


def _some(labels: Iterable[str], *, both_ends: bool = False) -> tuple[list[str], str]:
    """Return those that a chart has room for, and words for what it leaves out."""
    every = list(dict.fromkeys(labels))
    if len(every) <= MOST_BARS:
        return every, ""
    half = MOST_BARS // 2
    some = [*every[:half], *every[half - MOST_BARS :]] if both_ends else every[:MOST_BARS]
    which = "first and last" if both_ends else "first"
    return some, f"The {which} {MOST_BARS} of {len(every):,}; Figures holds all."


def _pieces(how: Bars, rows: list[Row]) -> list[Row]:
    """Return the pieces that bars are made of."""
    values: list[Row] = []
    for row in rows:
        pieces = how.parts or (how.value,)
        for piece in pieces:
            value = row[piece]
            if value is None:
                continue
            part = str(row[how.by]) if how.by else heading(piece)
            values.append({
                "name": str(row[how.of]), "value": float(value), "part": part, "exact": value,
                "figure": words(value, how.kind), "whole": row.get("is_whole") is not False,
            })  # fmt: skip
    return values


def _is_over(how: Bars, value: float) -> bool:
    return bool(how.target and (value > how.target or (how.below and value == how.target)))


def _bars(how: Bars, rows: list[Row], _: list[Row]) -> Made | None:
    """Draw a bar below each name, with its figure at the right."""
    values = _pieces(how, rows)
    if not values:
        return None
    names, left_out = _some((v["name"] for v in values), both_ends=how.signed)
    values = [v for v in values if v["name"] in set(names)]
    totals: dict[str, Any] = {}
    for v in values:
        totals[v["name"]] = totals.get(v["name"], 0) + v.pop("exact")
    parts = [p for p in how.order if any(v["part"] == p for v in values)] or list(
        dict.fromkeys(v["part"] for v in values)
    )
    stacked = bool(how.by or how.parts)
    for v in values:
        v["place"] = parts.index(v["part"])
        v["over"] = v["value"] < 0 if how.signed else _is_over(how, v["value"])
    figures = [{"name": n, "total": words(totals[n], how.kind)} for n in names]
    y = alt.Y("name:N", sort=names, axis=None, scale=alt.Scale(paddingInner=0, paddingOuter=0))
    # A stack's pieces below zero, such as hours taken back, are drawn to the left of it.
    above, below = Counter[str](), Counter[str]()
    for v in values:
        (below if v["value"] < 0 else above)[v["name"]] += v["value"]
    most = max([*above.values(), how.target or 0])
    least = min([*below.values(), 0])
    scale = alt.Scale(domain=[least, most or 1], nice=False)
    colour: Any
    legend: Legend = []
    if stacked:
        colours = _colours(how.series, len(parts))
        if how.order:
            colours = [STEPS[how.order.index(p) - len(how.order)] for p in parts]
        colour = alt.Color("part:N", scale=alt.Scale(domain=parts, range=colours),
                           sort=parts, legend=None)  # fmt: skip
        legend = list(zip(parts, colours, strict=True))
    else:
        colour = alt.ColorValue(PLAIN, condition={"test": "datum.over", "value": OVER})
    tooltip = [alt.Tooltip("name:N", title="Name")]
    if stacked:
        tooltip.append(alt.Tooltip("part:N", title="Part"))
    tooltip.append(alt.Tooltip("figure:N", title="Figure"))
    bars = (
        alt.Chart(alt.NamedData("bars"))
        .mark_bar(height=9, yOffset=9, cornerRadius=1)
        .encode(y=y, x=alt.X("value:Q", axis=None, scale=scale, stack="zero"), color=colour,
                order=alt.Order("place:Q"), tooltip=tooltip,
                opacity=CUT)
    )  # fmt: skip
    text = alt.Chart(alt.NamedData("figures")).encode(y=y)
    layers = [
        bars,
        text.mark_text(x=0, align="left", baseline="middle", dy=-6, fontSize=13, color=INK,
                       limit=alt.ExprRef("width - 110")).encode(text="name:N"),
        text.mark_text(x="width", align="right", baseline="middle", dy=-6, fontSize=13, color=INK,
                       fontWeight=600).encode(text="total:N"),
    ]  # fmt: skip
    data = {"bars": values, "figures": figures}
    at = how.target or (0 if least < 0 else None)
    if at is not None:
        data["marks"] = [{"name": name, "at": at} for name in names]
        layers.append(
            alt.Chart(alt.NamedData("marks"))
            .mark_tick(color=INK, thickness=1.5, size=17, yOffset=9)
            .encode(y=y, x=alt.X("at:Q", axis=None, scale=scale))
        )
    chart = alt.LayerChart(layer=layers).properties(width="container", height=38 * len(names))
    return chart, data, legend, left_out


def _months(how: Months, rows: list[Row], every: list[Row]) -> Made | None:
    """Draw a column for each month; months without anything have their place too."""
    values = []
    for row in rows:
        for piece in how.parts or (how.value,):
            value = row[piece]
            if value:
                values.append({
                    "month": row["month"].isoformat()[:7],
                    "part": str(row[how.by]) if how.by else heading(piece),
                    "value": float(value), "figure": words(value, AMOUNT),
                    "whole": row.get("is_whole") is not False,
                })  # fmt: skip
    if not values:
        return None
    if how.parts:
        domain = [heading(part) for part in how.parts]
    else:  # Those that come most often; a colour means the same in each currency.
        often = Counter(str(row[how.by]) for row in every)
        domain = sorted(often, key=lambda part: (-often[part], part))
        if len(domain) > len(SERIES):
            domain = [*domain[: len(SERIES) - 1], OTHERS]
        for v in values:
            v["part"] = v["part"] if v["part"] in domain else OTHERS
    palette = dict(zip(domain, _colours(how.series, len(domain)), strict=True))
    parts = [part for part in domain if any(v["part"] == part for v in values)]
    for v in values:
        v["place"] = parts.index(v["part"])
    there = [row["month"].isoformat()[:7] for row in every]  # of all currencies, to be compared
    months = _between(min(there), max(there))
    places = [*months, *map(str, range(len(months), LEAST_PLACES["months"]))]
    colours = [palette[part] for part in parts]
    columns: Chart = (
        alt.Chart(alt.NamedData("columns"))
        .mark_bar(cornerRadius=1, width=alt.RelativeBandSize(0.72))
        .encode(
            x=alt.X("month:O", sort=places, scale=alt.Scale(domain=places), title=None,
                    axis=alt.Axis(values=months, labelAngle=0, labelOverlap="greedy", grid=False,
                                  labelExpr="timeFormat(toDate(datum.value + '-15'), '%b %y')")),
            y=alt.Y("value:Q", title=None, stack="zero",
                    axis=alt.Axis(format=",.0f", tickCount=4)),
            color=alt.Color("part:N", sort=parts, legend=None,
                            scale=alt.Scale(domain=parts, range=colours)),
            order=alt.Order("place:Q"),
            opacity=CUT,
            tooltip=[alt.Tooltip("month:O", title="Month"), alt.Tooltip("part:N", title="Part"),
                     alt.Tooltip("figure:N", title="Amount")],
        )
        .properties(width="container", height=200)
    )  # fmt: skip
    legend = list(zip(parts, colours, strict=True)) if len(parts) > 1 else []
    return columns, {"columns": values}, legend, ""


def _between(first: str, last: str) -> list[str]:
    year, month = map(int, first.split("-"))
    months = []
    while (text := f"{year:04}-{month:02}") <= last:
        months.append(text)
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
    return months


def _weeks(_: Weeks, rows: list[Row], __: list[Row]) -> Made | None:
    """Draw a square for each person and week."""
    names, left_out = _some(row["person"] for row in rows)
    values = [
        {
            "name": row["person"], "week": row["week_start"].isoformat(),
            "fullness": _fullness(row["utilization"]),
            "figure": words(row["utilization"], SHARE),
            "hours": f"{words(row['tracked'], HOURS)} of {words(row['capacity'], HOURS)}",
            "whole": row["is_whole"] is not False,
        }
        for row in rows
        if row["utilization"] is not None and row["person"] in set(names)
    ]  # fmt: skip
    if not values:
        return None
    weeks = sorted({v["week"] for v in values})
    places = [*weeks, *map(str, range(len(weeks), LEAST_PLACES["weeks"]))]
    named = weeks[:: max(1, -(-len(weeks) // 9))]
    groups = [*(text for _, text in FULLNESS), FULLEST]
    squares: Chart = (
        alt.Chart(alt.NamedData("squares"))
        .mark_rect(stroke="var(--paper)", strokeWidth=1.5)
        .encode(
            x=alt.X("week:O", sort=places, title=None, axis=alt.Axis(
                labelAngle=0, labelOverlap="greedy", labelAlign="left", labelSeparation=6,
                values=named,
                labelExpr="timeFormat(toDate(datum.value + 'T12:00'), '%e %b')"),
                scale=alt.Scale(domain=places, padding=0)),
            y=alt.Y("name:N", sort=names, title=None,
                    axis=alt.Axis(labelLimit=190, labelColor=INK), scale=alt.Scale(padding=0)),
            color=alt.Color("fullness:N", sort=groups, legend=None,
                            scale=alt.Scale(domain=groups, range=list(WEEK_COLOURS))),
            opacity=CUT,
            tooltip=[alt.Tooltip("name:N", title="Name"), alt.Tooltip("week:O", title="Week of"),
                     alt.Tooltip("figure:N", title="Utilization"),
                     alt.Tooltip("hours:N", title="Hours")],
        )
        .properties(width="container", height=24 * len(names))
    )  # fmt: skip
    legend = list(zip(groups, WEEK_COLOURS, strict=True))
    return squares, {"squares": values}, legend, left_out


def _fullness(share: Any) -> str:
    return next((text for limit, text in FULLNESS if share < limit), FULLEST)


def _burns(_: Burns, rows: list[Row], __: list[Row]) -> Made | None:
    """Draw a line for each budget, and a dashed one to the day that it runs out."""
    by_name: dict[str, list[Row]] = {}
    for row in rows:
        by_name.setdefault(row["project"], []).append(row)
    values = []
    for name, its_rows in by_name.items():
        newest = its_rows[-1]
        points = [(row["day"], row["used"], row, "so far") for row in its_rows]
        if newest["runs_out_on"] and newest["runs_out_on"] > newest["day"]:
            points.append((newest["day"], newest["used"], newest, "forecast"))
            points.append(_ahead(newest, newest["day"] + timedelta(days=90)))
        values += [
            {
                "name": name, "day": day.isoformat(), "used": float(used), "when": when,
                "figure": words(used, SHARE),
                "spent": f"{words(row['spent'], QUANTITY)} of {words(row['budget'], QUANTITY)} "
                f"{row['unit']}" if when == "so far" else f"runs out on {row['runs_out_on']}",
            }
            for day, used, row, when in points
        ]  # fmt: skip
    if not values:
        return None
    names = list(by_name)
    worrying = {name for name, its_rows in by_name.items() if _worries(its_rows[-1])}
    values.sort(key=lambda v: v["name"] in worrying)  # those are drawn above the others
    colours = [
        colour if name in worrying or not worrying else PALE.format(colour)
        for name, colour in zip(names, SERIES, strict=False)
    ]
    # They are there to be pointed at; a line of one day would not be seen without.
    dots = alt.OverlayMarkDef(size=60, opacity=0 if len(values) > 2 * len(names) else 1)
    lines = (
        alt.Chart(alt.NamedData("lines"))
        .mark_line(strokeWidth=2, strokeCap="round", point=dots)
        .encode(
            x=alt.X("day:T", title=None, axis=alt.Axis(
                format="%b %y", tickCount={"interval": "month", "step": 1}, grid=False,
                labelOverlap="greedy", labelSeparation=10)),
            y=alt.Y("used:Q", title=None, axis=alt.Axis(format=".0%", tickCount=5)),
            color=alt.Color("name:N", sort=names, legend=None,
                            scale=alt.Scale(domain=names, range=colours)),
            strokeDash=alt.StrokeDash("when:N", legend=None, scale=alt.Scale(
                domain=["so far", "forecast"], range=[[1, 0], [4, 4]])),
            detail="when:N",
            tooltip=[alt.Tooltip("name:N", title="Project"), alt.Tooltip("day:T", title="Day"),
                     alt.Tooltip("figure:N", title="Used"), alt.Tooltip("spent:N", title="Spent")],
        )
    )  # fmt: skip
    budget = (
        alt.Chart(alt.NamedData("budget")).mark_rule(color=SOFT, strokeWidth=1).encode(y="at:Q")
    )
    chart = alt.LayerChart(layer=[budget, lines]).properties(width="container", height=260)
    data = {"lines": values, "budget": [{"at": 1}]}
    return chart, data, list(zip(names, colours, strict=True)), ""


def _worries(row: Row) -> bool:
    """Tell whether a budget is used up, or soon will be."""
    end = row["runs_out_on"]
    return row["used"] >= 1 or bool(end and end <= row["day"] + timedelta(days=SOON))


def _ahead(row: Row, latest: date) -> tuple[date, Decimal, Row, str]:
    """Return where a budget runs out, or how far it is by then, if that is later."""
    end: date = row["runs_out_on"]
    if end <= latest:
        return end, Decimal(1), row, "forecast"
    share = Decimal((latest - row["day"]).days) / (end - row["day"]).days
    return latest, row["used"] + (1 - row["used"]) * share, row, "forecast"


def _plain(value: Any) -> Any:
    """Return a value as CSV has it: numbers without a point that says nothing, text as text."""
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return value.isoformat() if isinstance(value, (date, datetime)) else value

"""Says what a token reaches, what a first run takes, and whether Harvest is as we expect.

`dlt-harvest --check`. Nothing is loaded, and a few records of each list are read. Its text is made
to be pasted into a report: no secret and no name stands in it, only numbers and tables.

Nobody who writes this connector can ask the real Harvest, whose documents are silent or disagree in
places. So each assumption that tables rest on has a `Probe` here, which says what follows where it
fails. Where rows would be lost, a run looks for itself and reads in another way.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import cached_property
from importlib.metadata import version
from itertools import islice
from typing import Any

from . import harvest_source
from .api.answers import Page
from .api.client import HarvestClient
from .catalog import BY_NAME, ENDPOINTS, REPORTS, Endpoint
from .configured import Configured, with_settings_of
from .errors import ConfigurationError, HarvestError, MalformedAnswerError, StatusError
from .extract.focus import FILTERS, Focus, demand_known, unheeded
from .extract.plan import plan_list, plan_report, plan_table, requests_needed
from .extract.state import TableState
from .extract.windows import Window, day_of, since
from .settings import (
    EVERYTHING,
    OVERLAP_SECONDS,
    VERSION,
    Settings,
    Sizes,
    default_anchor,
)

FEW = 100
"""Records that are looked at of each list. A page of 2,000 takes seconds."""

SIDE_BY_SIDE = 20
"""Lists that are asked at once: an answer takes up to a second."""

SLACK = timedelta(seconds=OVERLAP_SECONDS)

LISTS = [e for e in ENDPOINTS if not e.parent and not e.singleton and not e.on_request]
CHILDREN = [e for e in ENDPOINTS if e.parent and not e.on_request]
MODULES = ("expense", "invoice", "estimate", "approval", "team")

Tell = Callable[[str], object]


@dataclass(frozen=True)
class Finding:
    """What a probe found.

    Attributes:
        holds: Whether Harvest is as expected; None where there was too little to tell by.
        seen: What was seen, in a few words.
    """

    holds: bool | None
    seen: str


class Look:
    """A first look at an account: a few records of each list that the token may read.

    Threads: it asks for several things at once.

    Args:
        client: Where to ask.

    Attributes:
        client: The same.
        pages: The first records of each list that can be read.
        failed: Why the others can't.
        started: When the first answer came by Harvest's clock, or by ours where it does not say
            (UTC), and when it came by ours.
        empty: Tables of children that no parent was there to be asked for.
    """

    def __init__(self, client: HarvestClient) -> None:
        self.client = client
        self.pages: dict[str, Page] = {}
        self.failed: dict[str, HarvestError] = {}
        self.me = client.record("users/me")
        self.started, self.ours = client.now(), datetime.now(timezone.utc)
        self.dated = "Date" in client.headers
        self.company = self._company()
        for name, page in self.ask((e.name, {"per_page": str(FEW)}) for e in LISTS).items():
            self._note(name, page)
        parents = {e.name: self.pages[e.parent or ""][:1] for e in CHILDREN if self._lists(e)}
        self.empty = [name for name, records in parents.items() if not records]
        paths = {
            name: BY_NAME[name].path.format(id=records[0]["id"])
            for name, records in parents.items()
            if records
        }
        asked = self.ask(((name, {"per_page": "1"}) for name in paths), paths)
        for name, page in asked.items():
            self._note(name, page)
        for child in CHILDREN:
            if child.parent in self.failed:
                self.failed[child.name] = self.failed[child.parent]

    @cached_property
    def newest(self) -> dict[str, str]:
        """The newest stamp among the first records of each list that is filtered by it."""
        lists = self.of(where=lambda e: e.updated_since)
        stamps = {e.name: [str(r.get("updated_at")) for r in self.pages[e.name]] for e in lists}
        return {name: max(each) for name, each in stamps.items() if each}

    @cached_property
    def recent(self) -> dict[str, Page]:
        """What changed since then: few records, so that a whole page can be asked for."""
        return self.found((name, {"updated_since": stamp}) for name, stamp in self.newest.items())

    def ask(
        self, wanted: Iterable[tuple[str, dict[str, str]]], paths: Mapping[str, str] | None = None
    ) -> dict[str, Page | HarvestError]:
        """Ask for the first page of several lists at once, each by its filters."""
        where = paths or {}

        def page(name: str, filters: dict[str, str]) -> tuple[str, Page | HarvestError]:
            endpoint = BY_NAME[name]
            try:
                path = where.get(name, endpoint.path)
                (answer,) = islice(self.client.pages(path, endpoint.key, filters), 1)
            except HarvestError as error:
                if error.concerns_everything:
                    raise
                return name, error
            return name, answer

        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            return dict(pool.map(lambda each: page(*each), wanted))

    def found(self, wanted: Iterable[tuple[str, dict[str, str]]]) -> dict[str, Page]:
        """Ask, and leave out what can't be read that way."""
        return {name: p for name, p in self.ask(wanted).items() if isinstance(p, Page)}

    def of(self, *, where: Callable[[Endpoint], Any]) -> list[Endpoint]:
        """Return the lists that can be read and that some condition holds for."""
        return [e for e in LISTS if e.name in self.pages and where(e)]

    def _lists(self, child: Endpoint) -> bool:
        return child.parent in self.pages

    def _note(self, name: str, page: Page | HarvestError) -> None:
        if isinstance(page, Page):
            self.pages[name] = page
        elif not isinstance(page, StatusError) or page.status != BY_NAME[name].none_status:
            self.failed[name] = page

    def _company(self) -> dict[str, Any]:
        try:
            return self.client.record("company")
        except StatusError as error:
            self.failed["company"] = error
            return {}


@dataclass(frozen=True)
class Probe:
    """An assumption about Harvest.

    Attributes:
        expected: What is assumed.
        otherwise: What follows for the tables where it does not hold.
        look: Finds out.
    """

    expected: str
    otherwise: str
    look: Callable[[Look], Finding]


def _archived(look: Look) -> Finding:
    lists = [e.name for e in look.of(where=lambda e: e.archives)]
    counts = {
        kind: look.found((name, {"is_active": kind, "per_page": "1"}) for name in lists)
        for kind in ("true", "false")
    }
    lacking, empty, silent = [], [], []
    for name in lists:
        total = look.pages[name].total
        parts = [counts[kind][name].total if name in counts[kind] else None for kind in counts]
        active, archived = parts
        if total is None or active is None or archived is None:
            silent.append(name)
        elif archived == 0:
            empty.append(name)
        elif total != active + archived:
            lacking.append(f"{name} ({total:,} of {active + archived:,})")
    if lacking:
        return Finding(holds=False, seen=f"not all: {', '.join(lacking)}")
    if silent:
        return Finding(None, f"{', '.join(silent)} does not say how many it has")
    if len(empty) == len(lists):
        return Finding(None, "nothing is archived")
    return Finding(holds=True, seen=_but("all there", "nothing archived in", empty))


def _order(look: Look) -> Finding:
    lists = look.of(where=lambda e: e.date)
    days = {e.name: [day_of(record, e.date) for record in look.pages[e.name]] for e in lists}
    wrong = [name for name, found in days.items() if not _falls(found)]
    if wrong:
        return Finding(holds=False, seen=f"otherwise in {', '.join(wrong)}")
    short = [name for name, found in days.items() if len(set(found)) < 2]
    if len(short) == len(lists):
        return Finding(None, "fewer than two days")
    return Finding(holds=True, seen=_but("newest first", "fewer than two days in", short))


def _falls(days: list[date | None]) -> bool:
    dated = [day for day in days if day]
    return len(dated) == len(days) and dated == sorted(dated, reverse=True)


def _changes(look: Look) -> Finding:
    asked, newest = look.recent, look.newest
    ignored, inclusive, exclusive = [], [], []
    for name, page in asked.items():
        stamp = newest[name]
        if any(str(record.get("updated_at")) < stamp for record in page):
            ignored.append(name)
        elif any(record.get("updated_at") == stamp for record in page):
            inclusive.append(name)
        else:
            exclusive.append(name)
    if ignored:
        return Finding(holds=False, seen=f"ignored by {', '.join(ignored)}")
    if not asked:
        return Finding(None, "no records")
    told = [name for name in inclusive if _differ(look.pages[name])]
    if not told and not exclusive:
        return Finding(None, "all records have one stamp")
    if not exclusive:
        return Finding(holds=True, seen="its own second included")
    return Finding(holds=True, seen=f"its own second left out by {', '.join(exclusive)}")


def _differ(page: Page) -> bool:
    return len({record.get("updated_at") for record in page}) > 1


def _days(look: Look) -> Finding:
    lists = look.of(where=lambda e: e.date)
    chosen = {e.name: [d for r in look.pages[e.name] if (d := day_of(r, e.date))] for e in lists}
    # The last day of a page, since a list that heeds neither begins with the first one.
    last = {name: days[-1] for name, days in chosen.items() if len(set(days)) > 1}
    asked = look.found(
        (name, {**Window(day, day).filters, "per_page": str(FEW)}) for name, day in last.items()
    )
    wrong = [
        name
        for name, page in asked.items()
        if {day_of(record, BY_NAME[name].date) for record in page} != {last[name]}
    ]
    if wrong:
        return Finding(holds=False, seen=f"otherwise in {', '.join(wrong)}")
    if not asked:
        return Finding(None, "fewer than two days")
    short = [name for name in chosen if name not in last]
    return Finding(holds=True, seen=_but("included", "fewer than two days in", short))


def _links(look: Look) -> Finding:
    broken = [n for n, error in look.failed.items() if isinstance(error, MalformedAnswerError)]
    if broken:
        return Finding(holds=False, seen=f"malformed: {', '.join(broken)}")
    several = [e.name for e in look.of(where=lambda e: len(look.pages[e.name]) > 1)]
    asked = look.found((name, {"per_page": "1"}) for name in several)
    numbered = [name for name, page in asked.items() if page.numbered]
    cursors = [name for name, page in asked.items() if page.more and not page.numbered]
    lost = [name for name in asked if name not in (*numbered, *cursors)]
    if lost:
        return Finding(holds=False, seen=f"no second page: {', '.join(lost)}")
    told = [
        f"{style}: {', '.join(names)}"
        for style, names in (("by number", numbered), ("by cursor", cursors))
        if names
    ]
    return Finding(holds=True if told else None, seen="; ".join(told) or "no list has two records")


def _totals(look: Look) -> Finding:
    silent = [name for name, page in look.pages.items() if page.total is None]
    return Finding(not silent, f"not by {', '.join(silent)}" if silent else "by all")


def _running(look: Look) -> Finding:
    (endpoint,) = (e for e in LISTS if e.unstamped_filter)
    flag = endpoint.unstamped_filter
    if endpoint.name not in look.pages:
        return Finding(None, f"`{endpoint.name}` can't be read")
    known = {r["id"] for r in look.pages[endpoint.name] if r.get(flag)}
    page = look.found([(endpoint.name, {flag: "true", "per_page": str(FEW)})]).get(endpoint.name)
    if page is None:
        return Finding(holds=False, seen="refused")
    wrong = [record["id"] for record in page if not record.get(flag)]
    if wrong:
        return Finding(holds=False, seen="ignored: entries come that do not run")
    missed = known - {record["id"] for record in page}
    if missed and not page.more:
        return Finding(holds=False, seen=f"{len(missed)} running timers are left out")
    if not page:
        return Finding(None, "no timer runs")
    return Finding(holds=True, seen=f"{page.total or len(page):,} running")


def _limited(look: Look) -> Finding:
    lists = look.of(where=lambda e: e.limited)
    wrong, untold = [], []
    for setting, name in FILTERS.items():
        asked = {e.name: ids for e in lists if len(ids := _rarest_first(look, e, name)) > 1}
        untold += [f"{e.name} by {setting}" for e in lists if e.name not in asked]
        found = look.found(
            (table, {name: ids[0], "per_page": str(FEW)}) for table, ids in asked.items()
        )
        for table, ids in asked.items():
            page = found.get(table)
            if not page or any(unheeded(record, {name: ids[:1]}) for record in page):
                wrong.append(f"{table} by {name}")
    if wrong:
        return Finding(holds=False, seen=f"otherwise in {', '.join(wrong)}")
    if len(untold) == len(lists) * len(FILTERS):
        return Finding(None, "all records are of one")
    return Finding(holds=True, seen=_but("they do", "one only in", untold))


def _rarest_first(look: Look, endpoint: Endpoint, name: str) -> list[str]:
    """Return the ids that a filter can choose by, those of the fewest records first."""
    named = [record.get(name.removesuffix("_id")) for record in look.pages[endpoint.name]]
    ids = Counter(str(each["id"]) for each in named if isinstance(each, dict) and "id" in each)
    return sorted(ids, key=lambda i: (ids[i], i))


def _pages(look: Look) -> Finding:
    granted = {name: page.per_page for name, page in look.recent.items() if page.per_page}
    less = [f"{name} {n:,}" for name, n in granted.items() if n < Sizes.per_page]
    if less:
        return Finding(holds=False, seen=f"fewer: {', '.join(less)}")
    return Finding(holds=True if granted else None, seen="granted" if granted else "it is not said")


def _clock(look: Look) -> Finding:
    if not look.dated:
        return Finding(holds=False, seen="Harvest does not say what time it is")
    stamps = [
        datetime.fromisoformat(str(record["updated_at"]).replace("Z", "+00:00"))
        for page in look.pages.values()
        for record in page
        if record.get("updated_at")
    ]
    newest = max(stamps, default=look.started)
    if newest > look.started + SLACK:
        ahead = round((newest - look.started).total_seconds())
        return Finding(holds=False, seen=f"a record is stamped {ahead:,} s ahead of Harvest's time")
    skew = round((look.started - look.ours).total_seconds())
    if abs(skew) > OVERLAP_SECONDS:
        return Finding(holds=False, seen=f"Harvest's clock and this one differ by {skew:+,} s")
    ago = round((look.started - newest).total_seconds())
    return Finding(holds=True, seen=f"newest stamp {ago:,} s ago, this clock {-skew:+} s")


def _limits(look: Look) -> Finding:
    told = {n: v for n, v in look.client.headers.items() if "limit" in n.lower()}
    named = ", ".join(f"{name}: {value}" for name, value in sorted(told.items()))
    return Finding(holds=True, seen=named or "none but on refusals, as documented")


PROBES = (
    Probe(
        "lists hold archived records",
        "a run looks for them by `is_active` and reads them apart, on full reads only; no row is "
        "lost or taken for deleted",
        _archived,
    ),
    Probe(
        "lists by date come newest first",
        "a run sees it and follows the links instead of windows of days: slower, no row lost",
        _order,
    ),
    Probe(
        "`updated_since` leaves out what did not change",
        "each run reads these lists whole: more requests, no row lost",
        _changes,
    ),
    Probe(
        "`from` and `to` choose their own days",
        "a run asks and follows the links instead of windows of days: slower, no row lost",
        _days,
    ),
    Probe(
        "lists say where the next page is",
        "a run fails on these tables and loads nothing of them, so as not to lose rows",
        _links,
    ),
    Probe(
        "lists say how many records they have",
        "a run can't count what it read: it reads numbered lists until two reads agree, and takes "
        "nothing for deleted if they never do",
        _totals,
    ),
    Probe(
        "`is_running` chooses running timers",
        "hours of a running timer may stay as they were until the next full read, a day later",
        _running,
    ),
    Probe(
        "`client_id`, `project_id` and `user_id` choose their own records",
        "a run that is limited by `clients`, `projects` or `users` fails on these tables and loads "
        "nothing of others; without these settings only the reasons of `--verify` depend on it",
        _limited,
    ),
    Probe(
        f"a page holds {Sizes.per_page:,} records",
        "more requests than said above; no row lost",
        _pages,
    ),
    Probe(
        "the clock",
        "runs go by Harvest's clock, and by this machine's where Harvest names no time; where that "
        "is ahead of the stamps, a change may come with the next full read only, a day later",
        _clock,
    ),
    Probe("headers about the limit", "", _limits),
)


def check(tell: Tell = print, **settings: Any) -> bool:
    """Tell what there is to know before a first run, and whether Harvest is as expected.

    Args:
        tell: Takes lines for the user.
        settings: Arguments of `harvest_source`; those that are not given are taken from dlt's
            configuration. Where `account_id` is missing or wrong, what the token reaches is named.

    Returns:
        Whether every assumption held, as far as there was something to tell by.

    Raises:
        HarvestError: Harvest can't be asked, or not as this account; its text says what to do.
    """
    configured = with_settings_of(harvest_source, Configured, settings)
    reached = sorted(
        {
            account.id
            for each in configured.signed_in
            for account in configured.harvest_id.accounts(each.token())
        }
    )
    numbers = ", ".join(map(str, reached)) or "no Harvest account"
    if configured.account_id is None:
        raise ConfigurationError("account_id", "is missing", f"your token reaches {numbers}")
    auths = configured.auths
    if wrong := [str(account) for account in auths if account not in reached]:
        problem = f"names {', '.join(wrong)}, which your token does not reach"
        raise ConfigurationError("account_id", problem, f"it reaches {numbers}")
    libraries = ", ".join(f"{name} {version(name)}" for name in ("dlt", "requests"))
    tell(f"dlt-harvest {VERSION}, {libraries}, Python {platform.python_version()}")
    kind = "an application" if configured.by_application else "a personal token"
    others = [str(account) for account in reached if account not in auths]
    tell(f"Asked by {kind}. Configured: {', '.join(map(str, auths))}; also reached: "
         f"{', '.join(others) or 'none'}")  # fmt: skip
    accounts = configured.accounts()
    chosen, well = configured.settings, True
    focus = Focus(chosen.focus)
    for account in accounts:
        look = Look(account.client)
        _tell_access(look, account.account_id, tell)
        if focus:
            demand_known(look.client, focus.ids)
            tell(f"Limited       time_entries and expenses to {focus}")
        _tell_first_run(look, chosen, tell)
        well &= _tell_probes(look, tell)
    return well


def _tell_access(look: Look, account: int, tell: Tell) -> None:
    roles = ", ".join(look.me.get("access_roles") or ["not said"])
    tell(f"\nAccount       {account}")
    tell(f"Who asks      user {look.me.get('id')}; access roles: {roles}")
    flags = {name: look.company.get(f"{name}_feature") for name in MODULES}
    on = [name for name, flag in flags.items() if flag]
    off = [name for name, flag in flags.items() if flag is False]
    unknown = [name for name, flag in flags.items() if flag is None]
    said = [f"{', '.join(names)} {word}" for names, word in
            ((on, "on"), (off, "off"), (unknown, "not said")) if names]  # fmt: skip
    tell(f"Modules       {'; '.join(said)}")
    by_reason: dict[str, list[str]] = {}
    for name, error in look.failed.items():
        reason = str(error.status) if isinstance(error, StatusError) else type(error).__name__
        by_reason.setdefault(reason, []).append(name)
    refused = [f"not ({reason}): {', '.join(names)}" for reason, names in by_reason.items()]
    tell(f"May read      {'; '.join(refused) or 'every table'}")
    if look.empty:
        tell(f"              not asked, no parent is there: {', '.join(look.empty)}")


def _tell_first_run(look: Look, settings: Settings, tell: Tell) -> None:
    now, focus = look.started, Focus(settings.focus)
    began = settings.anchor_date or default_anchor(now)
    anchored = [(e, {**since(began), "per_page": "1"}) for e in look.of(where=lambda e: e.anchored)]
    scoped = look.found((e.name, filters) for e, filters in anchored)
    limited = [
        look.found((e.name, {**filters, **each}) for e, filters in anchored if e.limited)
        for each in focus.lists
        if focus
    ]
    history = "all history" if began == EVERYTHING else f"what changed since {began:%Y-%m-%d}"
    tell(f"\nA first run reads {history}:")
    tell(f"  {'list':<28}{'records':>10}{'requests':>10}  with")
    whole = 2 - ("company" in look.failed) + sum(map(len, focus.ids.values()))
    records = 0
    for endpoint in look.of(where=lambda _: True):
        children = [c for c in CHILDREN if c.parent == endpoint.name and c.name not in look.failed]
        plans = {
            e.name: plan_table(
                e, TableState(), settings, Sizes(), anchor=began if e.anchored else None, now=now
            )
            for e in (endpoint, *children)
        }
        own = plans.pop(endpoint.name)
        plan = plan_list(own, plans, name=endpoint.name, anchor=began)
        pages = [scoped.get(endpoint.name, look.pages[endpoint.name])]
        if focus and endpoint.limited:
            pages = [found[endpoint.name] for found in limited if endpoint.name in found]
        totals = [len(page) if page.total is None else page.total for page in pages]
        total = sum(totals)
        requests = sum(requests_needed(endpoint, plan, Sizes.per_page, n, n) for n in totals)
        whole, records = whole + requests, records + total
        tell(f"  {endpoint.name:<28}{total:>10,}{requests:>10,}  "
             f"{', '.join(child.name for child in children)}".rstrip())  # fmt: skip
    limiters = look.client.limiters
    time = _time(limiters["general"].seconds_for(whole))
    tell(f"  In all {records:,} records and their children, by {whole:,} requests at least: "
         f"{time} by the rate limit.")  # fmt: skip
    if reports := [e for e in REPORTS if e.by_default(reports=settings.reports)]:
        asked = sum(
            requests_needed(
                e, plan_report(e.name, e.report, TableState(), settings, anchor=began, now=now)
            )
            for e in reports
            if e.report
        )
        time = _time(limiters["reports"].seconds_for(asked))
        tell(f"  {len(reports)} reports, by {settings.report_period}, take up to {asked:,} "
             f"requests besides: {time} by the limit of their own.")  # fmt: skip
    if settings.history:
        tell(f"  Each version is kept of {', '.join(settings.history)}.")


def _time(seconds: float) -> str:
    if not seconds:
        return "no wait"
    return f"{seconds / 60:.0f} min" if seconds > 90 else f"{seconds:.0f} s"


def _tell_probes(look: Look, tell: Tell) -> bool:
    tell("\nIs Harvest as this connector expects?")
    differs = 0
    _ = look.recent  # Two probes need it.
    with ThreadPoolExecutor(len(PROBES)) as pool:
        findings = list(pool.map(lambda probe: probe.look(look), PROBES))
    for probe, finding in zip(PROBES, findings, strict=True):
        verdict = {True: "yes", False: "NO", None: "open"}[finding.holds]
        line = f"  {verdict:<5} {probe.expected}: {finding.seen}"
        if finding.holds is False:
            differs += 1
            line += f". So {probe.otherwise}"
        tell(f"{line}.")
    return not differs


def _but(said: str, exception: str, names: list[str]) -> str:
    return f"{said} ({exception} {', '.join(names)})" if names else said

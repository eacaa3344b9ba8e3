# /// script
# [tool.marimo.display]
# theme = "system"
# ///
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, misc"
"""The page as a marimo app, which `serving.py` serves: what is chosen, and what is shown of it."""

import marimo

app = marimo.App(width="full", app_title="Harvest", css_file="page.css")


@app.cell
def _():
    import marimo as mo

    from harvest.dashboard import page as pages
    from harvest.dashboard.reading import ALL, Choice
    from harvest.dashboard.serving import SERVED
    from harvest.errors import HarvestError

    return ALL, Choice, HarvestError, SERVED, mo, pages


@app.cell
def _(HarvestError, SERVED, mo, pages):
    try:
        page = pages.Page(SERVED[0])
        options = page.options()
    except HarvestError as error:
        mo.stop(True, mo.callout(str(error), kind="warn"))
    return options, page


@app.cell
def _(ALL, mo, options, pages):
    def _among(label, known):
        choices = {ALL: None, **known}
        return mo.ui.dropdown(choices, value=ALL, label=label, searchable=len(known) > 9)

    period = mo.ui.dropdown(pages.PERIODS, value=pages.USUAL, label="Period")
    own_days = mo.ui.date_range(
        start=min(options.first_day or options.today, options.today),
        stop=options.today,
        label="Days",
    )
    account = _among("Account", options.accounts)
    client = _among("Client", options.clients)
    person = _among("Person", options.people)
    currency = _among("Currency", {code: code for code in options.currencies})
    asked = mo.query_params()
    screen = mo.ui.tabs(
        dict.fromkeys(pages.SCREENS, ""),
        value=asked.get("screen") if asked.get("screen") in pages.SCREENS else None,
    )
    return account, asked, client, currency, own_days, period, person, screen


@app.cell
def _(Choice, account, client, currency, mo, options, own_days, pages, period, person, screen):
    is_own = period.value == pages.OWN
    days = own_days.value if is_own else pages.days_of(period.value, options.today)
    choice = Choice(*days, account.value, client.value, person.value, currency.value)
    shown = [
        *([account] if len(options.accounts) > 1 else []),
        period,
        *([own_days] if is_own else []),
        client,
        person,
        *([currency] if len(options.currencies) > 1 else []),
    ]
    mo.vstack(
        [
            mo.Html(pages.header(choice, options)),
            mo.hstack(shown, justify="start", wrap=True, gap=1),
            screen,
        ],
        gap=1,
    )
    return (choice,)


@app.cell
def _(HarvestError, asked, choice, mo, options, page, pages, screen):
    taken = []

    def _downloads(question, _rows):
        made = [
            mo.download(
                data=lambda ending=ending: page.file(question, choice, options, ending),
                filename=f"{pages.file_name(question)}.{ending}",
                mimetype=kind,
                label=text,
            )
            for ending, (kind, text) in pages.FILES.items()
        ]
        taken.extend(made)  # marimo forgets elements that nothing refers to
        return f'<div class="downloads">{"".join(each.text for each in made)}</div>'

    asked.set("screen", screen.value)
    try:
        html = page.screen(
            screen.value,
            choice,
            options,
            lambda spec: mo.as_html(pages.Shown(spec)).text,
            _downloads,
        )
    except HarvestError as error:
        mo.stop(True, mo.callout(str(error), kind="warn"))
    mo.Html(html)
    return (taken,)


if __name__ == "__main__":
    app.run()

"""Every failure a user can meet, and its words.

HarvestError
├── ConfigurationError         a setting is missing or malformed
│   ├── MissingCredentialsError  nothing says who asks
│   └── UnknownIdError         a client, project or user that is asked for does not exist
├── NoAccessTokenError         Harvest renews no application's tokens
├── RedirectRefusedError       an authorization ended otherwise than it should
├── UnknownStateError          the state was written by another version
├── OtherAccountError          the pipeline holds another account
├── ColumnTypeError            a column would not hold what is written into it
├── RefusedHintError           a hint of the user's own would lose or double rows
├── MissingColumnError         a table lacks a column that each row needs
├── UnwritableFolderError      a pipeline's state can't be kept where it should be
├── BusyError                  the pipeline runs already
├── AccountError               what failed, of which of several accounts
├── AccountsError              some of several accounts were not loaded, the rest was
├── SharedTableError           the rows of another account would be dropped
├── PartialLoadError           some tables could not be read, the rest was loaded
├── LoadError                  dlt or the destination failed
├── StepError                  something else failed, such as a disk that is full
├── RefusedRecordError         the destination refuses a record
├── CustomStepError            a step that the user added failed
├── NoRowError                 a step that the user added returned no row
├── MetricsError               the data was loaded, but what dbt builds from it was not built
├── MetricsDestinationError    dbt builds nothing on this destination
├── LikeDestinationError       it builds no tables of another connector's names there
├── NoMetricsError             a page should be shown of metrics that are not there
├── WarehouseBusyError         a page should be shown while a load writes the database
├── UnreadableWarehouseError   a page should be shown of a database that does not answer
├── OtherDatabaseError         a page should be shown of a database that it can't ask
├── UnwritableFileError        a page should be written where no file can be
├── MissingDashboardError      what shows the page is not installed
├── PortTakenError             the page's port is used by another program
├── UnverifiableError          what the warehouse holds can't be compared with Harvest's reports
├── UnverifiedError            all was loaded, but the comparison after it failed
├── DifferencesError           it was compared, and some figures differ for no known reason
├── InternalError              a bug of the connector or of dlt
├── UnreachableError           no answer came after all attempts
├── NoAnswerError              none came to one request, while others were answered
├── ShiftingListError          a list kept losing records while it was read
├── CountMismatchError         a list holds fewer records than Harvest counts
├── UnheededFilterError        a list holds other records than were asked for
├── SuspiciousDeletionsError   most rows of a table would be taken for deleted
├── NarrowerTokenError         a token that sees less would replace a report's figures
├── MalformedRecordError       a record's cursor is no timestamp
├── ForeignAddressError        a link or redirect would carry the token to another host
└── AnswerError                Harvest answered, but not with data
    ├── StatusError            a 4xx or 5xx status
    └── MalformedAnswerError   a 200 that is not the JSON it must be
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dlt.extract.exceptions import DltSourceException
from requests import HTTPError, Response

REMEDIES = {
    400: "Harvest refused the request's headers; set `user_agent` to an application and a contact",
    401: "the token or the account id is missing, wrong or expired; check `api_key` and "
    "`account_id` (tokens are made at https://id.getharvest.com/developers)",
    403: "the token's owner may not read this, or the module is switched off; use an "
    "administrator's token, or leave this table out",
    404: "nothing is there for this account; check `account_id` and `{setting}`",
    422: "Harvest did not accept the request; run again later, and report it if it stays so",
    429: "the rate limit is used up, perhaps by other tools; lower `rate_limit` or run again later",
}
MOMENT_REFUSED = (
    "Harvest did not accept the moment from which changes are asked for; check `anchor_date`, or "
    "run again later, and report it if it stays so"
)
REFUSED = "Harvest refused the request; check `{setting}`, and report it if it stays so"
NO_TOKEN = {
    "invalid_grant": "the refresh token is expired, revoked or was used elsewhere; authorize the "
    "application again with `dlt-harvest --authorize`",
    "invalid_client": "check `client_id` and `client_secret` against "
    "https://id.getharvest.com/developers",
}
NOT_AUTHORIZED = {
    "access_denied": "access was denied",
    "mismatching_state": "the redirect carries another `state` than this command sent, so it "
    "answers something else",
    "other_origin": "the redirect came from another origin than Harvest",
    "timeout": "no redirect came",
}
SERVER_TROUBLE = "Harvest is in trouble; run again later, nothing was lost"


class HarvestError(DltSourceException):
    """A failure that the user can act on; its text is one line with cause and remedy.

    Attributes:
        concerns_everything: Whether nothing else can be read either, so that a run must end.
        concerns_all_accounts: Whether this holds for other accounts too.
    """

    concerns_everything = False
    concerns_all_accounts = False


class ConfigurationError(HarvestError):
    """A setting is missing or malformed."""

    concerns_everything = concerns_all_accounts = True

    def __init__(self, setting: str, problem: str, remedy: str) -> None:
        self.setting = setting
        super().__init__(f"`{setting}` {problem}: {remedy}.")


class MissingCredentialsError(ConfigurationError):
    """Neither a personal token nor an application is configured."""

    def __init__(self) -> None:
        super().__init__(
            "api_key",
            "is missing",
            "make a personal token at https://id.getharvest.com/developers, or set `client_id` and "
            "`client_secret` and authorize the application with `dlt-harvest --authorize`",
        )


class UnknownIdError(ConfigurationError):
    """`clients`, `projects` or `users` names one that is not there."""

    def __init__(self, setting: str, unknown: int) -> None:
        self.unknown = unknown
        super().__init__(
            setting,
            f"names {unknown}, which this account does not have, or not for this token",
            "correct the id, or leave it out; nothing of what it limits was loaded",
        )


class NoAccessTokenError(HarvestError):
    """Harvest ID gives an application no access token.

    Attributes:
        reason: The protocol's code, such as "invalid_grant", or the status of the answer.
    """

    concerns_everything = True

    def __init__(self, reason: str) -> None:
        self.reason = reason
        if reason.startswith("5") or reason == "429":
            remedy = SERVER_TROUBLE
        else:
            remedy = NO_TOKEN.get(
                reason, "check `client_id`, `client_secret` and `id_url`, and authorize it again"
            )
        super().__init__(
            f"Harvest gave the application no access token ({reason}): {remedy}. Nothing was "
            "changed."
        )


class RedirectRefusedError(HarvestError):
    """What came back from an authorization can't be used."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        why = NOT_AUTHORIZED.get(reason, f"Harvest did not grant access ({reason})")
        super().__init__(
            f"The application was not authorized: {why}; start `--authorize` anew. Nothing was "
            "changed."
        )


class UnknownStateError(HarvestError):
    """The pipeline's state was written by another version of this connector."""

    concerns_everything = concerns_all_accounts = True

    def __init__(self, found: object, known: int) -> None:
        super().__init__(
            f"The pipeline's state is of version {found}, and this connector knows {known}: use "
            "the connector that wrote it, or load into a new dataset by a new pipeline. Nothing "
            "was changed."
        )


class OtherAccountError(HarvestError):
    """The pipeline has loaded another account than the configured one."""

    concerns_everything = concerns_all_accounts = True

    def __init__(self, held: list[str], configured: list[str]) -> None:
        self.held, self.configured = held, configured
        super().__init__(
            f"`account_id` is {', '.join(configured)}, but this pipeline has loaded account "
            f"{', '.join(held)}: correct `account_id`, give the other account a pipeline of its "
            f"own, or load them together with account_id = [{', '.join([*held, *configured])}]. "
            "Nothing was changed."
        )


class ColumnTypeError(HarvestError):
    """A column of the destination would round or cut what is written into it."""

    def __init__(self, table: str, column: str, there: str, wanted: str) -> None:
        self.table, self.column = table, column
        super().__init__(
            f"`{table}.{column}` is of type {there} in the destination and would not hold every "
            f"{wanted}: make the table anew with `--refresh {table.partition('__')[0]}`. Nothing "
            "was changed."
        )


class RefusedHintError(HarvestError):
    """A hint that the user gave to a table would lose or double rows.

    Attributes:
        table: Whose hint.
    """

    concerns_everything = concerns_all_accounts = True

    def __init__(self, table: str, hint: str, harm: str, remedy: str) -> None:
        self.table = table
        super().__init__(
            f"`{table}` can't be loaded with {hint}, because {harm}: {remedy}. Nothing was changed."
        )


class MissingColumnError(HarvestError):
    """A table lacks a column that each of its rows needs, so that it can't be added to them."""

    def __init__(self, table: str, column: str) -> None:
        self.table, self.column = table, column
        if table.startswith("_") or table.endswith("_history"):
            remedy = "drop the table or rename it, and the next run makes it again"
        else:
            remedy = f"make the table again with `--refresh {table.partition('__')[0]}`"
        super().__init__(
            f"`{table}` lacks its column `{column}`, which no row can do without: {remedy}. "
            "Nothing was changed."
        )


class UnwritableFolderError(HarvestError):
    """The folder of a pipeline's state can't be made or written."""

    concerns_everything = concerns_all_accounts = True

    def __init__(self, cause: OSError) -> None:
        super().__init__(
            f"The pipeline's state can't be kept in {cause.filename} ({cause.strerror}): run in a "
            "folder that you may write to. Nothing was changed."
        )


class BusyError(HarvestError):
    """The pipeline runs already."""

    concerns_everything = concerns_all_accounts = True

    def __init__(self, pipeline: str) -> None:
        super().__init__(
            f"Pipeline `{pipeline}` is running already on this machine: wait until it ends. "
            "Nothing was changed."
        )


class AccountError(HarvestError):
    """What failed, where several accounts are read.

    Attributes:
        account_id: Of which account.
        error: What failed.
    """

    def __init__(self, account_id: int, error: HarvestError) -> None:
        self.account_id, self.error = account_id, error
        self.concerns_everything = error.concerns_everything
        super().__init__(f"Account {account_id}: {error}")


class AccountsError(HarvestError):
    """Some of several accounts were not loaded to their end, or not verified; the others were.

    Attributes:
        errors: What failed, by account.
        loaded: The other accounts.
        summary: What was loaded of all, as a `harvest.summary.Summary`.
    """

    def __init__(
        self, errors: dict[int, HarvestError], loaded: list[int], summary: Any, done: str = "loaded"
    ) -> None:
        self.errors, self.loaded, self.summary = errors, loaded, summary
        in_part = [i for i, error in errors.items() if isinstance(error, PartialLoadError)]
        groups = {
            done.capitalize(): loaded,
            "Loaded in part": in_part,
            "Failed": [i for i in errors if i not in in_part],
        }
        said = by_account((account, str(error)) for account, error in errors.items())
        said += [f"{word}: {', '.join(map(str, ids))}." for word, ids in groups.items() if ids]
        super().__init__(" ".join(said))


class SharedTableError(HarvestError):
    """A refresh, or a table that is replaced, would lose rows that the run does not read."""

    concerns_everything = concerns_all_accounts = True

    def __init__(self, held: dict[str, dict[int, int]]) -> None:
        self.held = held
        rows = ", ".join(
            f"`{table}` ({count:,} rows of account {account})"
            for table, accounts in held.items()
            for account, count in accounts.items()
        )
        super().__init__(
            f"This run would drop {rows} without reading them again: name all accounts of these "
            "tables in `account_id` and load them together, or delete those rows first; "
            "`full_read` (--full-read) reads one account again without dropping. Nothing was "
            "changed."
        )


class PartialLoadError(HarvestError):
    """Some tables could not be read to their end; all that could be read was loaded.

    Attributes:
        failed: Why, by table.
        summary: What was loaded, as a `harvest.summary.Summary`.
    """

    def __init__(self, failed: dict[str, str], summary: Any) -> None:
        self.failed, self.summary = failed, summary
        super().__init__(
            f"Not everything was loaded: {' '.join(failed.values())} What was loaded is right, the "
            "rest is as it was before; run again to load it too."
        )


class LoadError(HarvestError):
    """dlt or the destination failed, after Harvest was read or before.

    Attributes:
        step: What dlt was doing.
        table: Whose rows were being loaded; "" where that is not known.
    """

    def __init__(self, step: str, cause: BaseException, table: str = "") -> None:
        self.step, self.table = step, table
        where = f"`{step}` of `{table}`" if table else f"`{step}`"
        super().__init__(
            f"{where} failed ({_in_brief(cause)}): check the destination and its credentials, "
            "then run again; nothing is lost, the next run reads it anew."
        )


class StepError(HarvestError):
    """Something failed that is neither Harvest nor the destination, such as a disk that is full.

    Attributes:
        step: What dlt was doing.
    """

    def __init__(self, step: str, cause: BaseException) -> None:
        self.step = step
        super().__init__(
            f"`{step}` failed ({_in_brief(cause)}): mend its cause, then run again; nothing is "
            "lost, the next run reads it anew."
        )


class RefusedRecordError(HarvestError):
    """The destination refuses a record, so that nothing more could be loaded.

    Attributes:
        table: The record's table.
        record: Its id, with its parent's where it has one.
    """

    def __init__(self, table: str, record: str, cause: BaseException) -> None:
        self.table, self.record = table, record
        super().__init__(
            f"`{table}`: the destination refuses {record} ({_in_brief(cause)}): correct it in "
            f"Harvest, alter the table, or make it anew with `--refresh {table}`, then run again; "
            "nothing is lost, the next run reads it anew."
        )


class CustomStepError(HarvestError):
    """A step that the user added, such as a function given to `add_map`, failed."""

    def __init__(self, cause: BaseException, place: str) -> None:
        super().__init__(
            f"A step of your own failed ({_in_brief(cause)}, {place}): correct it and run again; "
            "nothing is lost, the next run reads it anew."
        )


class NoRowError(HarvestError):
    """A step that the user added returned something else than a row."""

    def __init__(self, table: str, returned: str) -> None:
        super().__init__(
            f"A step of your own made {returned} of a row of `{table}`: let it return the row with "
            "its ids. Nothing is lost, the next run reads it anew."
        )


class MetricsError(HarvestError):
    """The data was loaded, but the metrics were not built, or tables of another's names."""

    def __init__(self, names: Iterable[str], failed: str, cause: str) -> None:
        super().__init__(
            f"Not built: {', '.join(names)}, as {failed} failed ({cause}). The loaded tables are "
            "whole, but what was built of them may be older than they are: run again with the same "
            "options."
        )


class MetricsDestinationError(HarvestError):
    """Metrics are asked for on a destination that dbt does not know."""

    def __init__(self, destination: str, known: list[str]) -> None:
        super().__init__(
            f"Metrics can't be built on {destination}: dlt lets dbt work on "
            f"{', '.join(known)}. Load without --metrics and --like."
        )


class LikeDestinationError(HarvestError):
    """Tables of another connector's names are asked for where their JSON can't be made."""

    def __init__(self, destination: str, names: Iterable[str], known: Iterable[str]) -> None:
        super().__init__(
            f"Tables like those of {', '.join(names)} can't be built on {destination}, only on "
            f"{' and '.join(known)}: load without --like."
        )


class NoMetricsError(HarvestError):
    """The dashboard shows metrics, and there are none."""

    def __init__(self, dataset: str) -> None:
        super().__init__(
            f"Dataset `{dataset}` has no metrics, which the dashboard shows: load with --metrics."
        )


class OtherMetricsError(HarvestError):
    """The metrics lack what the dashboard shows, as those of another version do."""

    def __init__(self, dataset: str, cause: Exception) -> None:
        super().__init__(
            f"Dataset `{dataset}` does not have what the dashboard asks for: build the metrics "
            f"anew, by a load with --metrics ({str(cause).splitlines()[0]})."
        )


class WarehouseBusyError(HarvestError):
    """A DuckDB file can't be read while another process writes it."""

    def __init__(self, pipeline: str) -> None:
        super().__init__(
            f"The database of pipeline `{pipeline}` is being written: wait until the load ends, "
            "then look again. Nothing was changed."
        )


class UnreadableWarehouseError(HarvestError):
    """The database that the dashboard reads can't be opened."""

    def __init__(self, pipeline: str, cause: BaseException) -> None:
        super().__init__(
            f"The database of pipeline `{pipeline}` can't be opened ({_in_brief(cause)}): check "
            "that it runs, and its credentials. Nothing was changed."
        )


class OtherDatabaseError(HarvestError):
    """The dashboard's SQL is not that of the database."""

    def __init__(self, destination: str, known: Iterable[str]) -> None:
        super().__init__(
            f"The dashboard reads {' and '.join(known)}, not {destination}: look at the tables of "
            "the metrics with a tool that knows it."
        )


class UnwritableFileError(HarvestError):
    """The dashboard can't be written into a file."""

    def __init__(self, file: object, cause: str) -> None:
        super().__init__(f"`{file}` can't be written ({cause}): choose another file with --export.")


class MissingDashboardError(HarvestError):
    """Libraries that only the dashboard needs are not installed."""

    def __init__(self, missing: Iterable[str], requirements: object) -> None:
        super().__init__(
            f"The dashboard needs {', '.join(missing)}: install them with "
            f"`pip install -r {requirements}`; the installed command has an extra for them, "
            "`dlt-harvest[dashboard]`."
        )


class PortTakenError(HarvestError):
    """The dashboard can't listen at its port."""

    def __init__(self, port: int) -> None:
        super().__init__(
            f"Port {port} can't be used, most likely by a dashboard that runs already: choose "
            "another with --port."
        )


class UnverifiableError(HarvestError):
    """What the warehouse holds of an account can't be compared with Harvest's reports."""

    def __init__(self, why: str, remedy: str) -> None:
        super().__init__(f"Nothing was verified: {why}: {remedy}. Nothing was changed.")


class UnverifiedError(HarvestError):
    """What was loaded could not be compared with Harvest's reports afterwards.

    Attributes:
        summary: What was loaded, as a `harvest.summary.Summary`.
    """

    def __init__(self, why: Iterable[str], summary: Any) -> None:
        self.summary = summary
        super().__init__(f"All was loaded, but not verified: {' '.join(why)}")


class DifferencesError(HarvestError):
    """The warehouse and Harvest's reports differ, and it is not known why.

    Attributes:
        accounts: How many figures differ so, by account.
        summary: What the run had loaded before; None where it only compared.
    """

    def __init__(self, accounts: dict[int, int], dataset: str, summary: Any = None) -> None:
        self.accounts, self.summary = accounts, summary
        figures = sum(accounts.values())
        where = ", ".join(str(account) for account in accounts)
        super().__init__(
            f"{figures:,} figure{'s' if figures > 1 else ''} of account {where} differ"
            f"{'' if figures > 1 else 's'} from Harvest's reports for no known reason: they stand "
            f"above and in `_verification` of dataset {dataset}; run with --full-read, or read the "
            "tables anew with --refresh, and verify again; if it stays so, report it."
        )


class InternalError(HarvestError):
    """A bug of the connector or of dlt; the exception that it was raised from has the traceback."""

    def __init__(self, step: str, cause: BaseException, place: str) -> None:
        self.step = step
        super().__init__(
            f"`{step}` failed ({_in_brief(cause)}, {place}): this is a bug in the connector; "
            "please report it with the traceback. Nothing is lost, the next run reads it anew."
        )


class UnreachableError(HarvestError):
    """No answer came after all attempts."""

    concerns_everything = True

    def __init__(self, endpoint: str, host: str, reason: str, *, setting: str = "base_url") -> None:
        self.endpoint = endpoint
        super().__init__(
            f"`{endpoint}`: no answer from {host} ({reason}): check the network and `{setting}`."
        )


class NoAnswerError(HarvestError):
    """No answer came to one request after all attempts, while Harvest answered another one."""

    def __init__(self, endpoint: str, host: str, reason: str) -> None:
        self.endpoint = endpoint
        super().__init__(
            f"`{endpoint}`: {host} answers, but not to this request ({reason}): run again later, "
            "and report it to Harvest if it stays so."
        )


class ShiftingListError(HarvestError):
    """A list kept losing records while it was read, so it can't be trusted to be whole."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        super().__init__(
            f"`{endpoint}`: the list changed each time it was read, so records may be missing: "
            "nothing of it was taken for deleted; run again when fewer changes are made."
        )


class CountMismatchError(HarvestError):
    """A list holds fewer records than Harvest counts, and nothing changed while it was read."""

    def __init__(self, endpoint: str, counted: int, found: int) -> None:
        self.endpoint, self.counted, self.found = endpoint, counted, found
        super().__init__(
            f"`{endpoint}`: Harvest counts {counted:,} records but lists {found:,}, and the same "
            "when it is asked again, so records may be missing: nothing of it was taken for "
            "deleted; run again later, and if it stays so, report it."
        )


class UnheededFilterError(HarvestError):
    """A list that was asked for by a filter holds records of others."""

    def __init__(self, endpoint: str, name: str) -> None:
        self.endpoint = endpoint
        super().__init__(
            f"`{endpoint}`: Harvest lists records of others than it was asked for by `{name}`, so "
            "the table can't be limited: it was not read to its end, and nothing of it was taken "
            "for deleted; leave `clients`, `projects` and `users` out to load all of it, and "
            "report it."
        )


class SuspiciousDeletionsError(HarvestError):
    """Most rows of a table would be taken for deleted: more likely something else is wrong.

    Args:
        endpoint: The table.
        gone: How many would go.
        held: How many the destination holds.
        account_id: Of which account; None where there is but one.
        limit: What the table is limited to, in words; nothing where it is not.
        is_history: Whether it is a table of versions, of which no row goes.
    """

    def __init__(
        self,
        endpoint: str,
        gone: int,
        held: int,
        account_id: int | None,
        limit: str = "",
        *,
        is_history: bool = False,
    ) -> None:
        self.endpoint, self.gone, self.held = endpoint, gone, held
        table = f"`{endpoint}`, limited to {limit}" if limit else f"`{endpoint}`"
        check = ", the account and this limit" if limit else " and the account"
        indeed = "are to go" if limit else "were deleted indeed"
        held_there = f"{gone:,} of the {held:,} that the destination holds"
        untouched = "none of these was touched"
        if is_history:
            held_there = f"{gone:,} of the {held:,} records that it tells are there"
            untouched = "it would tell that these are gone, and no row would be deleted from it"
        super().__init__(
            f"{table}: Harvest no longer lists {held_there}: {untouched}; check the token{check}, "
            f"and if they {indeed}, run once with {how_to_confirm(account_id)}."
        )


class NarrowerTokenError(HarvestError):
    """A token that may see less than the one before it would replace figures by smaller ones."""

    def __init__(self, endpoint: str, account_id: int | None) -> None:
        self.endpoint = endpoint
        super().__init__(
            f"`{endpoint}`: the token may see less than the one before it, and its figures would "
            "replace those of all: nothing was loaded from it; use the former token, or accept it "
            f"with {how_to_confirm(account_id)}."
        )


class MalformedRecordError(HarvestError):
    """A record has a value that can't be used, and that must not be passed over."""

    def __init__(self, endpoint: str, record_id: int, field: str, value: object) -> None:
        self.endpoint, self.record_id, self.field = endpoint, record_id, field
        super().__init__(
            f"`{endpoint}`: record {record_id} has {value!r} as `{field}`, which is no timestamp: "
            "nothing of the list was taken for deleted; report it, or run again later."
        )


class ForeignAddressError(HarvestError):
    """A link or redirect leaves the configured host."""

    concerns_everything = True

    def __init__(self, endpoint: str, host: str) -> None:
        self.endpoint = endpoint
        super().__init__(
            f"`{endpoint}`: the answer points to {host}, which is not the host of `base_url`: "
            "the token is not sent there; check `base_url`."
        )


class AnswerError(HarvestError, HTTPError):
    """Harvest answered, but not with data. dlt's retry reads `response` from here."""

    def __init__(self, message: str, response: Response) -> None:
        HTTPError.__init__(self, message, response=response)


class StatusError(AnswerError):
    """A 4xx or 5xx status."""

    def __init__(self, endpoint: str, response: Response, *, setting: str = "base_url") -> None:
        self.endpoint = endpoint
        self.status = response.status_code
        self.concerns_everything = self.status == 401
        remedy = REMEDIES.get(self.status, REFUSED if self.status < 500 else SERVER_TROUBLE)
        if self.status == 422 and "updated_since=" in str(response.request.url):
            remedy = MOMENT_REFUSED
        remedy = remedy.format(setting=setting)
        super().__init__(f"`{endpoint}`: Harvest answered {self.status}: {remedy}.", response)


class MalformedAnswerError(AnswerError):
    """A 200 that is not the JSON it must be; never taken for an empty list."""

    def __init__(
        self, endpoint: str, problem: str, response: Response, *, setting: str = "base_url"
    ) -> None:
        self.endpoint = endpoint
        super().__init__(
            f"`{endpoint}`: Harvest answered 200, but {problem}: check `{setting}`, or run again "
            "later; nothing of it was taken for deleted.",
            response,
        )


def by_account(said: Iterable[tuple[int, str]]) -> list[str]:
    """Return what was said of accounts, each text once, with the accounts that it concerns."""
    accounts: dict[str, list[int]] = {}
    for account, text in said:
        accounts.setdefault(text, []).append(account)
    return [
        f"Account{'s' if len(ids) > 1 else ''} {', '.join(map(str, ids))}: {text}"
        for text, ids in accounts.items()
    ]


def how_to_confirm(account_id: int | None) -> str:
    """Return how to confirm deletions.

    Args:
        account_id: Of which account; None where there is but one.
    """
    only = f" and `only_account` (--account {account_id})" if account_id is not None else ""
    return f"`confirm_deletions` (--confirm-deletions){only}"


def _in_brief(cause: BaseException) -> str:
    """Return an exception's name and the first line of its text."""
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[0] if lines else 'no reason given'}"

"""Builds the metrics: the dbt package in `harvest/dbt`, run by dlt on what a pipeline loaded."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from importlib.metadata import version
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

import dlt
import yaml
from dlt import Pipeline
from dlt.common.exceptions import CannotInstallDependencies
from dlt.common.runners import Venv
from dlt.common.utils import custom_environ
from dlt.helpers import dbt as dlt_dbt
from dlt.helpers.dbt.exceptions import DBTRunnerException
from dlt.helpers.dbt.runner import DBTPackageRunner
from filelock import FileLock

from .errors import MetricsDestinationError, MetricsError
from .settings import data_folder

PACKAGE = Path(__file__).parent / "dbt"

DBT_VERSION = "~=1.11.0"
"""What the package is tested with."""

EXCHANGE_RATES = "sources.harvest.metrics.exchange_rates"
"""Where dlt's configuration says what currencies are worth in the company's."""

CONNECTORS = ("airbyte", "fivetran", "stitch")
"""Those whose names the package's variable `like` knows."""

OUR_PROFILES = ("duckdb", "postgres")
"""Destinations that the package's `profiles.yml` connects to. For others there are dlt's."""


def build(
    pipeline: Pipeline,
    *,
    tell: Callable[[str], object] = print,
    venv: Venv | None = None,
    variables: Mapping[str, Any] | None = None,
) -> str:
    """Build all metrics of the accounts that a pipeline has loaded.

    dbt runs in an environment of its own, since it would change other packages. The first time it
    is installed, which takes a minute and needs a package index; all pipelines of this user share
    it.

    Args:
        pipeline: Whose dataset is read, after it was loaded.
        tell: Takes lines for the user.
        venv: Where dbt and dlt are installed. Default: an environment in dlt's data folder.
        variables: Of the dbt package, see its `dbt_project.yml`: `today`, `exchange_rates`, `like`,
            …. Without exchange rates here, those of `sources.harvest.metrics` in dlt's
            configuration.

    Returns:
        The dataset (schema) that holds the metrics: that of the pipeline with `_metrics`.

    Raises:
        MetricsDestinationError: dbt can't build anything on this destination.
        MetricsError: dbt could not be installed, or a model could not be built.
    """
    demand_dbt(pipeline)
    with pipeline.sql_client() as client:
        dataset = client.dataset_name
    try:
        dbt = runner(pipeline, venv or _environment(pipeline, tell))
        rates = dlt.config.get(EXCHANGE_RATES, dict) or {}
        given = {"source_dataset_name": dataset, "exchange_rates": rates, **(variables or {})}
        with aside(pipeline):
            dbt.run(additional_vars=given)
    except DBTRunnerException as error:
        raise MetricsError(*_first_failure(error)) from error
    except CannotInstallDependencies as error:
        raise MetricsError("installing dbt", _last_line(error)) from error
    except CalledProcessError as error:  # dbt's process died before it could say why
        raise MetricsError("dbt", _last_line(error.stderr)) from error
    return f"{dataset}_metrics"


def demand_dbt(pipeline: Pipeline) -> None:
    """Make sure that dlt can let dbt work on a pipeline's destination.

    Raises:
        MetricsDestinationError: It can't.
    """
    text = (Path(str(dlt_dbt.__file__)).parent / "profiles.yml").read_text(encoding="utf-8")
    known = sorted({name.partition("_")[0] for name in yaml.safe_load(text)})
    if _type(pipeline) not in known:
        raise MetricsDestinationError(pipeline.destination.destination_name, known)


def _type(pipeline: Pipeline) -> str:
    return pipeline.destination.destination_type.rpartition(".")[2]


def runner(pipeline: Pipeline, venv: Venv) -> DBTPackageRunner:
    """Return dlt's runner of the package, for a pipeline's destination.

    Args:
        pipeline: Whose dataset is read.
        venv: Where dbt and dlt are installed.
    """
    made = dlt.dbt.package(pipeline, str(PACKAGE), venv=venv)
    if made.config.package_profile_name in OUR_PROFILES:
        made.config.package_profiles_dir = str(PACKAGE)
    return made


@contextmanager
def aside(pipeline: Pipeline) -> Iterator[None]:
    """Let dbt write beside the pipeline's state, and to stderr.

    The package's own folder may be read-only, and stdout is for the summary.
    """
    folder = Path(pipeline.working_dir).absolute() / "dbt"
    folders = {"DBT_TARGET_PATH": str(folder / "target"), "DBT_LOG_PATH": str(folder / "logs")}
    with custom_environ(folders), redirect_stdout(sys.stderr):
        yield


def environment_name(destination: str) -> str:
    """Return the name of the folder of dbt's environment: other versions get another."""
    parts = [destination, DBT_VERSION.strip("~="), version("dlt")]
    if destination == "duckdb":
        parts.append(version("duckdb"))  # an older one could not read the file
    return "-".join(parts)


def _environment(pipeline: Pipeline, tell: Callable[[str], object]) -> Venv:
    """Return the environment of dbt for the pipeline's destination, made if it is not there."""
    name = environment_name(_type(pipeline))
    folder = data_folder() / "dbt" / name
    ready = folder / "ready"
    if ready.exists():
        return Venv.restore(str(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):  # another pipeline of this user may be making it
        if ready.exists():
            return Venv.restore(str(folder))
        tell("Installing dbt for the metrics, once: this takes a minute.")
        made = dlt.dbt.get_venv(pipeline, str(folder), DBT_VERSION)
        ready.touch()
        return made


def _last_line(text: object) -> str:
    return next(reversed(str(text).strip().splitlines()), "no reason given")


def _first_failure(error: DBTRunnerException) -> tuple[str, str]:
    for result in getattr(error, "run_results", None) or ():
        if result.status == "error":
            return f"`{result.model_name}`", " ".join(str(result.message).split())
    return "dbt", " ".join(str(error).split())

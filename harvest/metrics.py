"""Builds metrics, and tables under other connectors' names, of what a pipeline loaded.

Both are of the dbt package in `harvest/dbt`, which dlt runs.
"""

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

from .errors import LikeDestinationError, MetricsDestinationError, MetricsError
from .notify import notifies
from .settings import data_folder

PACKAGE = Path(__file__).parent / "dbt"

DBT_VERSION = "~=1.11.0"
"""What the package is tested with."""

EXCHANGE_RATES = "sources.harvest.metrics.exchange_rates"
"""Where dlt's configuration says what currencies are worth in the company's."""

METRICS = "metrics"

CONNECTORS = ("airbyte", "fivetran", "stitch")
"""Those whose names the package's variable `like` knows."""

OURS = ("duckdb", "postgres")
"""Destinations that the package's `profiles.yml` connects to, and where it makes JSON.

For others there are dlt's profiles.
"""


@notifies
def build(
    pipeline: Pipeline,
    *names: str,
    tell: Callable[[str], object] = print,
    venv: Venv | None = None,
    variables: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """Build metrics of all accounts that a pipeline has loaded, or tables of another's names.

    dbt runs in an environment of its own, since it would change other packages. The first time it
    is installed, which takes a minute and needs a package index; all pipelines of this user share
    it.

    Args:
        pipeline: Whose dataset is read, after it was loaded.
        names: What to build: "metrics", or all tables under the names that "airbyte", "fivetran" or
            "stitch" gives them. The metrics, if nothing is named.
        tell: Takes lines for the user.
        venv: Where dbt and dlt are installed. Default: an environment in dlt's data folder.
        variables: Of the dbt package, see its `dbt_project.yml`: `today`, `exchange_rates`, ….
            Without exchange rates here, those of `sources.harvest.metrics` in dlt's
            configuration.

    Returns:
        By name, the dataset (schema) that holds it, see `built_in`.

    Raises:
        MetricsDestinationError: dbt can't build anything on this destination.
        LikeDestinationError: It can't build tables of another connector's names there.
        MetricsError: dbt could not be installed, or a model could not be built. A webhook is told
            of each failure, as by `harvest.run.load`.
    """
    wanted = names or (METRICS,)
    demand_dbt(pipeline, *wanted)
    with pipeline.sql_client() as client:
        dataset = client.dataset_name
    try:
        dbt = runner(pipeline, venv or _environment(pipeline, tell))
        given = {
            "source_dataset_name": dataset,
            "exchange_rates": dlt.config.get(EXCHANGE_RATES, dict) or {},
            "like": [name for name in wanted if name != METRICS],
            **(variables or {}),
        }
        with aside(pipeline):
            dbt.run([] if METRICS in wanted else ["--select", "like"], additional_vars=given)
    except DBTRunnerException as error:
        raise MetricsError(wanted, *_first_failure(error)) from error
    except CannotInstallDependencies as error:
        raise MetricsError(wanted, "installing dbt", _last_line(error)) from error
    except CalledProcessError as error:  # dbt's process died before it could say why
        raise MetricsError(wanted, "dbt", _last_line(error.stderr)) from error
    return {name: built_in(dataset, name) for name in wanted}


def built_in(dataset: str, name: str = METRICS) -> str:
    """Return the dataset that holds what is built, as the package's `+schema` makes it.

    Args:
        dataset: The one that was loaded.
        name: What is built, as `build` takes it.
    """
    return f"{dataset}_{name}"


def demand_dbt(pipeline: Pipeline, *names: str) -> None:
    """Make sure that dlt can let dbt build something on a pipeline's destination.

    Args:
        pipeline: The pipeline.
        names: What is to be built, as `build` takes it.

    Raises:
        MetricsDestinationError: It can't build anything.
        LikeDestinationError: It can't build tables of another connector's names.
    """
    text = (Path(str(dlt_dbt.__file__)).parent / "profiles.yml").read_text(encoding="utf-8")
    known = sorted({name.partition("_")[0] for name in yaml.safe_load(text)})
    if _type(pipeline) not in known:
        raise MetricsDestinationError(pipeline.destination.destination_name, known)
    if _type(pipeline) not in OURS and (like := [name for name in names if name in CONNECTORS]):
        raise LikeDestinationError(pipeline.destination.destination_name, like, OURS)


def _type(pipeline: Pipeline) -> str:
    return pipeline.destination.destination_type.rpartition(".")[2]


def runner(pipeline: Pipeline, venv: Venv) -> DBTPackageRunner:
    """Return dlt's runner of the package, for a pipeline's destination.

    Args:
        pipeline: Whose dataset is read.
        venv: Where dbt and dlt are installed.
    """
    made = dlt.dbt.package(pipeline, str(PACKAGE), venv=venv)
    if made.config.package_profile_name in OURS:
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

"""Says whose affair a failure of a run is, and what to do."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from pathlib import Path

from dlt import Pipeline, destinations
from dlt.common.configuration.exceptions import ConfigurationException
from dlt.common.destination.exceptions import DestinationException
from dlt.common.exceptions import DltException
from dlt.load.exceptions import LoadClientJobException

from .errors import CustomStepError, HarvestError, InternalError, LoadError, StepError
from .refused import refusal

BUGS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""Exceptions that code raises by mistake, and that no destination or network causes."""

OUR_FOLDER = Path(__file__).parent
DESTINATIONS_OF_DLT = Path(destinations.__file__).parent
STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib"))


@contextmanager
def explained(pipeline: Pipeline) -> Iterator[None]:
    """Turn whatever is raised into one line that says whose affair it is, and what to do.

    A destination's drivers report values and credentials that they refuse by exceptions that
    elsewhere are bugs, so where dlt deals with the destination, by its step or by the code that
    raised it, they are not taken for ours. Elsewhere a step of the user's own may raise anything,
    so the code that raised it is looked at.
    """
    try:
        yield
    except Exception as error:
        links = [*_chain(error)]
        for link in links:
            if isinstance(link, (HarvestError, ConfigurationException, KeyboardInterrupt)):
                raise link from None
            if isinstance(link, LoadClientJobException):
                raise refusal(pipeline, link) from error
        step = getattr(error, "step", "run")
        at_destination = step in {"sync", "load"} or any(
            isinstance(link, DestinationException) or _is_destinations(link) for link in links
        )
        if at_destination:
            raise LoadError(step, links[-1]) from error
        # dlt wraps what was raised, sometimes more than once.
        raised = next((link for link in links if not isinstance(link, DltException)), error)
        frame = _blamed(raised)
        place = f"{Path(frame.filename).name}, line {frame.lineno}"
        if _is_users(frame):
            raise CustomStepError(raised, place) from error
        # A process of dlt's own that is killed, as where memory runs out, is no bug.
        if isinstance(raised, BUGS) and not isinstance(raised, BrokenExecutor):
            raise InternalError(step, raised, place) from error
        raise StepError(step, raised) from error


def _blamed(error: BaseException) -> traceback.FrameSummary:
    """Return the innermost frame that is ours or the user's; without one, the innermost."""
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        if _is_ours(frame) or _is_users(frame):
            return frame
    return frames[-1]


def _is_destinations(error: BaseException) -> bool:
    """Whether dlt's code for destinations raised it, or a driver that this calls.

    dlt wraps what a driver raises when it is asked, but not when it can't connect.
    """
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if _is_in(DESTINATIONS_OF_DLT, frame):
            return True
        if _is_ours(frame) or _is_users(frame):
            return False
    return False


def _is_in(folder: Path, frame: traceback.FrameSummary) -> bool:
    return folder in Path(frame.filename).parents


def _is_ours(frame: traceback.FrameSummary) -> bool:
    return _is_in(OUR_FOLDER, frame)


def _is_users(frame: traceback.FrameSummary) -> bool:
    """Whether the code of a frame is not ours, dlt's, another library's, Python's or generated."""
    file = Path(frame.filename)
    return not (
        _is_ours(frame)
        or not {"site-packages", "dist-packages"}.isdisjoint(file.parts)
        or STANDARD_LIBRARY in file.parents
        or frame.filename.startswith("<")
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what it was raised from.

    What was being handled belongs to it only where dlt or a library raised it. An exception that
    our code or the user's raises meanwhile is a failure of its own.
    """
    link: BaseException | None = error
    seen: set[BaseException] = set()  # Somebody may have raised a cause from its effect.
    while link is not None and link not in seen:
        seen.add(link)
        yield link
        wraps = isinstance(link, DltException) or not _is_mistake(link)
        link = link.__cause__ or (link.__context__ if wraps else None)


def _is_mistake(error: BaseException) -> bool:
    frame = _blamed(error) if error.__traceback__ else None
    return frame is not None and (_is_ours(frame) or _is_users(frame))

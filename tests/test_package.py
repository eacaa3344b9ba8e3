"""The package that is built installs into a fresh environment and works there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
import venv
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

from harvest.settings import VERSION

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist and, from it, the wheel."""
    folder = tmp_path_factory.mktemp("dist")
    for part in ("build-env", "unpacked"):
        (folder / part).mkdir()
    venv.create(folder / "build-env", with_pip=True)
    python = folder / "build-env" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "hatchling")
    run(python, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=ROOT)
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    run(python, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=unpacked)
    return folder


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a command outside this checkout, demand that it succeeds, and return what it printed."""
    ours = "PYTHONPATH", "PYTHONDONTWRITEBYTECODE"
    env = {name: value for name, value in os.environ.items() if name not in ours}
    done = subprocess.run(  # noqa: S603 - our own commands
        command, cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tracked(*folders: str) -> set[str]:
    """Return the files that git keeps of some folders."""
    listed = run(
        "git", "ls-files", "--cached", "--others", "--exclude-standard", *folders, cwd=ROOT
    )
    return set(listed.split())


def test_wheel_holds(dist: Path) -> None:
    """The wheel holds the source and the sandbox, and nothing else."""
    (wheel,) = dist.glob("*.whl")
    with ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == tracked("harvest", "harvest_sandbox")


def test_sdist_holds(dist: Path) -> None:
    """The sdist holds what the wheel is built from and what a reader needs, and nothing else."""
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    about = {"README.md", "CHANGELOG.md", "LICENSE", "PKG-INFO", ".gitignore"}
    build = {"pyproject.toml", "hatch_build.py", "harvest_pipeline.py"}
    assert names == tracked("harvest", "harvest_sandbox", "docs") | about | build


def test_fresh_environment(dist: Path, tmp_path: Path) -> None:
    """Installed, the command loads the sandbox, and dlt reads what it loaded."""
    (wheel,) = dist.glob("*.whl")
    venv.create(tmp_path / "env")
    folder = tmp_path / "env" / "bin"
    pip = dist / "build-env" / "bin" / "python", "-m", "pip", "--python", folder / "python"
    run(*pip, "install", "-q", "--no-compile", wheel)  # Python compiles what it imports
    run(*pip, "check")
    home = tmp_path / "home"
    home.mkdir()
    assert f"dlt-harvest {VERSION}\n" == run(folder / "dlt-harvest", "--version", cwd=home)
    assert "clients" in run(folder / "dlt-harvest", "--demo", "clients", "projects", cwd=home)
    code = (
        "import dlt; "
        "pipeline = dlt.attach('harvest_demo', pipelines_dir='.dlt/pipelines'); "
        "print(dict(pipeline.dataset().row_counts().fetchall()))"
    )
    assert "'clients': 8" in run(folder / "python", "-c", code, cwd=home)


def test_image_holds(dist: Path, tmp_path: Path) -> None:
    """The image gets what the package is built from by name, and no settings, secrets or data."""
    copied = re.findall(
        r"^COPY (.+) /connector/", (ROOT / "examples" / "Dockerfile").read_text(), re.MULTILINE
    )
    for name in " ".join(copied).split():
        assert tracked(name), name
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    python = dist / "build-env" / "bin" / "python"
    run(python, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path, cwd=tmp_path)
    (wheel,), (whole,) = tmp_path.glob("*.whl"), dist.glob("*.whl")
    with ZipFile(wheel) as here, ZipFile(whole) as there:
        assert {*here.namelist()} == {*there.namelist()}


def test_lock() -> None:
    """The lock names a version of everything that development needs, and no place to get it."""
    lock = (ROOT / "requirements-dev.lock").read_text()
    locked = dict(line.split(" ")[0].split("==") for line in lock.splitlines())
    for line in needed(ROOT / "requirements-dev.txt"):
        name = re.split(r"[^\w-]", line)[0]
        assert name in locked, f"{name}: run `make lock`"


def needed(file: Path) -> Iterator[str]:
    """Yield the requirements that a file names, and those of the files that it includes."""
    for line in file.read_text().splitlines():
        if line.startswith("-r "):
            yield from needed(file.parent / line.removeprefix("-r "))
        elif not line.startswith("#"):
            yield line

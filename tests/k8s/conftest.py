"""The overlays, rendered by kustomize itself (kubectl from its PyPI wheel), offline."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s.arrange import OVERLAYS, arrange
from tests.system.conftest import data

__all__ = ["data"]

KUBECTL = Path(sys.executable).parent / "kubectl"
NAMES = ("laptop", "testbed", "production")

Resource = dict[str, Any]


def render(folder: Path) -> list[Resource]:
    """What `kubectl apply -k` would send."""
    done = subprocess.run([KUBECTL, "kustomize", folder], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return [resource for resource in yaml.safe_load_all(done.stdout) if resource]


@pytest.fixture(scope="session")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the folder, with the secrets that `arrange` writes."""
    copy = tmp_path_factory.mktemp("deployment") / "k8s"
    shutil.copytree(OVERLAYS.parent, copy, ignore=shutil.ignore_patterns("made", "__pycache__"))
    for name in ("laptop", "testbed"):
        arrange(copy / "overlays" / name)
    return copy


@pytest.fixture(scope="session")
def overlays(copied: Path) -> dict[str, list[Resource]]:
    """Every overlay's resources."""
    return {name: render(copied / "overlays" / name) for name in NAMES}


@pytest.fixture(params=NAMES)
def overlay(request: pytest.FixtureRequest) -> str:
    """The name of each overlay in turn."""
    name: str = request.param
    return name


@pytest.fixture
def resources(overlay: str, overlays: dict[str, list[Resource]]) -> list[Resource]:
    """The resources of one overlay."""
    return overlays[overlay]

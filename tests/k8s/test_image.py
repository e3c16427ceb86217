"""The image cannot be built here; what goes into it can: the same files, the same wheel, a fresh
environment with nothing of the repository in reach, and the processes run from it."""

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.gateway.test_processes_of_a_cluster import gateway_file
from tests.k8s.conftest import Resource
from tests.k8s.resources import WORKLOADS, of, pod

ROOT = Path(__file__).parents[2]
CONTAINERFILE = (ROOT / "k8s" / "Containerfile").read_text()


def copied() -> list[Path]:
    """What the build stage copies out of the repository."""
    found = []
    for line in re.findall(r"^COPY (.*)$", CONTAINERFILE, re.MULTILINE):
        *sources, _ = line.split()
        for source in sources:
            there = list(ROOT.glob(source))
            assert there or "*" in source, f"COPY {source}"
            found += there
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from just the files that the image is built from."""
    source = tmp_path_factory.mktemp("source")
    for path in copied():
        if path.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(path, source / path.name, ignore=ignored)
        else:
            shutil.copy(path, source)
    into = tmp_path_factory.mktemp("wheels")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    # Without an index: the build backend and the dependencies are those of the test environment.
    offline = ["--no-index", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*pip, *offline, "--wheel-dir", into, source], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = into.glob("lockstep-*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel in it; the dependencies are found in the tests' own."""
    place = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    (packages,) = place.glob("lib/python3*/site-packages")
    target = ["--target", packages, "--no-index", "--no-deps", "--no-compile"]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--root-user-action=ignore", *target, wheel], check=True)
    # Appended to the path, so behind the wheel's own files. No .pth of it is executed.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place


def lockstep(environment: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command with nothing to write to but its answers."""
    return subprocess.run(
        [environment / "bin" / "python", "-m", "gateway.cli", *arguments],
        cwd="/",
        env={"HOME": "/nonexistent", "TMPDIR": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_is_loaded_from_the_wheel(environment: Path) -> None:
    python = [environment / "bin" / "python", "-c"]
    for package in ("gateway", "htlc", "ledgers", "protocols"):
        done = subprocess.run(
            [*python, f"import {package}; print({package}.__path__[0])"],
            cwd="/",
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.startswith(str(environment))


def test_every_file_that_the_code_reads_is_in_it(wheel: Path) -> None:
    import zipfile

    inside = set(zipfile.ZipFile(wheel).namelist())
    read = {".sql", ".toml", ".xsd", ".xml", ".json", ".txt"}
    wanted = {
        str(path.relative_to(ROOT))
        for folder in copied()
        if folder.is_dir()
        for path in folder.rglob("*")
        if path.suffix in read
    }
    assert wanted, "there are such files"
    assert wanted - inside == set()
    assert not {name for name in inside if name.startswith(("tests/", "k8s/"))}


def test_the_command_is_there_and_answers(environment: Path, wheel: Path) -> None:
    import zipfile

    (entry,) = [n for n in zipfile.ZipFile(wheel).namelist() if n.endswith("entry_points.txt")]
    assert "lockstep = gateway.cli:main" in zipfile.ZipFile(wheel).read(entry).decode()
    done = lockstep(environment, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\n  gateway " in done.stdout


def test_schemas_worlds_and_demo_day_are_found_from_it(environment: Path) -> None:
    message = ROOT / "gateway" / "demo" / "day" / "RHEIDEF0XXX" / "04-single.xml"
    assert lockstep(environment, "validate", str(message)).returncode == 0
    code = (
        "from gateway.machine import world; from gateway.demo.expected import DAY; "
        "print(len(world.load(world.find('dvp')).ledgers), len(list(DAY.rglob('*.xml'))) > 50)"
    )
    done = subprocess.run(
        [environment / "bin" / "python", "-c", code],
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "2 True\n"


def test_a_gateway_migrates_and_serves_from_it(environment: Path, tmp_path: Path, dsn: str) -> None:
    file = gateway_file(tmp_path, dsn)
    assert lockstep(environment, "migrate", "gateway", "--dsn", f"file:{tmp_path}/uri").stdout
    process = subprocess.Popen(
        [environment / "bin" / "python", "-m", "gateway.cli", "gateway", "--config", file],
        cwd="/",
        env={"HOME": "/nonexistent", "TMPDIR": "/nonexistent"},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert '"event":"ready"' in process.stdout.readline()
        process.terminate()
        assert process.wait(20) == 0


def test_the_image_runs_as_whom_the_manifests_say(overlays: dict[str, list[Resource]]) -> None:
    (user,) = re.findall(r"^USER (\d+):(\d+)$", CONTAINERFILE, re.MULTILINE)
    for workload in of(overlays["production"], *WORKLOADS):
        context = pod(workload)["securityContext"]
        assert (str(context["runAsUser"]), str(context["runAsGroup"])) == user


def test_the_image_begins_with_a_named_release_and_runs_the_command() -> None:
    bases = re.findall(r"^FROM (\S+)", CONTAINERFILE, re.MULTILINE)
    assert bases and all(re.fullmatch(r"python:3\.\d+-slim", base) for base in bases)
    assert 'ENTRYPOINT ["lockstep"]' in CONTAINERFILE
    assert not re.search(r"^ADD ", CONTAINERFILE, re.MULTILINE)

"""Real child processes that die in all ways, and what their clients see of it."""

import asyncio
import os
import shutil
import signal
import socket
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.embedded import Cluster, EmbeddedError, temporary_directory
from gateway.machine import child, supervisor
from gateway.machine.supervisor import Deaths, Service, Supervisor, SupervisorError

REPOSITORY = Path(__file__).parents[2]

READY = """
import json, os, sys
print(json.dumps({"event": "ready", "pid": os.getpid()}), flush=True)
"""

# Answers each connection with its own process number.
SERVER = """
import socket
listening = socket.socket(fileno=int(sys.argv[1]))
listening.setblocking(True)
while True:
    connection, _ = listening.accept()
    connection.sendall(str(os.getpid()).encode())
    connection.close()
"""

LIFELINE = """
import asyncio
from gateway.process.lifeline import parent_gone
asyncio.run(parent_gone())
"""

SLEEP = "import time; time.sleep(600)"


def service(
    *code: str, name: str = "ledger", arguments: tuple[str, ...] = (), ports: int = 0
) -> Service:
    source = "\n".join(textwrap.dedent(part) for part in code)
    return Service(
        name=name,
        argv=(sys.executable, "-c", source, *arguments),
        listen=(("127.0.0.1", 0),) * ports,
    )


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


async def ask(address: tuple[str, int]) -> int:
    reader, writer = await asyncio.open_connection(*address)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return int(answer)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
async def kept(said: list[str], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Supervisor]:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    before = set(Path("/proc/self/fd").iterdir())
    running = Supervisor(say=said.append)
    yield running
    await running.stop()
    assert set(Path("/proc/self/fd").iterdir()) == before  # sockets and pipes are all closed


def pid_of(kept: Supervisor, name: str = "ledger") -> int:
    return int(kept.ready[name]["pid"])


async def test_start_waits_for_the_ready_line_and_keeps_it(kept: Supervisor) -> None:
    began = time.monotonic()
    await kept.start(service("import time; time.sleep(0.3)", READY, SLEEP))
    assert time.monotonic() - began >= 0.3
    assert kept.ready["ledger"]["event"] == "ready"
    assert runs(pid_of(kept))


async def test_other_lines_are_passed_on_and_never_fill_the_pipe(
    kept: Supervisor, said: list[str]
) -> None:
    noise = "for i in range(3): print('x' * 400_000 if i == 1 else i, flush=True)"
    await kept.start(service(noise, READY, "print('[1]')", "sys.stdout.flush()", SLEEP))
    await until(lambda: "ledger: [1]" in said)
    assert said[0] == "ledger: 0"
    assert said[2] == "ledger: 2"


async def test_a_line_without_end_is_no_harm(
    kept: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "LINE_BYTES_MAX", 1000)
    await kept.start(service("print('x' * 50_000, flush=True)", READY, SLEEP))
    assert runs(pid_of(kept))


async def test_a_killed_child_is_started_again_on_its_port(
    kept: Supervisor, said: list[str]
) -> None:
    (address,) = await kept.start(service(READY, SERVER, arguments=("{fd0}",), ports=1))
    first = pid_of(kept)
    assert await ask(address) == first
    os.kill(first, signal.SIGKILL)
    await until(lambda: pid_of(kept) != first)
    assert await ask(address) == pid_of(kept)
    assert said == ["ledger was killed by signal 9; starting it again in 0.1 s"]


async def test_a_connection_made_while_the_child_is_dead_is_answered_later(
    kept: Supervisor, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "PAUSE_SECONDS_MIN", 0.5)
    (address,) = await kept.start(service(READY, SERVER, arguments=("{fd0}",), ports=1))
    first = pid_of(kept)
    os.kill(first, signal.SIGKILL)
    await until(lambda: bool(said))
    assert not runs(first)
    assert await ask(address) not in (first, 0)


async def test_each_address_has_its_descriptor(kept: Supervisor, said: list[str]) -> None:
    names = "print(*(socket.socket(fileno=int(f)).getsockname()[1] for f in sys.argv[1:]))"
    both = ("{fd1}", "{fd0}")
    started = service("import socket, sys", READY, names, "sys.stdout.flush()", SLEEP)
    addresses = await kept.start(
        Service(
            name="two",
            argv=(*started.argv, *both),
            listen=(("127.0.0.1", 0), ("127.0.0.1", 0)),
        )
    )
    await until(lambda: bool(said))
    assert said == [f"two: {addresses[1][1]} {addresses[0][1]}"]


async def test_an_address_in_use_is_refused_by_name(kept: Supervisor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        wanted = Service(
            name="ledger", argv=("true",), listen=(("127.0.0.1", 0), ("127.0.0.1", port))
        )
        with pytest.raises(SupervisorError, match=f"ledger cannot listen on 127.0.0.1 port {port}"):
            await kept.start(wanted)


def test_the_pause_doubles_to_its_limit_and_a_long_life_resets_it() -> None:
    pauses = []
    deaths = Deaths()
    for _ in range(8):
        deaths = deaths.one_more(ready=True, lived_seconds=1.0)
        pauses.append(deaths.pause_seconds)
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert deaths.one_more(ready=True, lived_seconds=30.0).pause_seconds == 0.1
    assert deaths.one_more(ready=True, lived_seconds=29.9).pause_seconds == 5.0


def test_only_deaths_before_ready_count_towards_giving_up() -> None:
    deaths = Deaths()
    for _ in range(7):
        deaths = deaths.one_more(ready=False, lived_seconds=0.0)
    assert deaths.unready_in_a_row == 7
    assert deaths.one_more(ready=False, lived_seconds=0.0).unready_in_a_row == 8
    assert deaths.one_more(ready=True, lived_seconds=0.0).unready_in_a_row == 0


async def test_a_child_that_dies_again_and_again_is_heard_of_at_growing_intervals(
    kept: Supervisor, said: list[str]
) -> None:
    await kept.start(service(READY, "sys.exit(3)"))
    await until(lambda: len(said) == 3)
    assert said == [
        f"ledger ended with exit status 3; starting it again in {pause} s"
        for pause in ("0.1", "0.2", "0.4")
    ]


async def test_a_service_that_never_gets_ready_is_given_up(
    kept: Supervisor, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "PAUSE_SECONDS_MIN", 0.001)
    with pytest.raises(SupervisorError, match=r"ledger cannot be kept up: 8 starts.*exit status 2"):
        await kept.start(Service(name="ledger", argv=("/bin/sh", "-c", "exit 2")))
    assert len(said) == 7


async def test_a_service_that_is_lost_for_good_ends_the_run(
    kept: Supervisor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(supervisor, "PAUSE_SECONDS_MIN", 0.001)
    broken = tmp_path / "broken"
    unless_broken = f"import os, sys\nif os.path.exists({str(broken)!r}): sys.exit(5)"
    await kept.start(service(unless_broken, READY, SLEEP))
    await kept.start(service(READY, SLEEP, name="other"))
    run = asyncio.create_task(kept.run())
    broken.touch()
    os.kill(pid_of(kept), signal.SIGKILL)
    with pytest.raises(SupervisorError, match="ledger cannot be kept up"):
        await asyncio.wait_for(run, 60)
    assert runs(pid_of(kept, "other"))
    await kept.stop()
    assert not runs(pid_of(kept, "other"))


async def test_a_program_that_is_not_there_is_said_so(
    kept: Supervisor, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "PAUSE_SECONDS_MIN", 0.001)
    with pytest.raises(SupervisorError, match=r"could not be started \(No such file.*/no/such"):
        await kept.start(Service(name="ledger", argv=("/no/such/program",)))


async def test_a_service_that_hangs_before_ready_is_given_up_in_time(
    kept: Supervisor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(child, "READY_SECONDS", 0.5)
    pid_file = tmp_path / "pid"
    hangs = f"import os, pathlib; pathlib.Path({str(pid_file)!r}).write_text(str(os.getpid()))"
    with pytest.raises(SupervisorError, match=r"was not ready within 0\.5 s"):
        await kept.start(service(hangs, SLEEP))
    # On a busy machine it may have been given up before it had written anything.
    assert not (pid_file.exists() and runs(int(pid_file.read_text() or "0")))


async def test_stop_ends_run_and_leaves_nothing_even_of_the_stubborn(
    kept: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "STOP_SECONDS", 0.3)
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    await kept.start(service(deaf, READY, SLEEP))
    await kept.start(service(READY, LIFELINE, name="polite"))
    run = asyncio.create_task(kept.run())
    pids = [pid_of(kept), pid_of(kept, "polite")]
    await kept.stop()
    await asyncio.wait_for(run, 30)
    assert not any(runs(pid) for pid in pids)
    await kept.stop()


async def test_what_a_dead_child_has_left_behind_is_ended_too(kept: Supervisor) -> None:
    worker = "import subprocess; worker = subprocess.Popen(['sleep', '600'])"
    tell = "print(json.dumps({'event': 'ready', 'pid': os.getpid(), 'worker': worker.pid}))"
    await kept.start(service("import json, os, sys", worker, tell, "sys.stdout.flush()", SLEEP))
    worker_pid = kept.ready["ledger"]["worker"]
    first = pid_of(kept)
    assert runs(worker_pid)
    os.kill(first, signal.SIGKILL)
    await until(lambda: pid_of(kept) != first)
    assert not runs(worker_pid)


async def test_a_child_is_out_of_reach_of_control_c(kept: Supervisor) -> None:
    await kept.start(service(READY, SLEEP))
    assert os.getsid(pid_of(kept)) == pid_of(kept)
    assert os.getpgid(pid_of(kept)) != os.getpgid(0)


SUPERVISED = f"""
import asyncio, sys
from gateway.machine.supervisor import Service, Supervisor

async def main():
    kept = Supervisor(say=lambda line: None)
    for name in ("a", "b"):
        await kept.start(Service(name=name, argv=(sys.executable, "-c", {READY + LIFELINE!r})))
    print(kept.ready["a"]["pid"], kept.ready["b"]["pid"], flush=True)
    await kept.run()

asyncio.run(main())
"""


@pytest.mark.system
async def test_a_killed_supervisor_takes_its_children_with_it() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SUPERVISED),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )
    assert process.stdout is not None
    pids = [int(word) for word in (await process.stdout.readline()).split()]
    try:
        assert all(runs(pid) for pid in pids)
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
        await until(lambda: not any(runs(pid) for pid in pids))
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


async def test_without_a_pipe_on_standard_input_nobody_is_missed() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", READY + LIFELINE),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )
    assert process.stdout is not None
    await process.stdout.readline()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(process.wait(), 0.5)
    process.kill()
    await process.wait()


@pytest.mark.system
async def test_a_database_is_kept_alive_at_its_address(kept: Supervisor, said: list[str]) -> None:
    directory = temporary_directory()
    cluster = Cluster(directory, durable=False)
    await kept.start_cluster("journal", cluster)
    address, first = cluster.dsn(), cluster.postmaster_pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: cluster.postmaster_pid not in (first, None))
    assert cluster.dsn() == address
    assert said == ["journal died; starting it again in 0.1 s"]
    await kept.stop()
    assert not cluster.alive()
    shutil.rmtree(directory)


async def test_a_database_that_cannot_start_is_given_up_in_its_own_words(
    kept: Supervisor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Broken(Cluster):
        async def start(self) -> None:
            raise EmbeddedError("No PostgreSQL programs are installed")

    monkeypatch.setattr(supervisor, "PAUSE_SECONDS_MIN", 0.001)
    with pytest.raises(SupervisorError, match=r"journal cannot.*No PostgreSQL programs"):
        await kept.start_cluster("journal", Broken(tmp_path))

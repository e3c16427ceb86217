"""The life of a service process, the same for ledger and gateway.

Sockets of its own or inherited from a supervisor, one ready line of JSON on standard output,
everything else on standard error; SIGTERM, SIGINT or, with a lifeline, the end of standard input
stop it after what is in flight.
"""

import asyncio
import gc
import signal
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec

from gateway.config import ConfigurationError
from gateway.process.lifeline import parent_gone
from gateway.process.sockets import Listening, url
from gateway.telemetry import logs, spans
from gateway.telemetry.logs import Say

GARBAGE_THRESHOLD: Final = 20_000
"""Objects made and not freed before the collector looks for cycles. Nearly all of ours are freed by
counting; at Python's 700 it took 6 to 9 % of a gateway's CPU time under load to find next to
nothing, in pauses of 20 ms. 20,000 small objects are 2 MB."""

Ready = Callable[[], None]
"""To be called once, when the service answers."""


def addresses(listening: Listening) -> dict[str, str]:
    """Where a service that answers HTTP on two sockets is reached."""
    return {"url": url(listening[0]), "metrics": url(listening[1])}


def live(
    name: str,
    where: Mapping[str, str],
    serve: Callable[[Ready, Say], Coroutine[Any, Any, None]],
    *,
    lifeline: bool,
) -> None:
    """All of a process's life: `serve` runs until it is cancelled, and calls ready() once; the
    ready line tells `where` it is reached.

    Raises ConfigurationError where the environment asks for a log that there is not."""
    spans.configure(name)
    try:
        logs.configure(name)
    except logs.UnknownFormError as error:
        raise ConfigurationError(str(error)) from None
    say = logs.say_as("process")

    def ready() -> None:
        # What was loaded to get here stays for good: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GARBAGE_THRESHOLD)
        line = {"event": "ready", **where}
        print(msgspec.json.encode(line).decode(), flush=True)  # noqa: T201 - the supervisor reads it

    asyncio.run(until_stopped(serve(ready, say), lifeline=lifeline))


async def until_stopped(serving: Coroutine[Any, Any, None], *, lifeline: bool) -> None:
    """Serve until SIGTERM, SIGINT or the end of the lifeline; then let it end in its own way."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    service = asyncio.create_task(serving, name="service")
    stopping: list[asyncio.Task[Any]] = [asyncio.create_task(stop.wait(), name="signal")]
    if lifeline:
        stopping.append(asyncio.create_task(parent_gone(), name="lifeline"))
    await asyncio.wait([service, *stopping], return_when=asyncio.FIRST_COMPLETED)
    for task in (service, *stopping):
        task.cancel()
    await asyncio.wait(stopping)
    with suppress(asyncio.CancelledError):
        await service

"""The log: one JSON object on a line of standard error, or text for people.

`LOCKSTEP_LOG` is `json` or `text` (by default text on a terminal, JSON elsewhere), and
`LOCKSTEP_LOG_LEVEL` the lowest level that is written (by default `info`; `debug` tells every phase
and command of a settlement). A line has `time` (RFC 3339), `level`, `event` (the logger),
`service`, `message`, and `settlement`, `member`, `ledger` and `trace` where they are known. Level
`critical` asks for a person; `error` is an error of ours that can wait until morning.

No key, preimage or token is ever logged: nothing that holds one is given to a logger, and a test
reads the whole log of a settlement for them.
"""

import contextlib
import logging
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

import msgspec

from ledgers import trace

Form = Literal["json", "text"]
Say = Callable[[str], None]
"""Writes one line of the log."""

PAGE: Final = "PAGE: "
"""Begins a text that asks for a person."""

ERROR: Final = "ERROR: "
"""Begins a text about an error of ours that nobody need be called for at night."""

KNOWN: Final = ("settlement", "member", "ledger", "leg", "status", "seconds")
"""What a line may carry beside its message, given as `extra`."""

MEMBER: Final[ContextVar[str | None]] = ContextVar("member", default=None)
"""Whose request this task serves."""

_BOUND: Final[ContextVar[dict[str, Any]]] = ContextVar("bound", default={})  # noqa: B039 - never changed

counted: Final[Counter[str]] = Counter()
"""Lines written by this process, by level."""


class UnknownFormError(Exception):
    """An environment variable says what is no form or level; the text says which."""


@contextlib.contextmanager
def bound(**fields: Any) -> Iterator[None]:
    """What is logged meanwhile carries these fields."""
    token = _BOUND.set(_BOUND.get() | fields)
    try:
        yield
    finally:
        _BOUND.reset(token)


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """What is known of a line beside its message, nearest first."""
    found = {name: value for name, value in _BOUND.get().items() if value is not None}
    if (member := MEMBER.get()) is not None:
        found.setdefault("member", member)
    for name in KNOWN:
        if (value := record.__dict__.get(name)) is not None:
            found[name] = value
    bound_trace = found.pop("trace", None)
    current = record.__dict__.get("trace") or bound_trace or trace.CURRENT.get()
    if current is not None:
        found["trace"] = current.id
    return found


def time_of(record: logging.LogRecord) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    instant = datetime.fromtimestamp(record.created, UTC)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class JsonLines(logging.Formatter):
    """One object on a line; a traceback is a member of it."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time_of(record),
            "level": record.levelname.lower(),
            "event": record.name,
            "service": self._service,
            "message": record.getMessage(),
            **fields_of(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


class TextLines(logging.Formatter):
    """The same for people."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        extra = "".join(f" {name}={value}" for name, value in fields_of(record).items())
        line = f"{time_of(record)} {self._service}: {level}{record.getMessage()}{extra}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class _Lines(logging.StreamHandler[TextIO]):
    """Standard error, counted."""

    def emit(self, record: logging.LogRecord) -> None:
        counted[record.levelname.lower()] += 1
        super().emit(record)


def configure(service: str, stream: TextIO | None = None) -> None:
    """Log as the environment says, from now on. Raises UnknownFormError."""
    stream = sys.stderr if stream is None else stream
    form = os.environ.get("LOCKSTEP_LOG") or ("text" if stream.isatty() else "json")
    level = os.environ.get("LOCKSTEP_LOG_LEVEL", "info").upper()
    if form not in ("json", "text"):
        raise UnknownFormError(f"LOCKSTEP_LOG: expected json or text, found {form}")
    if level not in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
        raise UnknownFormError(f"LOCKSTEP_LOG_LEVEL: there is no level {level.lower()}")
    lines = _Lines(stream)
    lines.setFormatter(JsonLines(service) if form == "json" else TextLines(service))
    root = logging.getLogger()
    root.handlers = [lines]
    root.setLevel(level)
    # The event loop's own debug lines tell nothing of ours.
    logging.getLogger("asyncio").setLevel(max(logging.INFO, root.level))


def say_as(event: str) -> Say:
    """A `say` for the parts that know only lines: one that begins with PAGE is critical,
    one with ERROR an error."""
    log = logging.getLogger(event)

    def say(text: str) -> None:
        if text.startswith(PAGE):
            log.critical(text.removeprefix(PAGE))
        elif text.startswith(ERROR):
            log.error(text.removeprefix(ERROR))
        else:
            log.info(text)

    return say

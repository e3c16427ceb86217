"""A socket between a ledger and PostgreSQL that can be cut, refused, and robbed of an answer."""

import asyncio
import shutil
import tempfile
from pathlib import Path

SOCKET_NAME = ".s.PGSQL.5432"


class Proxy:
    """Forwards a Unix socket. `async with` starts and ends it."""

    def __init__(self, socket_directory: str) -> None:
        self._target = Path(socket_directory, SOCKET_NAME)
        self._home = Path(tempfile.mkdtemp(prefix="proxy-", dir="/tmp"))
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._losing = b""
        self._withholding = False
        self._from = socket_directory

    def dsn(self, direct: str) -> str:
        """The same database through this proxy."""
        return direct.replace(self._from, str(self._home))

    async def __aenter__(self) -> "Proxy":
        await self.bring_back()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.take_away()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        shutil.rmtree(self._home)

    async def bring_back(self) -> None:
        self._server = await asyncio.start_unix_server(self._accept, self._home / SOCKET_NAME)

    def take_away(self) -> None:
        """Cut every connection and refuse new ones."""
        self._server.close()
        (self._home / SOCKET_NAME).unlink()
        self._cut()

    def lose_the_answer_to(self, text: bytes) -> None:
        """Once: pass the request that holds `text` on, and cut before its answer comes back."""
        self._losing = text

    @property
    def has_lost(self) -> bool:
        """Whether that request has come."""
        return not self._losing

    def _cut(self) -> None:
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(str(self._target))
        self._writers |= {writer, server_writer}
        for pump in (self._requests(reader, server_writer), self._answers(server_reader, writer)):
            task = asyncio.create_task(pump)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            self._withholding = bool(self._losing) and self._losing in data
            writer.write(data)
            if self._withholding:
                await asyncio.sleep(0.1)  # the server has long done it, and answered
                self._losing, self._withholding = b"", False
                self._cut()
        writer.close()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if not self._withholding:
                writer.write(data)
        writer.close()

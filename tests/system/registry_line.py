"""The line between a registry and a server of its log: it can be cut, frozen and mended."""

import asyncio
import contextlib


class Line:
    """Forwards connections to one server of the log, from an address of this machine."""

    def __init__(self, target: str, address: str) -> None:
        self._own = address
        self._scheme, _, address = target.partition("://")
        self._host, _, self._port = address.partition(":")
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._cut = False
        self.url = ""

    async def __aenter__(self) -> "Line":
        self._server = await asyncio.start_server(self._accept, self._own, 0)
        self.url = f"{self._scheme}://{self._own}:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Both ends notice at once."""
        self._cut = True
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    def freeze(self) -> None:
        """Nothing passes, and nobody is told."""
        self._flowing.clear()

    def mend(self) -> None:
        self._cut = False
        self._flowing.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            writer.close()
            return
        try:
            there, back = await asyncio.open_connection(self._host, int(self._port))
        except OSError:
            writer.close()
            return
        self._writers |= {writer, back}
        for source, sink in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._pump(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                await self._flowing.wait()
                sink.write(data)
                await sink.drain()
        sink.close()

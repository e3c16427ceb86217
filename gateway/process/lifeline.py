"""How a service learns that the supervisor that started it is gone."""

import asyncio
import os
import stat

STDIN = 0


async def parent_gone() -> None:
    """Return when standard input ends: the supervisor holds its other end and nothing else does.

    That comes however the supervisor ends, SIGKILL included. Never returns where standard input is
    no pipe (a terminal, `/dev/null` under systemd or in a container): there nobody supervises this
    way, and end of file means nothing.
    """
    loop = asyncio.get_running_loop()
    gone = loop.create_future()
    if not _is_pipe():
        await gone

    def readable() -> None:
        if not _read() and not gone.done():
            gone.set_result(None)

    loop.add_reader(STDIN, readable)
    try:
        await gone
    finally:
        loop.remove_reader(STDIN)


def _is_pipe() -> bool:
    try:
        mode = os.fstat(STDIN).st_mode
    except OSError:  # closed
        return False
    # asyncio gives its children one end of a socket pair where others give a pipe.
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _read() -> bytes:
    try:
        return os.read(STDIN, 4096)
    except ConnectionResetError:
        return b""

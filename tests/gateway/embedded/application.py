"""An application with a server of its own, to be killed by the tests: `python FILE DIRECTORY`.

Writes the server's address, then the number of each row it has been told is committed.
"""

import asyncio
import sys
from pathlib import Path

import asyncpg

from gateway.embedded import Cluster


async def main(directory: Path) -> None:
    cluster = Cluster(directory)
    await cluster.start()
    print(cluster.dsn(), flush=True)
    connection = await asyncpg.connect(cluster.dsn())
    await connection.execute("CREATE TABLE IF NOT EXISTS written (id bigserial PRIMARY KEY)")
    while True:
        print(
            await connection.fetchval("INSERT INTO written DEFAULT VALUES RETURNING id"), flush=True
        )


asyncio.run(main(Path(sys.argv[1])))

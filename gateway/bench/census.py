"""Memory, open files and disk of a whole system at one moment, and what has become of them."""

from collections.abc import Mapping
from typing import Final

import msgspec

from gateway.bench.stores import Store, stores
from gateway.bench.system import Databases
from gateway.bench.usage import Use, use

MIB: Final = 2**20


class Census(msgspec.Struct, frozen=True, kw_only=True):
    """One moment."""

    processes: dict[str, Use]  # by `group/process`
    stores: dict[str, Store]  # by the name of the database


class Holdings(msgspec.Struct, frozen=True, kw_only=True):
    """Before the first round (after the warm-up) and after the last one."""

    before: Census
    after: Census
    settled: int  # between the two


async def take(groups: Mapping[str, tuple[int, ...]], databases: Databases) -> Census:
    """The system as it is now."""
    return Census(processes=use(groups), stores=await stores(databases.by_name))


PROCESS_COLUMNS: Final = ("process", "memory MiB\nbefore", "after", "open files\nbefore", "after")


def process_rows(holdings: Holdings) -> list[tuple[str, ...]]:
    """The lines of a table."""
    before, after = holdings.before.processes, holdings.after.processes
    return [
        (
            name,
            *(f"{one[name].memory_bytes / MIB:.1f}" for one in (before, after)),
            *(str(one[name].files) for one in (before, after)),
        )
        for name in after
    ]


STORE_COLUMNS: Final = (
    "database",
    "MiB\nbefore",
    "after",
    "bytes per\nsettlement",
    "transactions per\nsettlement",
    "database us per\nsettlement",
    "dead rows\nafter",
)


def store_rows(holdings: Holdings) -> list[tuple[str, ...]]:
    """The lines of a table. Database time is that in which statements were executed, waiting for
    disk and locks included."""
    return [
        (
            name,
            f"{before.bytes / MIB:.1f}",
            f"{after.bytes / MIB:.1f}",
            f"{(after.bytes - before.bytes) / holdings.settled:,.0f}",
            f"{(after.transactions - before.transactions) / holdings.settled:.3f}",
            f"{(after.active_seconds - before.active_seconds) / holdings.settled * 1e6:,.0f}",
            f"{after.dead:,}",
        )
        for name, after in holdings.after.stores.items()
        for before in (holdings.before.stores[name],)
    ]

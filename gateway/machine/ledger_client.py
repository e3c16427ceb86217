"""A ledger's HTTP contract beyond the port: administration, accounts, totals.

For those who run or watch a ledger (`up`, the demo, tests); the gateway settles through the port
(`ledgers.remote`) and needs none of this.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, TypeVar

import aiohttp
import msgspec

from ledgers.port import LedgerUnreachable
from ledgers.views import AccountViewJson, OutcomeJson, PositionJson

DEADLINE_SECONDS: Final = 15.0
"""For one request: longer than the ledger's own deadline of a batch (10 s)."""

PAGE: Final = 1_000
"""Accounts of one answer, the most by the contract."""

T = TypeVar("T")


class LedgerError(Exception):
    """The ledger does not do what was asked; the text is what it says."""


class LedgerClient:
    """Speaks to one ledger as the principal of `token`. The session stays the caller's."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    async def administer(self, path: str, acts: Sequence[object]) -> None:
        """Do acts of administration, which may have been done before. Raises LedgerError for one
        that is refused, LedgerUnreachable."""
        outcomes = await self._ask("POST", path, list[OutcomeJson], content=acts)
        for act, outcome in zip(acts, outcomes, strict=True):
            if outcome.refusal is not None:
                raise LedgerError(f"{path}: {outcome.refusal}: {act}")

    async def accounts(self, owner: str | None = None) -> list[AccountViewJson]:
        """Every account that the principal may see, or one owner's, with its holdings."""
        found: list[AccountViewJson] = []
        while True:
            query = {"limit": str(PAGE)} | ({"after": found[-1].account} if found else {})
            query |= {} if owner is None else {"owner": owner}
            page = await self._ask("GET", "/v1/accounts", list[AccountViewJson], query=query)
            found += page
            if len(page) < PAGE:
                return found

    async def conservation(self) -> list[PositionJson]:
        """Per asset: what was issued, and where it is."""
        return await self._ask("GET", "/v1/conservation", list[PositionJson])

    async def _ask(
        self,
        method: str,
        path: str,
        kind: type[T],
        *,
        content: object = None,
        query: dict[str, str] | None = None,
    ) -> T:
        body = None if content is None else msgspec.json.encode(content)
        try:
            async with (
                asyncio.timeout(DEADLINE_SECONDS),
                self._session.request(
                    method, self._url + path, data=body, params=query, headers=self._headers
                ) as response,
            ):
                data = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise LedgerUnreachable(f"{type(error).__name__}: {error}") from error
        if response.status >= 500:
            raise LedgerUnreachable(f"status {response.status}")
        if response.status != 200:
            problem: dict[str, Any] = msgspec.json.decode(data)
            raise LedgerError(f"{method} {path}: {problem.get('detail')}")
        return msgspec.json.decode(data, type=kind)

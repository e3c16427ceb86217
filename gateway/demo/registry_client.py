"""A registry's node as a light client asks it: everything that comes is checked before it is used.

The client knows the network's members beforehand (here from their configuration), and believes
nothing else: neither that a node tells its own book, nor that it tells the network's.
"""

import asyncio
from typing import Any, Final

import aiohttp
import msgspec

from gateway.icsd_node import reading
from htlc.units import AccountId, AssetId, LedgerId
from ledgers.icsd.epoch import Epoch
from ledgers.icsd.light import (
    Certified,
    Follower,
    HoldingProof,
    check_final,
    check_holding,
    check_issue,
)
from ledgers.icsd.roots import Issuance
from ledgers.parties import Balance
from ledgers.port import LedgerUnreachable

DEADLINE_SECONDS: Final = 30.0
"""Longer than a node waits for the network (25 s)."""

PAGE: Final = 100
"""Blocks of one answer, the most there are."""


class Proved(msgspec.Struct, frozen=True, kw_only=True):
    """A balance that was proved, and the final block that has it."""

    balance: Balance
    block: Certified


class RegistryClient:
    """One node, asked by one who may follow the ledger. The session stays the caller's."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        token: str,
        network: LedgerId,
        epoch: Epoch,
    ) -> None:
        self._session = session
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}
        self._network = network
        self._epoch = epoch

    async def final(self) -> int:
        """The height up to which the node says that all is final. Raises LedgerUnreachable."""
        told = await self._ask("/v1/registry/head")
        return int(told["final"])

    async def chain(self, through: int) -> list[Certified]:
        """The final blocks up to a height, each checked. Raises ForgedProof, LedgerUnreachable."""
        follower, found = Follower(self._network, self._epoch), list[Certified]()
        while len(found) < through:
            limit = min(PAGE, through - len(found))
            page = await self._ask(f"/v1/registry/blocks?after={len(found)}&limit={limit}")
            if not page:
                raise LedgerUnreachable(f"it has not archived block {len(found) + 1} yet")
            for told in page:
                shown = reading.certified(told)
                follower.take(shown)
                found.append(shown)
        return found

    async def holding(self, account: str, isin: str) -> Proved:
        """What an account holds by the network's book. Raises ForgedProof, LedgerUnreachable."""
        told = await self.holding_told(account, isin)
        return self.checked(told, account, isin)

    async def holding_told(self, account: str, isin: str) -> dict[str, Any]:
        """The answer as it comes."""
        told: dict[str, Any] = await self._ask(f"/v1/registry/holdings/{account}/{isin}")
        return told

    def checked(self, told: dict[str, Any], account: str, isin: str) -> Proved:
        """What an answer proves. Raises ForgedProof."""
        block = self._final_block(told)
        proof: HoldingProof = reading.holding_proof(told["proof"])
        root = block.certificate.statement.state
        balance = check_holding(proof, AccountId(account), AssetId(isin), root)
        return Proved(balance=balance, block=block)

    async def issue(self, isin: str) -> Issuance:
        """An instrument over all registries. Raises ForgedProof, LedgerUnreachable."""
        told = await self._ask(f"/v1/registry/issues/{isin}")
        block = self._final_block(told)
        proof = reading.issue_proof(told["proof"])
        return check_issue(proof, AssetId(isin), block.certificate.statement.state)

    def _final_block(self, told: dict[str, Any]) -> Certified:
        block, child = reading.certified(told["block"]), reading.certified(told["child"])
        check_final(block, child, self._epoch)
        return block

    async def _ask(self, path: str) -> Any:
        try:
            async with (
                asyncio.timeout(DEADLINE_SECONDS),
                self._session.get(self._url + path, headers=self._headers) as response,
            ):
                data = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise LedgerUnreachable(f"{type(error).__name__}: {error}") from error
        if response.status != 200:
            raise LedgerUnreachable(f"{path}: status {response.status}")
        return msgspec.json.decode(data)

"""A registry's node as a light client asks it: everything that comes is checked before it is used.

The client knows the network's members beforehand (here from their configuration), and believes
nothing else: neither that a node tells its own book, nor that it tells the network's.
"""

import asyncio
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import msgspec

from gateway.icsd_node import reading
from gateway.icsd_node.archive import LINEAGE
from htlc.contract import Htlc
from htlc.units import SECOND, AccountId, AssetId, Duration, HtlcId, LedgerId
from ledgers.icsd.client import LightClient, Lineage
from ledgers.icsd.epoch import Epoch
from ledgers.icsd.light import (
    Certified,
    Follower,
    HoldingProof,
    check_contract,
    check_holding,
    check_issue,
    check_operation,
)
from ledgers.icsd.proof import Evidence, is_evidence
from ledgers.icsd.roots import Issuance
from ledgers.icsd.rows import Done
from ledgers.icsd.tree import ForgedProof
from ledgers.parties import Balance
from ledgers.port import LedgerUnreachable

DEADLINE_SECONDS: Final = 30.0
"""Longer than a node waits for the network (25 s)."""

AGE: Final = Duration(60 * SECOND)
"""How old a head may be that is told as of today: twelve heartbeats."""

PAGE: Final = 100
"""Blocks of one answer, the most there are."""


class Proved(msgspec.Struct, frozen=True, kw_only=True):
    """A balance that was proved, and the final block that has it."""

    balance: Balance
    block: Certified


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Where a node stands. What it says of itself is its word; the block is proved."""

    registry: str
    final: int
    stopped: str | None
    block: Certified | None  # the last final one


class Absent(Exception):
    """There is no such account, instrument or operation, or it is not ours to see; the text names
    it."""


class RegistryClient:
    """One node, asked by one who may follow the ledger. The session stays the caller's. Whoever
    outlives the members that it knows calls `follow` first."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        token: str,
        network: LedgerId,
        epoch: Epoch,
    ) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}
        self._network = network
        self._epoch = epoch
        self.members = LightClient(network, epoch, AGE)

    async def follow(self) -> None:
        """Learn who the members are today. Raises ForgedProof, LedgerUnreachable."""
        path = self._url + LINEAGE
        body = await self._body(path)
        try:
            lineage = msgspec.msgpack.decode(body, type=Lineage)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ForgedProof(f"not of the notation: {error}") from None
        self.members.follow_all(lineage)

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
        return (await self.issue_at(isin))[0]

    async def issue_at(self, isin: str) -> tuple[Issuance, Certified]:
        """The same, and the block that has it."""
        told = await self._ask(f"/v1/registry/issues/{isin}")
        block = self._final_block(told)
        proof = reading.issue_proof(told["proof"])
        return check_issue(proof, AssetId(isin), block.certificate.statement.state), block

    async def contract(self, id: str) -> tuple[Htlc | None, Certified]:
        """A contract as it is, or none, and the block that has it. Raises ForgedProof,
        LedgerUnreachable."""
        told = await self._ask(f"/v1/registry/contracts/{id}")
        block = self._final_block(told)
        proof = reading.contract_proof(told["proof"])
        return check_contract(proof, HtlcId(id), block.certificate.statement.state), block

    async def operation(self, id: str) -> tuple[Done, Certified]:
        """The digest of an operation that was done with the height that it was done at, and the
        block that has it. Raises Absent: none of this id so far, as the node says, which nothing
        can prove; ForgedProof, LedgerUnreachable."""
        try:
            told = await self._ask(f"/v1/registry/operations/{id}")
        except Absent:
            raise Absent(f"{self._url}: nothing was done under {id} so far, by its word") from None
        block = self._final_block(told)
        proof = reading.operation_proof(told["proof"])
        return check_operation(proof, id, block.certificate.statement.state), block

    async def head(self) -> Head:
        """Where the node says that it stands, with its last final block checked. Raises
        ForgedProof, LedgerUnreachable."""
        told = await self._ask("/v1/registry/head")
        return Head(
            registry=str(told["registry"]),
            final=int(told["final"]),
            stopped=told.get("stopped"),
            block=self._final_block(told) if "block" in told else None,
        )

    async def evidence(self) -> list[Evidence]:
        """What registries are convicted of; whatever convicts nobody is left out. Raises
        ForgedProof, LedgerUnreachable."""
        found = [reading.evidence(told) for told in await self._ask("/v1/registry/evidence")]
        return [
            shown
            for shown in found
            if any(is_evidence(shown, epoch) for epoch in self.members.epochs)
        ]

    def _final_block(self, told: dict[str, Any]) -> Certified:
        block, child = reading.certified(told["block"]), reading.certified(told["child"])
        self.members.check_final(block, child)
        return block

    async def _ask(self, path: str) -> Any:
        try:
            return msgspec.json.decode(await self._body(self._url + path))
        except msgspec.DecodeError as error:
            raise ForgedProof(f"not of the notation: {error}") from None

    async def _body(self, url: str) -> bytes:
        try:
            async with (
                asyncio.timeout(DEADLINE_SECONDS),
                self._session.get(url, headers=self._headers) as response,
            ):
                data = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise LedgerUnreachable(f"{type(error).__name__}: {error}") from error
        if response.status == HTTPStatus.NOT_FOUND:
            raise Absent(f"{url}: no such thing there, or not ours to see")
        if response.status != HTTPStatus.OK:
            raise LedgerUnreachable(f"{url}: status {response.status}")
        return data

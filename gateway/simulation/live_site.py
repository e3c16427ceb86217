"""A running world for scenarios of one setting: databases, ledgers, gateway, wires between."""

import shutil
import uuid
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Final, Self

import aiohttp

from gateway.client import GatewayClient
from gateway.demo.audit import Auditor
from gateway.embedded import temporary_directory
from gateway.machine.ledger_client import LedgerClient
from gateway.machine.supervisor import PAUSE_SECONDS_MIN
from gateway.machine.up import Options, running
from gateway.machine.world import smallest_units
from gateway.simulation import live_world
from gateway.simulation.live_wire import Observer, Operations, Wire
from gateway.simulation.scenario import Scenario
from gateway.simulation.scenario_run import Balance
from gateway.simulation.scenario_terms import account
from htlc.contract import Answer
from htlc.units import AccountId, AssetId, HtlcId, Quantity
from ledgers.port import Issue, LedgerUnreachable
from ledgers.remote import RemoteLedger

Say = Callable[[str], None]

WORLD: Final = "scenario.toml"


class Site:
    """Use it as a context. One case at a time; `observer` is told what passes on the wires."""

    def __init__(self, scenario: Scenario, say: Say) -> None:
        self.scenario = scenario
        self.observer: Observer | None = None
        self._say = say
        self._stack = AsyncExitStack()
        self.wires = {name: Wire(name, self) for name in scenario.ledgers}

    async def __aenter__(self) -> Self:
        directory = temporary_directory()
        self._stack.callback(shutil.rmtree, directory, ignore_errors=True)
        file = directory / WORLD
        live_world.write(self.scenario, file)
        try:
            for wire in self.wires.values():
                await wire.open()
                self._stack.push_async_callback(wire.close)
            options = Options(
                data=directory / "data",
                world=str(file),
                between=self._between,
                pause_seconds_max=PAUSE_SECONDS_MIN,
            )
            self.machine, self.ready = await self._stack.enter_async_context(
                running(options, self._say)
            )
            self.session = await self._stack.enter_async_context(aiohttp.ClientSession())
        except BaseException:
            await self._stack.aclose()
            raise
        self.auditor = Auditor(self.session, self.machine, self.ready)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def _between(self, ledgers: Mapping[str, str]) -> Mapping[str, str]:
        for name, wire in self.wires.items():
            wire.target = ledgers[name]
        return {name: wire.url for name, wire in self.wires.items()}

    # ------------------------------------------------------------------ the wires' observer

    async def asked(self, ledger: str, operations: Operations) -> bool:
        return self.observer is None or await self.observer.asked(ledger, operations)

    async def answered(self, ledger: str, operations: Operations, answers: Operations) -> None:
        if self.observer is not None:
            await self.observer.answered(ledger, operations, answers)

    # ------------------------------------------------------------------ clients

    def member(self, party: str) -> GatewayClient:
        token = self.machine.credentials.members[self.scenario.parties[party].bic]
        return GatewayClient(self.session, self.ready.gateway, token)

    def authority(self) -> GatewayClient:
        """The operator of the first ledger, who may order a cancellation."""
        token = self.machine.credentials.ledger_operators[self.scenario.legs[0].ledger]
        return GatewayClient(self.session, self.ready.gateway, token)

    def supervisor(self) -> GatewayClient:
        """The gateway's operator: sees every settlement."""
        token = self.machine.credentials.gateway_operator
        return GatewayClient(self.session, self.ready.gateway, token)

    async def set_blocked(self, ledger: str, party: str, blocked: bool) -> None:
        """As the ledger's operator. Raises LedgerUnreachable."""
        verb = "block" if blocked else "unblock"
        name = account(self.scenario, party, ledger)
        token = self.machine.credentials.ledger_operators[ledger]
        url = f"{self.ready.ledgers[ledger]}/v1/accounts/{name}/{verb}"
        headers = {"Authorization": f"Bearer {token}"}
        async with self.session.post(url, headers=headers) as response:
            if response.status != 200:
                raise LedgerUnreachable(f"{url}: status {response.status}")

    # ------------------------------------------------------------------ books

    async def look(self, ledger: str, contracts: list[str]) -> list[Answer | None]:
        """The contracts by the ledger's own word; None where there is no answer."""
        token = self.machine.credentials.gateway_operator
        port = RemoteLedger(self.session, self.ready.ledgers[ledger], token)
        answers = await port.look([HtlcId(each) for each in contracts])
        return [each if isinstance(each, Answer) else None for each in answers]

    async def holdings(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Available and locked by party and ledger."""
        owners = {
            (ledger, account(self.scenario, party, ledger)): party
            for party in self.scenario.parties
            for ledger in self.scenario.ledgers
        }
        token = self.machine.credentials.gateway_operator
        found: dict[tuple[str, str], tuple[int, int]] = {}
        for ledger, url in self.ready.ledgers.items():
            for view in await LedgerClient(self.session, url, token).accounts():
                party = owners.get((ledger, view.account))
                if party is None:
                    continue
                for held in view.holdings:
                    found[party, ledger] = (int(held.available), int(held.locked))
        return found

    async def top_up(self) -> None:
        """Give the parties what the scenario says they hold, where an earlier case took it."""
        now = await self.holdings()
        for party, spec in self.scenario.parties.items():
            for ledger, amount in spec.holds.items():
                wanted = smallest_units(amount, self.scenario.ledgers[ledger].scale)
                lacking = wanted - now.get((party, ledger), (0, 0))[0]
                if lacking > 0:
                    await self._issue(party, ledger, lacking)

    async def _issue(self, party: str, ledger: str, quantity: int) -> None:
        spec = self.scenario.ledgers[ledger]
        token = self.machine.credentials.issuers[spec.issuer]
        port = RemoteLedger(self.session, self.ready.ledgers[ledger], token)
        issue = Issue(
            id=f"top-up-{uuid.uuid4()}",
            account=AccountId(account(self.scenario, party, ledger)),
            asset=AssetId(spec.asset),
            quantity=Quantity(quantity),
        )
        await port.apply([issue])

    def balances(
        self,
        before: Mapping[tuple[str, str], tuple[int, int]],
        after: Mapping[tuple[str, str], tuple[int, int]],
    ) -> tuple[Balance, ...]:
        return tuple(
            Balance(
                party=party,
                ledger=ledger,
                asset=self.scenario.ledgers[ledger].asset,
                scale=self.scenario.ledgers[ledger].scale,
                before=sum(before.get((party, ledger), (0, 0))),
                available=available,
                locked=locked,
            )
            for party, ledger in sorted({**before, **after})
            for available, locked in (after.get((party, ledger), (0, 0)),)
        )

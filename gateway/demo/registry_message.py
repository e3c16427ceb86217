"""Writes one message of a custodian's system to its registry: a delivery free of payment to an
account at any registry of the running `lockstep up --registries N`.

    python -m gateway.demo.registry_message --as ALTYKZK0XXX --to SAMQUZ20XXX \
        --isin KZ0009990016 --quantity 250 >deliver.xml
    lockstep send deliver.xml --as ALTYKZK0XXX --registry KZ
    lockstep inbox --as ALTYKZK0XXX --registry KZ
"""

import time
from pathlib import Path

import click

from gateway import access
from gateway.access import Members
from gateway.cli.terminal import Failure, data_option, failing
from gateway.icsd_node.orders import business_date
from gateway.ids import new_id
from gateway.machine import world
from gateway.machine.data_directory import DataDirectory
from gateway.machine.world import LedgerSpec
from htlc.units import AccountId, Instant
from ledgers.icsd.nodes import home
from protocols.iso20022 import render, sese023
from protocols.iso20022.header import Header
from protocols.iso20022.instruction import (
    Movement,
    Payment,
    QuantityType,
    SettlementInstruction,
    SettlementParties,
)


@click.command()
@click.option("--as", "sender", required=True, metavar="BIC", help="The member that delivers.")
@click.option("--to", "receiver", required=True, metavar="BIC", help="The member that receives.")
@click.option("--isin", required=True, help="What is delivered.")
@click.option("--quantity", required=True, metavar="DECIMAL", help="How much of it.")
@data_option
def command(sender: str, receiver: str, isin: str, quantity: str, data: Path) -> None:
    """Print a sese.023 (DELI, FREE) with the pseudonyms of both accounts."""
    with failing():
        directory = DataDirectory(data)
        people = access.read(directory.members)
        ledger, spec = network_of(directory.world)
    if isin not in spec.assets:
        raise Failure(f"{isin} is not on {ledger}; it has {', '.join(spec.assets)}")
    now = Instant(time.time_ns())
    instruction = SettlementInstruction(
        sender=sender,
        definition="sese.023.001.11",
        transaction_id=new_id().replace("-", ""),
        movement=Movement.DELI,
        payment=Payment.FREE,
        trade_date=business_date(now),
        settlement_date=business_date(now),
        isin=isin,
        quantity_type=QuantityType(spec.assets[isin].quantity_type),
        quantity=quantity,
        safekeeping_account=account_of(people, ledger, sender),
        transaction_type="TRAD",
        delivering=side(spec, sender, account_of(people, ledger, sender), named=False),
        receiving=side(spec, receiver, account_of(people, ledger, receiver), named=True),
    )
    click.echo(written(instruction, now))


def network_of(file: Path) -> tuple[str, LedgerSpec]:
    """The ledger of a world that is kept by several registries. Raises ConfigurationError."""
    for name, spec in world.load(file).ledgers.items():
        if spec.registries:
            return name, spec
    raise Failure(f"{file}: this world has no registries; start `lockstep up --registries 4`")


def account_of(people: Members, ledger: str, bic: str) -> str:
    """A member's account on the network, by its pseudonym."""
    member = people.members.get(bic)
    if member is None or not member.accounts.get(ledger):
        raise Failure(f"{bic} has no account on {ledger}; who has: `members` of the ready line")
    return member.accounts[ledger][0]


def side(spec: LedgerSpec, bic: str, account: str, *, named: bool) -> SettlementParties:
    """One side; its depository is the registry that keeps its account."""
    keeper = home(AccountId(account), spec.registries)
    assert keeper is not None, "a pseudonym begins with its registry"
    return SettlementParties(
        depository=spec.registries[keeper].operator, party1=bic, account=account if named else None
    )


def written(instruction: SettlementInstruction, now: Instant) -> str:
    """The whole message, to the registry that keeps the sender's account."""
    head = Header(
        sender=instruction.sender,
        receiver=instruction.delivering.depository,
        business_message_id=instruction.transaction_id,
        definition=instruction.definition,
        created_at=now,
    )
    return render.business_message(head, sese023.encode(instruction))


if __name__ == "__main__":
    command()

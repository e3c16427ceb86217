"""`lockstep registry reconcile`: the internal book of a registry held against what is proved."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import aiohttp
import click

from gateway.cli.printing import print_json, print_table
from gateway.cli.terminal import Failure, config_option, failing, json_option, run_async, say
from gateway.config import read, secret
from gateway.icsd_node.client import Absent, RegistryClient
from gateway.icsd_node.reconcile import BookFault, Reconciled, read_book, reconcile
from gateway.icsd_node.settings import NodeProcess
from ledgers.icsd.epoch import RegistryId
from ledgers.icsd.roots import Issuance
from ledgers.icsd.tree import ForgedProof
from ledgers.instruments import is_isin
from ledgers.parties import Balance
from ledgers.port import AssetDescription, LedgerUnreachable
from ledgers.remote import RemoteLedger, RemoteLedgerError
from protocols.iso20022.lexical import from_units

FAULTS: Final = (Absent, BookFault, ForgedProof, LedgerUnreachable, RemoteLedgerError)

Asset = AssetDescription


class Proofs:
    """A `gateway.icsd_node.reconcile.Proving` at one node."""

    def __init__(self, client: RegistryClient) -> None:
        self._client = client

    async def issue(self, isin: str) -> Issuance:
        return await self._client.issue(isin)

    async def balance(self, account: str, isin: str) -> Balance | None:
        try:
            return (await self._client.holding(account, isin)).balance
        except Absent:
            return None


@click.command("reconcile")
@click.argument("book", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@config_option
@click.option("--from", "url", required=True, metavar="URL", help="The node that is asked.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="An operator's or supervisor's token there.",
)
@json_option
@run_async
async def command(*, book: Path, file: Path, url: str, token_file: Path, as_json: bool) -> int:
    """Hold BOOK, the internal book of the registry of FILE, against what the network proves.

    BOOK is a CSV file: account,isin,quantity (available and locked together), pseudonyms as the
    network has them. Exit code 0: every line, every total and every omnibus account agrees.
    """
    settings = read(file, NodeProcess)
    with failing(*FAULTS):
        network, token = settings.network(), secret(token_file)
        async with aiohttp.ClientSession() as session:
            assets = await _assets(RemoteLedger(session, url, token))
            client = RegistryClient(session, url, token, network.network, network.epoch)
            await client.follow()
            lines = _lines(book, assets)
            registry = RegistryId(settings.registry)
            found = await reconcile(Proofs(client), registry, assets, lines)
    if as_json:
        print_json(found)
    else:
        _print(found, assets)
    return 0 if all(each.agrees for each in found) else 1


async def _assets(ledger: RemoteLedger) -> dict[str, Asset]:
    told = await ledger.describe()
    return {asset.asset: asset for asset in told.assets if is_isin(asset.asset)}


def _lines(book: Path, assets: dict[str, Asset]) -> dict[str, dict[str, int]]:
    scales = {isin: asset.scale for isin, asset in assets.items()}
    try:
        with book.open(newline="") as file:
            return read_book(file, scales)
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{book}: {error}") from None


def _print(found: Sequence[Reconciled], assets: dict[str, Asset]) -> None:
    def text(isin: str, quantity: int | None) -> str | None:
        return None if quantity is None else from_units(quantity, assets[isin].scale)

    print_table(
        ("ISIN", "issuer", "lines", "booked", "proved", "omnibus", "agrees"),
        [
            (
                *(each.isin, each.issuer, each.lines),
                *(text(each.isin, n) for n in (each.booked, each.proved, each.omnibus)),
                "yes" if each.agrees else "NO" if each.is_still else "moves: ask again",
            )
            for each in found
        ],
    )
    breaks = [
        (line.account, each.isin, text(each.isin, line.booked), text(each.isin, line.proved))
        for each in found
        for line in each.breaks
    ]
    if breaks:
        print_table(("account", "ISIN", "booked", "proved"), breaks)
    wrong = sum(not each.agrees for each in found)
    say(f"{wrong} of {len(found)} instruments do not agree." if wrong else "Everything agrees.")

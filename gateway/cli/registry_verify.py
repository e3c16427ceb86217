"""`lockstep registry verify`: what anybody can prove who trusts no registry."""

import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import aiohttp
import click
import msgspec

from gateway.cli.printing import print_json
from gateway.cli.terminal import Failure, failing, json_option, run_async, say
from gateway.config import read, secret
from gateway.icsd_node.client import Absent, RegistryClient
from gateway.icsd_node.settings import Genesis
from htlc.contract import Htlc
from htlc.units import Instant, seconds
from ledgers.icsd.client import StaleHead
from ledgers.icsd.light import Certified
from ledgers.icsd.roots import Issuance
from ledgers.icsd.tree import ForgedProof
from ledgers.port import LedgerUnreachable
from protocols.iso20022.lexical import instant_text

T = TypeVar("T")


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What was proved, by whom it was shown, and the final block that has it."""

    what: dict[str, Any]
    text: str
    shown_by: str
    height: str
    at: str
    block: str
    signed_by: Sequence[str]
    is_there: bool = True


Ask = Callable[[RegistryClient], Awaitable[tuple[dict[str, Any], str, bool, Certified]]]


def sources(command: Callable[..., T]) -> Callable[..., T]:
    """`--genesis FILE`, `--from URL` and `--token-file FILE`."""
    path = click.Path(path_type=Path, dir_okay=False)
    for option in (
        click.option(
            "--token-file",
            "tokens",
            type=path,
            multiple=True,
            required=True,
            help="Bearer token there: one for all, or one each.",
        ),
        click.option(
            "--from",
            "urls",
            multiple=True,
            required=True,
            metavar="URL",
            help="A registry to ask; more than one may be named.",
        ),
        click.option(
            "--genesis",
            type=path,
            required=True,
            metavar="FILE",
            help="The network and its first members (`ledger`, `registries`): all that is trusted.",
        ),
    ):
        command = option(command)
    return command


def paired(urls: Sequence[str], tokens: Sequence[Path]) -> list[tuple[str, str]]:
    """Each URL with its token. Raises Failure, ConfigurationError."""
    if len(tokens) not in (1, len(urls)):
        raise Failure(f"--token-file: one for all, or one for each of the {len(urls)} --from")
    found = [secret(token) for token in tokens]
    return list(zip(urls, found * len(urls) if len(found) == 1 else found, strict=True))


WHAT: Final = ("holding", "issue", "settlement", "transfer")


@click.command("verify")
@sources
@click.option("--age", type=float, default=60.0, show_default=True, help="Oldest block, seconds.")
@json_option
@click.argument("what", type=click.Choice(WHAT))
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
@run_async
async def command(
    *,
    genesis: Path,
    urls: tuple[str, ...],
    tokens: tuple[Path, ...],
    age: float,
    as_json: bool,
    what: str,
    ids: tuple[str, ...],
) -> int:
    """Prove what the network holds, trusting nothing but the first members' keys.

    \b
    holding ACCOUNT ISIN   what an account holds
    issue ISIN             that an issue is whole over all registries
    settlement ID          a contract (HTLC) as it stands
    transfer ID            that a transfer, issue or redemption was done

    Each registry is asked; each answer must verify, and blocks of one height must be the same.
    Exits with 1, and the reason, if anything does not verify or is not there. That something is not
    there is proved, too, but for a transfer, which may be done the next moment.
    """
    ask = _question(what, ids)
    with failing(ForgedProof, LedgerUnreachable, StaleHead, Absent):
        found = await _verdicts(read(genesis, Genesis), paired(urls, tokens), age, ask)
    _require_one_chain(found)
    newest = max(found, key=lambda verdict: int(verdict.height))
    if as_json:
        print_json(found)
    else:
        click.echo(newest.text)
        for each in found:
            say(
                f"proved by block {each.height} of {each.at}, final, signed by "
                f"{', '.join(each.signed_by)}; shown by {each.shown_by}"
            )
    return 0 if newest.is_there else 1


def _question(what: str, ids: Sequence[str]) -> Ask:
    wanted = 2 if what == "holding" else 1
    if len(ids) != wanted:
        raise click.UsageError(f"{what}: expected {'ACCOUNT ISIN' if wanted == 2 else 'one ID'}")
    if what == "holding":
        return lambda client: _holding(client, ids[0], ids[1])
    questions = {"issue": _issue, "settlement": _settlement, "transfer": _transfer}
    return lambda client: questions[what](client, ids[0])


async def _verdicts(
    genesis: Genesis, nodes: Sequence[tuple[str, str]], age: float, ask: Ask
) -> list[Verdict]:
    its, oldest, found = genesis.network(), time.time_ns() - seconds(age), []
    async with aiohttp.ClientSession() as session:
        for url, token in nodes:
            client = RegistryClient(session, url, token, its.network, its.epoch)
            await client.follow()
            what, text, is_there, block = await ask(client)
            if block.header.at < oldest:
                raise StaleHead(
                    f"{url}: its last block {block.header.height} is of "
                    f"{instant_text(block.header.at)}, older than {age:.0f} s: ask another registry"
                )
            found.append(_verdict(url, what, text, is_there, block))
    return found


def _verdict(
    url: str, what: dict[str, Any], text: str, is_there: bool, block: Certified
) -> Verdict:
    return Verdict(
        what=what,
        text=text,
        shown_by=url,
        height=str(block.header.height),
        at=instant_text(Instant(block.header.at)),
        block=block.header.hash.hex(),
        signed_by=[name for name, _ in block.certificate.signatures],
        is_there=is_there,
    )


def _require_one_chain(found: Sequence[Verdict]) -> None:
    """Two certified blocks of one height convict more than f registries."""
    hashes: dict[str, Verdict] = {}
    for each in found:
        other = hashes.setdefault(each.height, each)
        if other.block != each.block:
            raise Failure(
                f"{other.shown_by} and {each.shown_by} prove two different blocks at height "
                f"{each.height}: more registries lie than the network withstands; keep both"
            )


# --- the questions -------------------------------------------------------------------------------


async def _holding(
    client: RegistryClient, account: str, isin: str
) -> tuple[dict[str, Any], str, bool, Certified]:
    proved = await client.holding(account, isin)
    available, locked = proved.balance.available, proved.balance.locked
    what = {"account": account, "isin": isin, "available": str(available), "locked": str(locked)}
    text = f"{account} holds {available:,} of {isin}, and {locked:,} locked"
    return what, text, True, proved.block


async def _issue(client: RegistryClient, isin: str) -> tuple[dict[str, Any], str, bool, Certified]:
    issuance, block = await client.issue_at(isin)
    held = ", ".join(f"{part.held:,} at {part.registry}" for part in issuance.parts)
    text = f"{isin} of {issuance.registry}: issued {issuance.issued:,} = {held or 'nothing'}"
    return _issuance(issuance), text, True, block


def _issuance(issuance: Issuance) -> dict[str, Any]:
    parts = {part.registry: str(part.held) for part in issuance.parts}
    return {
        "isin": issuance.asset,
        "registry": issuance.registry,
        "issued": str(issuance.issued),
        "held": parts,
    }


async def _settlement(
    client: RegistryClient, id: str
) -> tuple[dict[str, Any], str, bool, Certified]:
    contract, block = await client.contract(id)
    if contract is None:
        return {"id": id}, f"there is no contract {id}", False, block
    return _contract(contract), _told(contract), True, block


def _contract(contract: Htlc) -> dict[str, Any]:
    terms = contract.terms
    return {
        "id": terms.id,
        "status": contract.status,
        "asset": terms.asset,
        "quantity": str(terms.quantity),
        "payer": terms.payer,
        "payee": terms.payee,
    }


def _told(contract: Htlc) -> str:
    terms = contract.terms
    since = contract.locked_at if contract.ended_at is None else contract.ended_at
    return (
        f"{terms.id} is {contract.status} since {instant_text(since)}: {terms.quantity:,} of "
        f"{terms.asset}, {terms.payer} to {terms.payee}"
    )


async def _transfer(client: RegistryClient, id: str) -> tuple[dict[str, Any], str, bool, Certified]:
    (digest, height), block = await client.operation(id)
    what = {"id": id, "digest": digest.hex(), "height": str(height)}
    text = f"{id} was done by block {height}; the digest of its content is {digest.hex()}"
    return what, text, True, block

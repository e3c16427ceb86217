"""`lockstep validate`: what intake would answer to files, without a gateway."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import msgspec

from gateway.cli.printing import print_json, print_table
from gateway.cli.terminal import content, failing, files_argument, json_option
from gateway.cli.up import day
from gateway.config import LedgerSettings, MemberSettings, Settings, calendars_of
from gateway.days import Days
from gateway.directory import Directory, now_ns
from gateway.machine import world
from gateway.machine.world import World
from gateway.rulebook import Rulebook
from htlc.units import AssetId, Duration, Instant, LedgerId
from ledgers.port import AssetDescription, Description
from protocols.iso20022 import envelope, inbound, json_form
from protocols.iso20022.envelope import Enveloped
from protocols.iso20022.errors import ProtocolError


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What intake would say to one message."""

    file: str
    reference: str | None
    definition: str | None
    accepted: bool
    code: str | None = None
    place: str | None = None
    why: str | None = None


@click.command("validate")
@files_argument
@click.option(
    "--world",
    "name",
    default=world.DEFAULT,
    metavar="NAME|FILE.toml",
    show_default=True,
    help="Members, accounts and securities for the business rules.",
)
@click.option("--business-date", metavar="DATE", callback=day, help="[default: today]")
@json_option
def command(files: Sequence[Path], name: str, business_date: str | None, as_json: bool) -> int:
    """Check messages: form, version, schema with the place of an error, business rules.

    Who sends them, whether they came before, and what they match, only a gateway can tell.
    """
    with failing():
        rulebook = _rulebook(world.load(world.find(name)), business_date)
    verdicts = [verdict for file in files for verdict in _file(file, rulebook)]
    if as_json:
        print_json(verdicts)
    else:
        columns = ("file", "reference", "message", "verdict", "place", "why")
        print_table(columns, [_row(verdict) for verdict in verdicts])
    return 0 if all(verdict.accepted for verdict in verdicts) else 1


def _file(file: Path, rulebook: Rulebook) -> Iterator[Verdict]:
    body = content(file)
    try:
        items = json_form.split(body) if file.suffix == ".json" else envelope.split(body)
    except ProtocolError as error:
        items = (error,)
    for item in items:
        yield _verdict(file.name, item, rulebook)


def _verdict(file: str, item: Enveloped | ProtocolError, rulebook: Rulebook) -> Verdict:
    try:
        if isinstance(item, ProtocolError):
            raise item
        envelope.validate(item)
    except ProtocolError as error:
        return Verdict(
            file=file,
            reference=error.reference,
            definition=item.definition if isinstance(item, Enveloped) else None,
            accepted=False,
            code=error.code.value,
            place=error.location,
            why=error.description,
        )
    refusal = rulebook.check(inbound.decode(item), item.header.sender)
    return Verdict(
        file=file,
        reference=item.header.business_message_id,
        definition=item.definition,
        accepted=refusal is None,
        code=str(refusal.code.value) if refusal else None,
        place=refusal.field if refusal else None,
        why=refusal.rule if refusal else None,
    )


def _row(verdict: Verdict) -> tuple[object, ...]:
    said = "accepted" if verdict.accepted else f"refused: {verdict.code}"
    identity = (verdict.file, verdict.reference, verdict.definition)
    return (*identity, said, verdict.place, verdict.why)


def _rulebook(known: World, business_date: str | None) -> Rulebook:
    """The gateway's own rules, told what the world's ledgers would tell it."""
    settings = Settings(
        bic=known.gateway.bic,
        dsn="",
        master_file=Path(),
        business_date=business_date,
        ledgers={
            name: LedgerSettings(
                kind=ledger.kind,
                url="",
                token_file=Path(),
                depository=ledger.depository,
                calendar=ledger.calendar,
            )
            for name, ledger in known.ledgers.items()
        },
        members=tuple(
            MemberSettings(
                bic=member.bic,
                name=member.name,
                token_sha256="",
                accounts={ledger: tuple(names) for ledger, names in member.accounts.items()},
            )
            for member in known.members
        ),
    )
    directory = Directory(settings)
    for name in known.ledgers:
        directory.learn(LedgerId(name), _description(known, name))
    return Rulebook(
        directory,
        days=Days(calendars_of(settings), directory, now_ns),
        consent_within=Duration(0),
        clock=lambda _: Instant(0),
    )


def _description(known: World, name: str) -> Description:
    assets = known.ledgers[name].assets.items()
    return Description(
        ledger=LedgerId(name),
        lock_kinds=(),
        hash_functions=(),
        probe=(),
        at=Instant(0),
        finality=Duration(0),
        skew=Duration(0),
        assets=tuple(
            AssetDescription(
                asset=AssetId(code), scale=asset.scale, quantity_type=asset.quantity_type
            )
            for code, asset in assets
        ),
    )

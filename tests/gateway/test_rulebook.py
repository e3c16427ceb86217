"""What reference data says against an agreed swap."""

from pathlib import Path

import pytest

from gateway.config import LedgerSettings, MemberSettings, Settings
from gateway.directory import Directory
from gateway.rulebook import Rulebook
from htlc.hashlock import HashFunction
from htlc.swap import Leg, Party, Swap
from htlc.units import (
    AccountId,
    AssetId,
    Duration,
    Instant,
    LedgerId,
    LegId,
    MemberId,
    Quantity,
    SettlementId,
    seconds,
)
from ledgers.port import AssetDescription, Description, LockKind
from tests.gateway.http.conftest import sha256

SELLER, BUYER = "SELADEF0XXX", "BUYRFRPPXXX"


def member(bic: str, *, attorney: bool) -> MemberSettings:
    accounts: dict[str, tuple[str, ...]] = {"registry": (f"REG-{bic}",), "bank": (f"BANK-{bic}",)}
    return MemberSettings(
        bic=bic[:8],
        name=bic,
        token_sha256=sha256(bic),
        accounts=accounts,
        power_of_attorney=attorney,
    )


@pytest.fixture
def directory() -> Directory:
    kept = {"registry": "securities", "bank": "currency"}
    made = Directory(
        Settings(
            bic="GATEDEFFXXX",
            dsn="none",
            master_file=Path("none"),
            ledgers={
                name: LedgerSettings(kind=kind, url="http://none", token_file=Path("none"))  # type: ignore[arg-type]
                for name, kind in kept.items()
            },
            members=(member(SELLER, attorney=True), member(BUYER, attorney=False)),
        )
    )
    for name, asset in (("registry", "DE0001102580"), ("bank", "EUR")):
        kept_asset = AssetDescription(asset=AssetId(asset), scale=2, quantity_type="FAMT")
        made.learn(LedgerId(name), _described(name, kept_asset))
    return made


def _described(name: str, asset: AssetDescription) -> Description:
    return Description(
        ledger=LedgerId(name),
        lock_kinds=(LockKind.TWO_KEY,),
        hash_functions=(HashFunction(),),
        probe=(b"",),
        at=Instant(1),
        finality=Duration(0),
        skew=Duration(0),
        assets=(asset,),
    )


def rulebook(directory: Directory) -> Rulebook:
    return Rulebook(
        directory,
        days=None,  # type: ignore[arg-type]  # asked of messages only
        consent_within=seconds(60),
        clock=lambda _: Instant(1),
    )


def a_leg(**changes: str) -> Leg:
    """One that nothing speaks against, or changed: `payer` and `account` are the payer's."""
    said = {
        "ledger": "registry",
        "asset": "DE0001102580",
        "payer": SELLER,
        "account": f"REG-{SELLER}",
    } | changes
    return Leg(
        leg=LegId("SECU"),
        ledger=LedgerId(said["ledger"]),
        asset=AssetId(said["asset"]),
        quantity=Quantity(5),
        payer=Party(member=MemberId(said["payer"]), account=AccountId(said["account"])),
        payee=Party(member=MemberId(BUYER), account=AccountId(f"REG-{BUYER}")),
    )


def faults(directory: Directory, leg: Leg) -> list[tuple[str, str]]:
    swap = Swap(id=SettlementId("0192f3c4-5d6e-7f80-9a1b-2c3d4e5f6071"), legs=(a_leg(), leg))
    return [(fault.field, fault.rule) for fault in rulebook(directory).swap_faults(swap)]


def test_nothing_speaks_against_accounts_and_assets_that_are_known(directory: Directory) -> None:
    assert faults(directory, a_leg()) == []
    assert faults(directory, a_leg(payer=SELLER[:8])) == [], "a missing branch is XXX"


@pytest.mark.parametrize(
    ("changes", "field", "rule"),
    [
        ({"ledger": "moon"}, "ledger", "one of bank, registry"),
        ({"asset": "EUR"}, "asset", "registry keeps no EUR"),
        ({"payer": "NOBODEFFXXX"}, "payer.member", "NOBODEFFXXX is no member"),
        (
            {"account": f"BANK-{SELLER}"},
            "payer.account",
            f"BANK-{SELLER} is no account of {SELLER} on registry",
        ),
    ],
)
def test_each_fault_is_told_where_it_is(
    directory: Directory, changes: dict[str, str], field: str, rule: str
) -> None:
    assert faults(directory, a_leg(**changes)) == [(f"legs[1].{field}", rule)]


def test_a_ledger_that_is_not_trusted_is_settled_on_by_nobody(directory: Directory) -> None:
    directory.distrusted["registry"] = "its probe is wrong"
    told = [(f"legs[{n}].ledger", "its probe is wrong") for n in (0, 1)]
    assert faults(directory, a_leg()) == told


@pytest.mark.parametrize("asset", ["DE0001102580", ""])
def test_what_is_not_reconciled_is_stopped_alone_or_with_its_ledger(
    directory: Directory, asset: str
) -> None:
    directory.stopped.add(("registry", asset))
    assert [field for field, _ in faults(directory, a_leg())] == ["legs[0].asset", "legs[1].asset"]
    directory.stopped.clear()
    assert faults(directory, a_leg()) == []


def test_only_a_power_of_attorney_pays_without_an_order(directory: Directory) -> None:
    both = frozenset({MemberId(SELLER), MemberId(BUYER)})
    assert rulebook(directory).attorneys(both) == {SELLER}
    assert directory.has_power_of_attorney(SELLER[:8])
    assert not directory.has_power_of_attorney(BUYER)
    assert not directory.has_power_of_attorney("NOBODEFFXXX")

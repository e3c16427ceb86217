"""Worlds: the shipped ones hold, and a wrong one is refused by its key and its rule."""

from pathlib import Path

import pytest

from gateway.config import ConfigurationError
from gateway.machine import world

DVP = (world.WORLDS / "dvp.toml").read_text()


def loaded(tmp_path: Path, text: str) -> world.World:
    path = tmp_path / "w.toml"
    path.write_text(text)
    return world.load(path)


def refusal(tmp_path: Path, old: str, new: str) -> str:
    """What is said when `new` stands in the dvp world in place of `old` (its first place)."""
    assert old in DVP
    with pytest.raises(ConfigurationError) as raised:
        loaded(tmp_path, DVP.replace(old, new, 1))
    text = str(raised.value)
    assert "\n" not in text
    return text.removeprefix(f"{tmp_path}/w.toml: ")


@pytest.mark.parametrize("name", ["dvp", "pvp", "cross-currency", "ring", "cross-border"])
def test_a_shipped_world_holds(name: str) -> None:
    assert world.load(world.find(name)).members


def test_the_default_world_has_one_registry_one_currency_and_twelve_custodians() -> None:
    dvp = world.load(world.find(world.DEFAULT))
    assert [ledger.kind for ledger in dvp.ledgers.values()] == ["securities", "currency"]
    assert len(dvp.members) == 12
    assert len(dvp.ledgers["registry"].assets) == 8
    assert len({member.bic[4:6] for member in dvp.members}) >= 6, "of several countries"


def test_every_member_of_a_shipped_world_can_act_on_every_ledger() -> None:
    for path in world.WORLDS.glob("*.toml"):
        found = world.load(path)
        for member in found.members:
            assert set(member.accounts) == set(found.ledgers)


def test_a_world_is_found_by_name_or_by_file() -> None:
    assert world.find("pvp") == world.WORLDS / "pvp.toml"
    assert world.find("mine.toml") == Path("mine.toml")
    with pytest.raises(ConfigurationError, match="cross-border, cross-currency, dvp, pvp, ring"):
        world.find("netting")


def test_opening_balances_are_counted_in_smallest_units() -> None:
    first = next(world.holdings(world.load(world.find("dvp"))))
    assert (first.member, first.asset, first.quantity) == (
        "ALSTDEF0XXX",
        "XS2999000016",
        4_000_000_000,
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("LKSPBEB0XXX", "LKSPBEBBXXX", "gateway.bic: a test BIC"),
        ("LKSPBEB0XXX", "LKSPBEB0", "gateway.bic: a test BIC"),
        ('bic = "LKSPBEB0XXX"', 'bic = "LKSPBEB0XXX"\nreplicas = 0', "gateway.replicas: 1 to 8"),
        ('depository = "ZREGDEF0XXX"\n', "", "ledgers.registry.depository: a test BIC"),
        (
            'operator = "EUROBEB0XXX"',
            'operator = "EUROBEB0XXX"\ndepository = "EUROBEB0XXX"',
            "ledgers.euro.depository: a currency has no depository",
        ),
        (
            'operator = "EUROBEB0XXX"',
            'operator = "EUROBEB0XXX"\nlock_kinds = []',
            "ledgers.euro.lock_kinds: one kind of lock at least",
        ),
        ("assets.XS2999000016", "assets.XS2999000017", "isin: not an ISIN"),
        ("assets.EUR]", "assets.Euro]", "ledgers.euro.assets.Euro.currency: a currency code"),
        ("scale = 2", "scale = 18", "ledgers.registry.assets.XS2999000016.scale: 0 to 17"),
        ('"FaceAmt"', '"Ccy"', "ledgers.registry.assets.XS2999000016.quantity_type: Ccy on a"),
        ("EIBKLUL0XXX", "EIBKLUL1XXX", "ledgers.registry.assets.XS2999000016.issuer: a test BIC"),
        ("9999LOCKSTEPALST0009", "9999LOCKSTEPALST0008", "members[0].lei: an LEI"),
        ("RHEIDEF0XXX", "ALSTDEF0XXX", "members[1].bic: ALSTDEF0XXX is a member already"),
        ("accounts.registry.REG", "accounts.vault.REG", "members[0].accounts.vault: one of euro"),
        ("REG-ALSTDE-0001", '"R G"', "members[0].accounts.registry.R G: 1 to 35"),
        (
            "REG-RHEIDE-0001",
            "REG-ALSTDE-0001",
            "members[1].accounts.registry.REG-ALSTDE-0001: is another member's account",
        ),
        (
            "EUR-ALSTDE-0001",
            "ISSUED-EUR",
            "members[0].accounts.euro.ISSUED-EUR: is the issuer's own account",
        ),
        ('XS2999000016 = "', 'XS2999000024 = "', "XS2999000024: an asset of that ledger"),
        ('"40000000.00"', '"40000000.001"', "XS2999000016: at most 2 decimals"),
        ('"40000000.00"', '"-4"', "XS2999000016: a decimal number without sign"),
        ('"40000000.00"', '"0.00"', "XS2999000016: more than nothing"),
        ('"40000000.00"', '"92233720368547758.08"', "does not fit 63 bits"),
        ('"40000000.00"', '"92233720368547758.07"', "XS2999000016: the issue does not fit 63 bits"),
        ("title =", "titel =", "the file: Object contains unknown field `titel`"),
    ],
)
def test_a_wrong_world_is_refused_by_key_and_rule(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert said in refusal(tmp_path, old, new)


def test_a_ledgers_name_can_stand_in_file_names_and_labels(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"ledgers\.Euro: a ledger's name is 1 to 31"):
        loaded(tmp_path, DVP.replace("ledgers.euro", "ledgers.Euro"))


@pytest.mark.parametrize("text", ["1e3", "+1", "01", ".5", "1.", "", "\u0661"])
def test_an_amount_has_one_spelling(text: str) -> None:
    with pytest.raises(ValueError, match="without sign"):
        world.smallest_units(text, 2)


def test_an_amount_and_its_text_are_each_others_reverse() -> None:
    assert world.decimal_text(world.smallest_units("1234.50", 2), 2) == "1234.50"
    assert world.decimal_text(world.smallest_units("7", 0), 0) == "7"

"""A registry's internal book against what the network proves of it."""

from collections.abc import Callable, Iterable

import pytest

from gateway.icsd_node.reconcile import BookFault, Break, Reconciled, read_book, reconcile
from htlc.units import AssetId
from ledgers.icsd.entry import Hash
from ledgers.icsd.epoch import RegistryId
from ledgers.icsd.roots import Issuance, Part
from ledgers.parties import Balance

ISIN = "XS9990000010"
KZ, UZ = RegistryId("KZ"), RegistryId("UZ")
SCALES = {ISIN: 2}


class Network:
    """What a light client at KZ has proved; UZ has issued. `moves` is called before each answer."""

    def __init__(self, held: dict[str, Balance], moves: Callable[["Network"], None]) -> None:
        self.held = held
        self.omnibus_is_off_by = 0
        self._moves = moves

    async def balance(self, account: str, isin: str) -> Balance | None:
        assert isin == ISIN
        self._moves(self)
        return self.held.get(account)

    async def issue(self, isin: str) -> Issuance:
        held = sum(balance.available + balance.locked for balance in self.held.values())
        root = Hash(repr(sorted(self.held.items())).encode())
        omnibus = held + self.omnibus_is_off_by
        parts = (Part(registry=KZ, root=root, held=held, omnibus=omnibus),) if held else ()
        return Issuance(asset=AssetId(isin), registry=UZ, issued=held, parts=parts)


def network(moves: Callable[[Network], None] = lambda _: None) -> Network:
    return Network({"kz-1": Balance(70, 5), "kz-2": Balance(25)}, moves)


async def told(lines: Iterable[tuple[str, int]], its: Network | None = None) -> Reconciled:
    (found,) = await reconcile(its or network(), KZ, [ISIN], {ISIN: dict(lines)})
    return found


WHOLE = (("kz-1", 75), ("kz-2", 25))


async def test_a_book_that_is_whole_agrees() -> None:
    found = await told(WHOLE)
    assert found.agrees and (found.booked, found.proved, found.omnibus) == (100, 100, 100)


async def test_a_line_that_differs_is_named() -> None:
    found = await told([("kz-1", 74), ("kz-2", 26)])
    assert found.booked == found.proved, "the totals alone would not show it"
    assert not found.agrees
    assert found.breaks == (
        Break(account="kz-1", booked=74, proved=75),
        Break(account="kz-2", booked=26, proved=25),
    )


async def test_an_account_that_the_book_lacks_shows_in_the_total() -> None:
    found = await told([("kz-1", 75)])
    assert not found.breaks and not found.agrees
    assert (found.booked, found.proved) == (75, 100)


async def test_an_account_that_the_network_lacks_is_named() -> None:
    found = await told([*WHOLE, ("kz-3", 0)])
    assert found.breaks == (Break(account="kz-3", booked=0, proved=None),) and not found.agrees


async def test_an_omnibus_account_that_differs_is_no_agreement() -> None:
    its = network()
    its.omnibus_is_off_by = 1
    assert not (await told(WHOLE, its)).agrees


async def test_an_instrument_nobody_here_holds_agrees_with_a_book_without_it() -> None:
    found = await told([], Network({}, lambda _: None))
    assert found.agrees and (found.booked, found.proved, found.omnibus) == (0, 0, 0)


async def test_what_moves_meanwhile_is_read_again() -> None:
    asked = []

    def once(its: Network) -> None:
        asked.append(None)
        if len(asked) == 2:
            its.held = {"kz-1": Balance(75), "kz-2": Balance(30)}

    found = await told([("kz-1", 75), ("kz-2", 30)], network(once))
    assert found.agrees and found.proved == 105


async def test_what_never_stands_still_is_not_said_to_agree() -> None:
    def always(its: Network) -> None:
        its.held["kz-2"] = Balance(its.held["kz-2"].available + 1)

    found = await told(WHOLE, network(always))
    assert not found.is_still and not found.agrees


def test_a_book_is_read_in_smallest_units() -> None:
    text = ["account,isin,quantity\n", f"kz-1, {ISIN},0.75\n", f"kz-2,{ISIN},1000\n"]
    assert read_book(text, SCALES) == {ISIN: {"kz-1": 75, "kz-2": 100_000}}


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["account,quantity\n"], "line 1: expected the columns account,isin,quantity"),
        (["", "kz-1\n"], "line 2: expected 3 fields"),
        (["", f"kz-1,{ISIN},1,2\n"], "line 2: expected 3 fields"),
        (["", "kz-1,XS0,1\n"], "line 2: isin: XS0 is not on this network"),
        (["", f"kz-1,{ISIN},0.001\n"], "line 2: quantity: "),
        (["", f"kz-1,{ISIN},1\n", f"kz-1,{ISIN},1\n"], "line 3: account: kz-1 has a line"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(lines: list[str], why: str) -> None:
    with pytest.raises(BookFault, match=why):
        read_book([lines[0] or "account,isin,quantity\n", *lines[1:]], SCALES)

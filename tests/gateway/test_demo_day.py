"""The day of the demo: its files, what it expects, and that its checks can fail."""

import json
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from gateway.client import Received, Rejected
from gateway.demo import audit, expected, make_day
from gateway.demo.audit import Books
from gateway.demo.expected import DAY, Expected, Outcome, Sent
from gateway.demo.outcomes import Heard, differences
from gateway.demo.trades import Story
from gateway.http import wire
from gateway.machine import world
from gateway.machine.world import World, counter_account, holdings
from gateway.statuses import Told, told
from htlc.leg import LegStatus
from ledgers.views import AccountViewJson, HoldingJson, PositionJson
from protocols.iso20022.envelope import split
from protocols.iso20022.errors import ProtocolError

EXAMPLES = Path(__file__).parents[1] / "protocols" / "data"


@pytest.fixture(scope="module")
def day() -> Expected:
    return expected.load()


@pytest.fixture(scope="module")
def dvp() -> World:
    return world.load(world.find("dvp"))


class TestFiles:
    """What custodians send."""

    def test_the_committed_files_are_what_the_program_makes(self) -> None:
        made = make_day.files()
        there = {str(path.relative_to(DAY)) for path in DAY.rglob("*") if path.is_file()}
        assert there == set(made)
        assert [name for name in made if (DAY / name).read_bytes() != made[name]] == []

    def test_there_is_a_days_worth_of_trades(self, day: Expected) -> None:
        assert sum(len(trade.sides) == 2 for trade in day.trades) >= 200
        assert len({side.sender for trade in day.trades for side in trade.sides}) == 12

    def test_every_kind_of_failure_is_in_the_day(self, day: Expected) -> None:
        stories = Counter(trade.story for trade in day.trades)
        unmatched = (Story.NO_COUNTERPART, Story.AMOUNT, Story.OTHER_ISIN, Story.OTHER_QUANTITY)
        assert sum(stories[story] for story in unmatched) >= 4
        assert stories[Story.NO_SECURITIES] >= 3
        assert stories[Story.NO_CASH] >= 3
        assert stories[Story.CHAIN] >= 3
        assert stories[Story.TOLERANCE] >= 3
        outcomes = Counter(side.outcome for trade in day.trades for side in trade.sides)
        assert outcomes[Outcome.REFUSED] + outcomes[Outcome.REJECTED] >= 5
        assert outcomes[Outcome.REPEATED] >= 3

    def test_every_custodian_sends_batches_and_single_messages(self) -> None:
        for folder in (path for path in DAY.iterdir() if path.is_dir()):
            assert len(list(folder.glob("*-batch.xml"))) >= 2
            assert len(list(folder.glob("*-single.xml"))) >= 3

    def test_every_message_is_expected_once(self, day: Expected) -> None:
        sides = [side for trade in day.trades for side in trade.sides]
        wanted = Counter((side.sender, side.file, side.reference) for side in sides)
        assert max(wanted.values()) == 1
        there: set[tuple[str, str, str | None]] = set()
        for path in DAY.glob("*/*.xml"):
            try:
                items = split(path.read_bytes())
            except ProtocolError as error:
                items = (error,)
            for item in items:
                unread = isinstance(item, ProtocolError)
                reference = None if unread else item.header.business_message_id
                there.add((path.parent.name, path.name, reference))
        assert there == set(wanted)


SETTLED = Sent(sender="A", file="f", reference="r", outcome=Outcome.SETTLED, settled="1.00 EUR")
PENDING = Sent(sender="A", file="f", reference="r", outcome=Outcome.PENDING, code="LACK")
UNMATCHED = Sent(sender="A", file="f", reference="r", outcome=Outcome.UNMATCHED, code="DMON")
REJECTED = Sent(sender="A", file="f", reference="r", outcome=Outcome.REJECTED, code="DSEC")
REFUSED = Sent(sender="A", file="f", reference="r", outcome=Outcome.REFUSED, code="XSDV")
REPEATED = Sent(sender="A", file="again", reference="r", outcome=Outcome.REPEATED)

RECEIVED = Received(reference="r", id="1")
MATCHED = Told(transaction_id="t", matching="Mtchd")
CONFIRMED = Told(transaction_id="t", settled="1.00 EUR")
LACKING = Told(transaction_id="t", settlement="Pdg", matching="Mtchd", codes=("LACK",))
ALONE = Told(transaction_id="t", processing="AckdAccptd", matching="Umtchd", codes=("CMIS",))
NEAR = Told(transaction_id="t", matching="Umtchd", codes=("DMON",))
NO = Told(transaction_id="t", processing="Rjctd", codes=("DSEC",))


class TestOutcomes:
    """What is as expected, and what is not."""

    def difference(
        self, sent: Sent, *told: Told, answer: Received | Rejected = RECEIVED
    ) -> str | None:
        heard = Heard()
        heard.answer(sent.sender, sent.file, [answer])
        for status in told:
            heard.tell(sent.sender, sent.reference, status, 0.0)
        return heard.difference(sent)

    @pytest.mark.parametrize(
        ("sent", "statuses"),
        [
            (SETTLED, (MATCHED, CONFIRMED)),
            (SETTLED, (LACKING, CONFIRMED)),
            (PENDING, (MATCHED, LACKING)),
            (UNMATCHED, (NEAR,)),
            (UNMATCHED, (ALONE, NEAR)),
            (REJECTED, (NO,)),
        ],
    )
    def test_the_expected_is_no_difference(self, sent: Sent, statuses: tuple[Told, ...]) -> None:
        assert self.difference(sent, *statuses) is None

    @pytest.mark.parametrize(
        ("sent", "statuses", "what"),
        [
            (SETTLED, (), "0 final notices; nothing yet"),
            (SETTLED, (MATCHED,), "0 final notices; Mtchd"),
            (SETTLED, (CONFIRMED, CONFIRMED), "2 final notices"),
            (SETTLED, (CONFIRMED, MATCHED), "told something after its end"),
            (
                SETTLED,
                (Told(transaction_id="t", settled="1.01 EUR"),),
                "told settled 1.01 EUR",
            ),
            (PENDING, (LACKING, CONFIRMED), "1 final notices"),
            (PENDING, (MATCHED,), "told Mtchd"),
            (UNMATCHED, (NEAR, ALONE), "told AckdAccptd Umtchd CMIS"),
            (UNMATCHED, (MATCHED, NEAR), "told Umtchd DMON"),
            (REJECTED, (Told(transaction_id="t", processing="Rjctd", codes=("DMON",)),), "told"),
            (REJECTED, (NO, NO), "2 final notices"),
        ],
    )
    def test_anything_else_is_told_as_a_difference(
        self, sent: Sent, statuses: tuple[Told, ...], what: str
    ) -> None:
        assert what in str(self.difference(sent, *statuses))

    def test_no_answer_is_a_difference(self) -> None:
        assert [d.what for d in differences(Heard(), [SETTLED])] == ["no answer"]

    def test_a_refusal_has_its_code_and_its_reference(self) -> None:
        refusal = Rejected(reference="r", code="XSDV", description="")
        assert self.difference(REFUSED, answer=refusal) is None
        other = msgspec.structs.replace(refusal, code="XVER")
        assert self.difference(REFUSED, answer=other) == "refused: XVER"
        another = msgspec.structs.replace(refusal, reference="q")
        assert self.difference(REFUSED, answer=another) == "refused, about q"
        assert self.difference(REFUSED) == "received as 1"
        assert self.difference(SETTLED, answer=refusal) == "refused: XSDV "

    def test_a_repeated_message_gets_the_same_identifier(self) -> None:
        heard = Heard()
        heard.answer("A", "f", [RECEIVED])
        heard.answer("A", "again", [RECEIVED])
        assert heard.difference(REPEATED) is None
        heard.answer("A", "again", [Received(reference="r", id="2")])
        assert heard.difference(REPEATED) == "a new identifier for a repeated message"

    def test_in_a_batch_an_answer_is_found_by_its_reference(self) -> None:
        heard = Heard()
        heard.answer("A", "f", [Rejected(reference="q", code="X", description=""), RECEIVED])
        heard.tell("A", "r", NO, 0.0)
        assert heard.difference(REJECTED) is None


class TestBooks:
    """The audit of the ledgers."""

    def books(self, dvp: World) -> dict[str, Books]:
        """The ledgers as they are before the day."""
        made = {}
        for name, ledger in dvp.ledgers.items():
            held = [holding for holding in holdings(dvp) if holding.ledger == name]
            issued = Counter[str]()
            for holding in held:
                issued[holding.asset] += holding.quantity
            rows = [(h.account, h.asset, h.quantity) for h in held]
            rows += [(counter_account(asset), asset, -issued[asset]) for asset in ledger.assets]
            made[name] = Books(
                positions=tuple(_position(asset, total) for asset, total in issued.items()),
                accounts=tuple(_account(*row) for row in rows),
            )
        return made

    def test_books_without_trades_are_right(self, dvp: World) -> None:
        books = self.books(dvp)
        assert audit.faults(dvp, books, books, []) == []

    def test_a_trade_that_settled_on_one_ledger_only_is_found(
        self, dvp: World, day: Expected
    ) -> None:
        books = self.books(dvp)
        trade = next(trade for trade in day.trades if trade.settles)
        found = audit.faults(dvp, books, books, [trade])
        assert len(found) == 4, "both parties, both ledgers"
        assert all("the trades make it" in fault for fault in found)

    def test_money_out_of_nothing_is_found(self, dvp: World) -> None:
        before = self.books(dvp)
        first, *others = before["euro"].accounts
        richer = _account(first.account, "EUR", int(first.holdings[0].available) + 1)
        after = before | {
            "euro": msgspec.structs.replace(before["euro"], accounts=(richer, *others))
        }
        found = audit.faults(dvp, before, after, [])
        assert any("sum to 1, not to zero" in fault for fault in found)
        assert any(first.account in fault for fault in found)

    def test_a_changed_issue_is_found(self, dvp: World) -> None:
        before = self.books(dvp)
        more = _position("EUR", 1)
        after = before | {"euro": msgspec.structs.replace(before["euro"], positions=(more,))}
        assert "euro: the issued amounts have changed" in audit.faults(dvp, before, after, [])

    @pytest.mark.parametrize(
        ("state", "securities", "cash", "right"),
        [
            ("SETTLED", LegStatus.EXECUTED, LegStatus.EXECUTED, True),
            ("CANCELLED", LegStatus.CANCELLED, LegStatus.ABSENT, True),
            ("UNWINDING", LegStatus.LOCKED, LegStatus.ABSENT, True),
            ("SETTLED", LegStatus.EXECUTED, LegStatus.LOCKED, False),
            ("SETTLED", LegStatus.EXECUTED, LegStatus.CANCELLED, False),
            ("CANCELLED", LegStatus.EXECUTED, LegStatus.EXECUTED, False),
            ("SETTLED", LegStatus.CANCELLED, LegStatus.CANCELLED, False),
        ],
    )
    def test_legs_that_end_differently_are_found(
        self, state: str, securities: LegStatus, cash: LegStatus, right: bool
    ) -> None:
        statuses = {("registry", "c1"): securities, ("euro", "c2"): cash}
        assert (list(audit.one_end(_view(state), statuses)) == []) is right


def _position(asset: str, total: int) -> PositionJson:
    return PositionJson(
        asset=asset, issued=str(total), available=str(total), locked="0", difference="0"
    )


def _account(account: str, asset: str, quantity: int) -> AccountViewJson:
    return AccountViewJson(
        account=account,
        owner="",
        blocked=False,
        holdings=[HoldingJson(asset=asset, available=str(quantity), locked="0")],
        mandates=[],
    )


def _view(state: str) -> wire.SettlementView:
    legs = [
        {
            "leg": leg,
            "ledger": ledger,
            "asset": "X",
            "quantity": "1",
            "payer": {"member": "A", "account": "a"},
            "payee": {"member": "B", "account": "b"},
            "contract": contract,
            "state": "LOCKED",
            "final": True,
            "lock_by": None,
            "expires_at": None,
            "ended_at": None,
            "refusal": None,
        }
        for leg, ledger, contract in (("SECU", "registry", "c1"), ("CASH", "euro", "c2"))
    ]
    view = {
        "id": "s",
        "state": state,
        "created_at": "2026-10-08T05:30:00Z",
        "commit_by": None,
        "protocol": None,
        "principal_risk": None,
        "safe_downtime_seconds": None,
        "trusts": None,
        "decision": None,
        "awaits": [],
        "pair": None,
        "legs": legs,
    }
    return msgspec.json.decode(json.dumps(view), type=wire.SettlementView)


@pytest.mark.parametrize(
    ("file", "what"),
    [
        ("sese.024-accepted-unmatched.xml", "AckdAccptd Umtchd CMIS"),
        ("sese.024-pending-lack.xml", "Mtchd Pdg LACK"),
        ("sese.024-cancelled.xml", "Canc CANI"),
        ("sese.025-confirmation.xml", "settled 998750.00 EUR"),
    ],
)
def test_a_status_is_read_as_a_custodian_reads_it(file: str, what: str) -> None:
    document = (EXAMPLES / file).read_text().partition("?>")[2]
    assert what in str(told(f"<BizMsg>{document}</BizMsg>"))

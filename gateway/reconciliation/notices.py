"""What members are told of a break: that an asset, or a ledger, does not settle, and since when.

Accounts and amounts are other members' affairs and are left out: operators read them over HTTP.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal

import msgspec

from gateway.directory import Directory
from gateway.ids import new_id
from gateway.journal import Notice
from gateway.pairs import notice_to
from gateway.port import Difference
from gateway.reconciliation.store import Announce
from protocols.iso20022.codes import SystemEventCode
from protocols.iso20022.lexical import instant_text
from protocols.iso20022.payment import SystemEvent

DEFINITION: Final = "lockstep.reconciliation.1"


State = Literal["stopped", "resumed"]


class ReconciliationNotice(msgspec.Struct, frozen=True, kw_only=True):
    """A stop of new locks on a ledger, or its end. `assets` empty: of the whole ledger."""

    state: State
    ledger: str
    assets: tuple[str, ...]
    at: str
    what: str


def announcer(directory: Directory, stopped: Callable[[str, str], bool]) -> Announce:
    """Tells everyone who has an account on the ledger. `stopped` says whether other breaks keep an
    asset stopped: then it is not told as resumed."""

    def announce(
        ledger: str, fresh: Sequence[Difference], lifted: Sequence[Difference], now: int
    ) -> Iterator[Notice]:
        open_now = {each.asset for each in fresh}
        over = {each.asset for each in lifted} - open_now
        over = {asset for asset in over if not stopped(ledger, asset)}
        news: tuple[tuple[State, set[str]], ...] = (("stopped", open_now), ("resumed", over))
        for state, assets in news:
            if assets:
                for bic, member in directory.members.items():
                    if member.accounts.get(ledger):
                        yield from _told(bic, state, ledger, assets, now)

    return announce


_WHAT: Final = {
    "stopped": "what the ledger tells does not agree with what it told before: nothing new is "
    "locked; what is locked is executed, cancelled or refunded as agreed",
    "resumed": "what the ledger tells agrees again: it settles as before",
}


_CODES: Final = {"stopped": SystemEventCode.BRKB, "resumed": SystemEventCode.BRKE}


def _told(bic: str, state: State, ledger: str, assets: set[str], now: int) -> Iterator[Notice]:
    """The same twice: for who reads JSON, and as a message (admi.004)."""
    yield Notice(
        member=bic,
        id=new_id(),
        definition=DEFINITION,
        related=None,
        created_at=now,
        settlement=None,
        content=_notice(state, ledger, assets, now),
    )
    event = SystemEvent(
        code=_CODES[state],
        parameters=(ledger, *(sorted(assets - {""}) if "" not in assets else ())),
        text=_WHAT[state],
        at=now,
    )
    yield notice_to(bic, event, now, about=None)


def _notice(state: State, ledger: str, assets: set[str], now: int) -> str:
    content = ReconciliationNotice(
        state=state,
        ledger=ledger,
        assets=() if "" in assets else tuple(sorted(assets)),
        at=instant_text(now),
        what=_WHAT[state],
    )
    return msgspec.json.encode(content).decode()

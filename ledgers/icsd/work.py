"""One block in the making: which messages count, and what each entry of them does.

An entry is judged by the rules of the network (`rules`) and then by those of the book. An effect
moves the omnibus accounts with the holdings, in one step.
"""

from collections.abc import Mapping

from htlc.contract import Answer, Refusal
from htlc.units import AssetId, LedgerId
from ledgers.administration import OpenAccount, administer
from ledgers.book import Effect, answer, judge, post
from ledgers.icsd import rules
from ledgers.icsd.block import Fault, Ignored, Outcome
from ledgers.icsd.entry import (
    ENTRIES_MAX,
    MESSAGE_MAX,
    Bundle,
    Cut,
    Entry,
    Membership,
    Signed,
    unpack,
    verified,
)
from ledgers.icsd.epoch import Epoch, RegistryId
from ledgers.icsd.proof import Result, membership_signed
from ledgers.icsd.rows import Place, Tables, Touched
from ledgers.parties import Principal
from ledgers.port import Operation


def epochs_at(height: int, epoch: Epoch, following: Epoch | None) -> tuple[Epoch, Epoch | None]:
    """The members who certify the block at `height`, and those decided for later."""
    if following is not None and height >= following.start:
        return following, None
    return epoch, following


def sender_fault(signed: Signed, body: Bundle | Cut, epoch: Epoch) -> Fault | None:
    """Why a message is not from a member of the epoch."""
    key = epoch.key(body.registry)
    if key is None:
        return Fault.NOT_A_MEMBER
    if body.epoch != epoch.number:
        return Fault.WRONG_EPOCH
    return None if verified(signed.signature, signed.body, key) else Fault.BAD_SIGNATURE


class Work:
    """One block in the making: `height`, at ledger time `at`, under the members of `epoch`."""

    def __init__(self, network: LedgerId, tables: Tables, before: Place, cut: Cut) -> None:
        self._network = network
        self._tables = tables
        self._height = cut.height
        self._at = cut.at
        self._done = Answer(at=cut.at)  # what all are told whose operation made no contract
        self.epoch, self.following = epochs_at(cut.height, before.epoch, before.following)
        self.touched = Touched(tables, before)
        self.outcomes: list[Outcome] = []
        self.ignored: list[Ignored] = []
        self.effects: list[Effect] = []

    def take(self, position: int, data: bytes) -> None:
        """Do what a message asks; note why it asks for nothing."""
        read = unpack(data)
        if read is None:
            self._ignore(position, None, Fault.UNREADABLE)
            return
        signed, bundle = read
        if not isinstance(bundle, Bundle):
            self._ignore(position, bundle.registry, Fault.NO_BUNDLE)
            return
        if fault := self._bundle_fault(data, signed, bundle):
            self._ignore(position, bundle.registry, fault)
            return
        self.touched.bundle(bundle.registry)
        self._tables.sequences[bundle.registry] = bundle.sequence, signed.hash
        outcome = Outcome(
            registry=bundle.registry,
            sequence=bundle.sequence,
            bundle=signed.hash,
            results=tuple(self._entry(entry, bundle.registry) for entry in bundle.entries),
        )
        self.outcomes.append(outcome)

    def _bundle_fault(self, data: bytes, signed: Signed, bundle: Bundle) -> Fault | None:
        if len(data) > MESSAGE_MAX or not 1 <= len(bundle.entries) <= ENTRIES_MAX:
            return Fault.TOO_LARGE
        last, previous = self._tables.last(bundle.registry)
        if bundle.sequence != last + 1:
            return Fault.WRONG_SEQUENCE
        if bundle.previous != previous:
            return Fault.WRONG_PREVIOUS
        return sender_fault(signed, bundle, self.epoch)

    def _ignore(self, position: int, registry: RegistryId | None, fault: Fault) -> None:
        self.ignored.append(Ignored(position=position, registry=registry, fault=fault))

    def _entry(self, entry: Entry, registry: RegistryId) -> Result:
        refusal = rules.refused_entry(entry)
        if entry.operation is not None:
            return self._operation(entry.operation, entry.by, registry, refusal)
        if refusal is not None:
            return refusal
        if entry.membership is not None:
            return self._membership(entry.membership)
        return self._act(entry, registry)

    def _operation(
        self, operation: Operation, by: Principal, registry: RegistryId, refusal: Refusal | None
    ) -> Result:
        book, homes = self._tables.book, self._tables.homes
        refusal = refusal or rules.refused_operation(operation, registry, book.instruments, homes)
        outcome = refusal or judge(book, operation, by, self._at)
        if isinstance(outcome, Effect):
            self._post(outcome)
            if outcome.htlc is None:
                return self._done
        return answer(book, operation, outcome, self._at)

    def _post(self, effect: Effect) -> None:
        moves = self._omnibus_moves(effect)
        self.touched.effect(effect, moves)
        post(self._tables.book, effect)
        self.effects.append(effect)
        if moves:
            self._move_omnibus(effect.asset, moves)

    def _move_omnibus(self, asset: AssetId, moves: Mapping[RegistryId, int]) -> None:
        held = self._tables.omnibus.setdefault(asset, {})
        for registry, quantity in moves.items():
            after = held.get(registry, 0) + quantity
            assert after >= 0, "an omnibus account is never overdrawn"
            if after:
                held[registry] = after
            else:
                held.pop(registry, None)

    def _omnibus_moves(self, effect: Effect) -> dict[RegistryId, int]:
        """What the entry does to the accounts that investor registries have at the issuer's: the
        same entry moves them, so there is no moment at which the two disagree."""
        homes = self._tables.homes
        debited, credited = homes[effect.debit], homes[effect.credit]
        if debited == credited:
            return {}
        issuer = homes[self._tables.book.instruments[effect.asset].counter]
        moves = {debited: -effect.quantity, credited: effect.quantity}
        moves.pop(issuer, None)  # whose own holders, and the counter-account, have no omnibus
        return moves

    def _act(self, entry: Entry, registry: RegistryId) -> Result:
        act, tables = entry.act, self._tables
        assert act is not None, "an entry asks for one thing"
        if refusal := rules.refused_act(act, registry, tables.homes):
            return refusal
        found = self.touched.found(act)
        done = administer(tables.book, act, entry.by)
        if isinstance(done, Refusal):
            return done
        self.touched.act(found)
        if isinstance(act, OpenAccount) and done:
            tables.homes[act.account] = registry
        return None

    def _membership(self, change: Membership) -> Refusal | None:
        if refusal := rules.refused_membership(change, self.epoch, self.following):
            return refusal
        if not membership_signed(self._network, change, self.epoch):
            return Refusal.NOT_AUTHORISED
        # Two blocks on: the next cut may be in the log already, signed by the members of today.
        start = self._height + 2
        self.following = Epoch(number=change.epoch, members=change.members, start=start)
        return None

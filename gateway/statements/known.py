"""What statements need to know of members and ledgers: a gateway knows it from its configuration, a
registry's node from the book that it keeps."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway.statements.references import Reference
from htlc.units import LedgerId
from ledgers.port import AssetDescription, Description, Fact


class Owner(Protocol):
    """A member; its accounts on each ledger."""

    @property
    def accounts(self) -> Mapping[str, Sequence[str]]: ...

    @property
    def lei(self) -> str | None: ...


class Keeper(Protocol):
    """A ledger; `depository` is the BIC of a securities ledger's."""

    @property
    def kind(self) -> str: ...

    @property
    def depository(self) -> str | None: ...


class Known(Protocol):
    """Members by their BIC of eleven characters, ledgers by their names."""

    @property
    def members(self) -> Mapping[str, Owner]: ...

    @property
    def ledgers(self) -> Mapping[str, Keeper]: ...

    @property
    def descriptions(self) -> Mapping[LedgerId, Description]: ...

    def learn(self, name: LedgerId, description: Description) -> None:
        """A ledger has told what it is and keeps."""
        ...

    def asset(self, ledger: str, asset: str) -> AssetDescription: ...


class Referring(Protocol):
    """Tells whose instruction a posting came from, as one member knows it."""

    async def of(self, facts: Sequence[Fact]) -> list[Reference]:
        """One for each fact, in their order."""
        ...

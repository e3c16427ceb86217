"""members.json: who may speak to the services of one machine, and with which token.

It is what `lockstep up` hands to people and programs; services know digests of tokens only.
"""

from pathlib import Path

import msgspec

from gateway.config import ConfigurationError


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """A member in members.json."""

    token: str
    accounts: dict[str, tuple[str, ...]]


class OperatorAccess(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An operator in members.json."""

    token: str
    role: str
    ledger: str | None = None


class IssuerAccess(msgspec.Struct, frozen=True, kw_only=True):
    """An issuer of securities in members.json: it issues and redeems on its ledger."""

    token: str
    ledger: str


class Members(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """members.json: who may speak to the services, and with which token."""

    members: dict[str, Access]
    operators: dict[str, OperatorAccess]
    issuers: dict[str, IssuerAccess] = {}

    def token(self, name: str) -> str | None:
        """The token of a member by its BIC, or of an operator or issuer by its name."""
        for group in (self.members, self.operators, self.issuers):
            if name in group:
                return group[name].token
        return None


def read(path: Path) -> Members:
    """The file; ConfigurationError in one line if it cannot be used."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Members)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"{path}: {error}") from None

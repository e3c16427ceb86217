"""What is agreed with each member about its connection: versions both ways, and signatures.

Files are read when the gateway starts; what is wrong with them stops the start.
"""

from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509

from gateway.config import ConfigurationError, ConnectionSettings, Settings, SigningSettings
from protocols.iso20022 import envelope, signature, versions
from protocols.iso20022.envelope import Enveloped
from protocols.iso20022.errors import ProtocolError
from protocols.iso20022.lexical import bic11
from protocols.iso20022.signature import Signer
from protocols.iso20022.versions import Emits


class Connection:
    """One member's."""

    def __init__(
        self,
        *,
        accepted: frozenset[str] = envelope.ACCEPTED,
        emits: Emits,
        signatures: str = "off",
        pinned: tuple[x509.Certificate, ...] = (),
        signer: Signer | None = None,
    ) -> None:
        self.accepted = accepted
        self.emits = dict(emits)
        self.signer = signer
        self._signatures = signatures
        self._pinned = pinned

    def admit(self, enveloped: Enveloped, at: int) -> Enveloped:
        """A message of this member that is signed as agreed, bound to the connection's versions.
        ProtocolError XSIG if its signature is missing or wrong."""
        self._check_signature(enveloped, at)
        if not self.emits:
            return enveloped
        header = msgspec.structs.replace(enveloped.header, emits=self.emits)
        return msgspec.structs.replace(enveloped, header=header)

    def _check_signature(self, enveloped: Enveloped, at: int) -> None:
        if self._signatures == "off":
            return
        if self._signatures == "optional" and not signature.is_signed(enveloped.app_hdr):
            return
        try:
            signature.verify(enveloped.app_hdr, enveloped.document, self._pinned, at)
        except ProtocolError as error:
            raise error.about(enveloped.header.business_message_id) from None


class Connections:
    """The connections of all members."""

    def __init__(self, settings: Settings) -> None:
        signer = None if settings.signing is None else _signer(settings.signing)
        self._known: dict[str, Connection] = {}
        for n, member in enumerate(settings.members):
            place = f"members[{n}].connection"
            self._known[bic11(member.bic)] = _connection(place, member.connection, signer)

    def of(self, member: str) -> Connection:
        """The connection of a member; of nobody that is known, the recommended profile's."""
        return self._known.get(bic11(member), PLAIN)

    def sign(self, member: str, message: str) -> str:
        """An XML message to a member, with our signature if that is agreed."""
        signer = self.of(member).signer
        return message if signer is None else signer.sign(message)


PLAIN: Final = Connection(emits={})
"""Nothing is agreed beyond the recommended profile."""


def _connection(place: str, settings: ConnectionSettings, signer: Signer | None) -> Connection:
    accepted = envelope.ACCEPTED if settings.accept is None else frozenset(settings.accept)
    if unknown := sorted(accepted - envelope.ACCEPTED):
        raise ConfigurationError(f"{place}.accept: {unknown[0]} is not read here")
    for message, version in settings.emit.items():
        if (fault := versions.fault(message, version)) is not None:
            raise ConfigurationError(f"{place}.emit: {fault}")
    pinned = tuple(_certificate(place, path) for path in settings.certificate_files)
    if settings.signatures != "off" and not pinned:
        raise ConfigurationError(f"{place}.certificate_files: name the member's certificate")
    if settings.sign and signer is None:
        raise ConfigurationError(f"{place}.sign: the gateway has no key; see [signing]")
    return Connection(
        accepted=accepted,
        emits=settings.emit,
        signatures=settings.signatures,
        pinned=pinned,
        signer=signer if settings.sign else None,
    )


def _certificate(place: str, path: Path) -> x509.Certificate:
    try:
        return signature.certificate(_read(place, path))
    except ValueError as error:
        raise ConfigurationError(f"{place}.certificate_files: {path}: {error}") from None


def _signer(settings: SigningSettings) -> Signer:
    try:
        certificate = signature.certificate(_read("signing", settings.certificate_file))
        return Signer(signature.private_key(_read("signing", settings.key_file)), certificate)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"signing: {error}") from None


def _read(place: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{place}: {path}: {error.strerror}") from None

"""The keys: derived per settlement from one master secret, shown only as the core allows.

No key is stored; the last one shown is remembered in memory, for the other legs of its pair. A key
is HKDF-SHA256 (RFC 5869) over the master secret with the settlement, the pair and the role as
context, so any replica with the master secret derives the same one, and no two keys ever coincide.
Whoever loses the master secret of a gateway cannot open what is locked under `two_key` and
`anchored`: back it up (README, "The vault's secret").
"""

import hashlib
import hmac
import os
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from htlc.agreement import Pair, Role
from htlc.hashlock import HashFunction, Hashlock
from htlc.keys import may_show
from htlc.settlement import Settlement
from htlc.units import SettlementId

MASTER_BYTES: Final = 32
"""As long as the keys that are derived from it: 256 bits."""

_BLOCK_BYTES: Final = 64
"""Of SHA-256 (FIPS 180-4): HMAC pads its key to it."""

_EXTRACT_SALT: Final = b"lockstep vault 1"
"""Tells these keys apart from any other use of the same master secret."""

_NONCE_BYTES: Final = 12
"""96 random bits, as AES-GCM takes them best; far fewer than 2**32 secrets are ever sealed."""


class Vault:
    """Derives keys and locks. The master secret never leaves this object."""

    def __init__(self, master: bytes) -> None:
        if len(master) != MASTER_BYTES:
            raise ValueError(f"the vault's master secret has {MASTER_BYTES} bytes")
        # HKDF-Extract, once; and HMAC (RFC 2104) of the result as far as it goes without a message:
        # going on from there takes a third of the time of a whole one.
        prk = hmac.digest(_EXTRACT_SALT, master, hashlib.sha256).ljust(_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in prk))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in prk))
        self._safe = AESGCM(self._derive("handed secrets"))
        self._last: tuple[tuple[SettlementId, Pair, Role], bytes] | None = None

    def lock(
        self, settlement: SettlementId, pair: Pair, role: Role, function: HashFunction
    ) -> Hashlock:
        """The lock that the key for (settlement, pair, role) opens on a ledger that hashes so."""
        return function.lock(self._derive(settlement, pair, role))

    def key(self, state: Settlement, leg: int, role: Role) -> bytes:
        """The key itself, to be sent to a ledger. Asks the core once more whether it may be."""
        assert may_show(state, leg, role), f"{role} key of leg {leg} is not to be shown"
        what = (state.swap.id, state.agreed.legs[leg].pair, role)
        if self._last is None or self._last[0] != what:  # the legs of a pair are opened together
            self._last = (what, self._derive(*what))
        return self._last[1]

    def seal(self, settlement: SettlementId, preimage: bytes) -> bytes:
        """A secret that a party has handed over, for keeping (NIST SP 800-38D): nonce and text."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._safe.encrypt(nonce, preimage, settlement.encode())

    def unseal(self, settlement: SettlementId, sealed: bytes) -> bytes:
        """The same back; InvalidTag where it was sealed under another master secret."""
        nonce, text = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        return self._safe.decrypt(nonce, text, settlement.encode())

    def _derive(self, *context: str) -> bytes:
        # HKDF-Expand of one block: T(1) = HMAC(PRK, info | 0x01).
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(f"{'/'.join(context)}\x01".encode())
        outer.update(inner.digest())
        return outer.digest()


def load_master(path: Path, *, create: bool = False) -> bytes:
    """Read the master secret of a gateway from its file (mode 0600); make it if asked to."""
    if create and not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(MASTER_BYTES))
            file.flush()
            os.fsync(descriptor)  # locks will depend on it before the machine has to be alive again
    return path.read_bytes()

"""What an operator of a gateway does against the rules stands on signed blocks, and is found."""

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.audit.findings import Check, lines
from htlc.swap import LockProtocol
from htlc.units import seconds
from ledgers import merkle
from ledgers.block import SIGNATURE_TAG, read_leaf
from ledgers.views import ProofJson
from tests.gateway.audit.day import Copy
from tests.gateway.audit.dishonest import CANCEL, CASH, COMMIT, RESTORED, SECU, rogue
from tests.gateway.audit.test_planted import checks, of


async def test_both_keys_of_a_pair_are_proved_by_signed_postings(copy: Copy) -> None:
    async with rogue(copy) as operator:
        agreement = await operator.open(COMMIT)
        await operator.lock(agreement, SECU, CASH)
        await operator.execute(agreement, SECU)
        await operator.cancel(agreement, CASH)
    report = await copy.audit()
    (proof,) = of(report, Check.BOTH_KEYS)
    assert proof.place.settlement == agreement.settlement
    assert "both keys of pair legs are out; execution key" in proof.what
    assert "on ledger registry block" in proof.what and "on ledger bank block" in proof.what
    keys = [
        verified(raw, copy.day.keys[name])
        for raw, name in zip(proof.evidence, ("registry", "bank"), strict=True)
    ]
    assert agreement.legs[SECU].terms.execution_lock.opens(keys[0])
    cancellation = agreement.legs[CASH].terms.cancellation_lock
    assert cancellation is not None and cancellation.opens(keys[1])
    assert of(report, Check.ONE_END)[0].what == "SECU executed, CASH not"
    assert "cancellation key of leg 1 shown under COMMIT" in of(report, Check.DECIDED)[0].what
    assert checks(report) == {Check.BOTH_KEYS, Check.ONE_END, Check.DECIDED}


async def test_damage_on_top_of_both_keys_does_not_stop_the_audit(copy: Copy) -> None:
    async with rogue(copy) as operator:
        agreement = await operator.open(COMMIT)
        await operator.lock(agreement, SECU, CASH)
        await operator.execute(agreement, SECU)
        await operator.cancel(agreement, CASH)
    await copy.execute(
        "registry",
        "UPDATE postings SET leaf = set_byte(leaf, 3, 255) WHERE height = "
        "(SELECT height FROM blocks ORDER BY height DESC LIMIT 1)",
    )
    (proof,) = of(await copy.audit(), Check.BOTH_KEYS)
    assert len(proof.evidence) == 1, "the other posting proves nothing any more"
    assert "on ledger bank block" in proof.what and "on ledger registry" not in proof.what


def verified(raw: msgspec.Raw, public_key: bytes) -> bytes:
    """The key that a proof shows, verified with the ledger's public key alone."""
    proof = msgspec.json.decode(raw, type=ProofJson)
    leaf = bytes(proof.leaf)
    path = [bytes.fromhex(node) for node in proof.path]
    index, count = int(proof.index), int(proof.header["count"])
    root = bytes.fromhex(proof.header["root"])
    assert merkle.verify_inclusion(merkle.leaf_hash(leaf), index, count, path, root)
    Ed25519PublicKey.from_public_bytes(public_key).verify(
        bytes.fromhex(proof.signature), SIGNATURE_TAG + bytes.fromhex(proof.hash)
    )
    return bytes.fromhex(read_leaf(leaf).key or "")


async def test_an_execution_without_a_decision(copy: Copy) -> None:
    async with rogue(copy) as operator:
        agreement = await operator.open()
        await operator.lock(agreement, SECU, CASH)
        await operator.execute(agreement, CASH)
    (finding,) = (await copy.audit()).findings
    assert (finding.check, finding.place.settlement) == (Check.DECIDED, agreement.settlement)
    assert finding.what == "execution key of leg 1 shown under None"
    assert finding.line() == (
        f"decided: settlement {agreement.settlement}: execution key of leg 1 shown under None "
        "(expected: keys shown had their decision in the journal)"
    )


async def test_an_execution_against_the_decision(copy: Copy) -> None:
    async with rogue(copy) as operator:
        agreement = await operator.open(CANCEL)
        await operator.lock(agreement, SECU, CASH)
        await operator.execute(agreement, CASH)
    assert "shown under CANCEL" in of(await copy.audit(), Check.DECIDED)[0].what


async def test_an_execution_before_every_leg_is_locked(copy: Copy) -> None:
    async with rogue(copy) as operator:
        agreement = await operator.open(COMMIT)
        await operator.lock(agreement, SECU)
        await operator.execute(agreement, SECU)
    (finding,) = (await copy.audit()).findings
    assert (finding.check, finding.place.settlement) == (Check.LOCKED, agreement.settlement)
    assert finding.what == "executed without leg CASH locked as agreed"


async def test_a_follower_executed_before_its_anchor(copy: Copy) -> None:
    async with rogue(copy) as operator:
        agreement = await operator.open(COMMIT, protocol=LockProtocol.ANCHORED)
        assert agreement.anchor is not None
        follower = 1 - agreement.anchor
        await operator.lock(agreement, SECU, CASH)
        await operator.execute(agreement, follower)
    (finding,) = (await copy.audit()).findings
    assert finding.check is Check.DECIDED
    assert finding.what.endswith("EXECUTED, the anchor LOCKED")


async def test_a_lock_that_is_open_for_too_long(copy: Copy) -> None:
    async with rogue(copy) as operator:
        agreement = await operator.open()
        await operator.lock(agreement, SECU)
        assert (await copy.audit()).clean, "it may still be open"
        operator.clock.ahead = seconds(60 + 61)
        other = await operator.open()
        await operator.lock(other, SECU)
    (finding,) = (await copy.audit()).findings
    assert (finding.check, finding.place.settlement) == (Check.OVERDUE, agreement.settlement)
    assert "leg SECU is still locked at" in finding.what
    assert (await copy.audit(unwinding=seconds(3600))).clean


async def test_a_residual_risk_that_came_true_is_listed_apart(copy: Copy) -> None:
    async with rogue(copy) as operator:
        agreement = await operator.open(COMMIT, protocol=LockProtocol.HTLC)
        await operator.lock(agreement, SECU, CASH)
        await operator.execute(agreement, CASH)
        operator.clock.ahead = seconds(86_400)
        await operator.refund(agreement, SECU)
    report = await copy.audit()
    assert report.clean, lines(report.findings)
    (excused,) = report.excused
    assert excused.finding.place.settlement == agreement.settlement
    assert excused.finding.check is Check.ONE_END
    assert excused.why == "its principal risk was announced as residual"


async def test_what_a_restore_explains_is_listed_apart(copy: Copy) -> None:
    async with rogue(copy) as operator:
        agreement = await operator.open(RESTORED)
        await operator.lock(agreement, SECU, CASH)
        await operator.execute(agreement, SECU)
        await operator.cancel(agreement, CASH)
    report = await copy.audit()
    assert report.clean, lines(report.findings)
    assert {excused.finding.check for excused in report.excused} >= {
        Check.BOTH_KEYS,
        Check.ONE_END,
    }

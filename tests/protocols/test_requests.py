"""Requests about instructions, read: what they ask, in each version, and what is no request."""

import pytest

from protocols.iso20022 import inbound
from protocols.iso20022.envelope import validate
from protocols.iso20022.instruction import Movement, Payment
from protocols.iso20022.requests import CancellationRequest, HoldRequest
from tests.protocols import samples

ASKED = CancellationRequest(
    transaction_id="SELA2610060001",
    movement=Movement.DELI,
    payment=Payment.APMT,
    account="REGA-SELADE-0001",
)


def read(document: str, of: str) -> inbound.Content:
    item = samples.one(samples.message(document, of))
    validate(item)
    return inbound.decode(item)


@pytest.mark.parametrize("version", ["07", "09"])
def test_a_cancellation_request_is_read(version: str) -> None:
    written = samples.sample("sese.020-cancel-request.xml").replace(
        "sese.020.001.07", "sese.020.001." + version
    )
    assert read(written, f"sese.020.001.{version}") == ASKED


def test_a_cancellation_of_something_else_has_no_movement() -> None:
    written = samples.sample("sese.020-cancel-request.xml").replace(
        "SctiesSttlmTxId", "SctiesFincgTxId"
    )
    asked = read(written, "sese.020.001.07")
    assert isinstance(asked, CancellationRequest)
    assert (asked.transaction_id, asked.movement) == ("SELA2610060001", None)


@pytest.mark.parametrize("version", ["09", "10"])
def test_a_release_is_read(version: str) -> None:
    example = samples.sample("sese.030-release.xml")
    written = example.replace("sese.030.001.09", f"sese.030.001.{version}")
    assert read(written, f"sese.030.001.{version}") == HoldRequest(
        transaction_id="SELA2610060001", hold=False, account="REGA-SELADE-0001"
    )


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("<HldInd>", "<RtnInd>true</RtnInd><HldInd>", "RtnInd"),
        ("</ReqDtls>", "</ReqDtls><ReqDtls><Ref/><RtnInd>true</RtnInd></ReqDtls>", "ReqDtls"),
    ],
)
def test_more_than_a_hold_is_named(old: str, new: str, what: str) -> None:
    asked = read(samples.sample("sese.030-release.xml").replace(old, new), "sese.030.001.09")
    assert isinstance(asked, HoldRequest)
    assert asked.unserved is not None
    assert asked.unserved.startswith(what)


def test_white_space_around_a_boolean_does_not_turn_a_hold_into_a_release() -> None:
    for text, hold in (("\n true\t", True), (" 1 ", True), (" false ", False), (" 0", False)):
        written = samples.sample("sese.030-release.xml").replace(
            "<Ind>false</Ind>", f"<Ind>{text}</Ind>"
        )
        asked = read(written, "sese.030.001.09")
        assert isinstance(asked, HoldRequest)
        assert asked.hold is hold


def test_a_hold_of_the_depository_is_not_the_partys() -> None:
    asked = read(samples.sample("sese.030-release.xml").replace("PTYH", "CSDH"), "sese.030.001.09")
    assert isinstance(asked, HoldRequest)
    assert not asked.by_party

"""Requests about instructions, read: what they ask, in each version, and what is no request."""

import pytest

from protocols.iso20022 import inbound
from protocols.iso20022.envelope import validate
from protocols.iso20022.instruction import Movement, Payment
from protocols.iso20022.requests import CancellationRequest
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

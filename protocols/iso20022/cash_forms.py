"""What the gateway tells of cash and of the system: each value with its message definition, and
what writes it."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from protocols.iso20022 import admi004, camt025, camt029, camt054, pacs002
from protocols.iso20022.header import Header
from protocols.iso20022.payment import (
    CashEntry,
    PaymentStatus,
    RecallAnswer,
    SystemEvent,
    TransferReceipt,
)


class Form(NamedTuple):
    """A message definition, and the Document of a value under a header."""

    definition: str
    document: Callable[[Any, Header], str]


FORMS: Final[Mapping[type, Form]] = {
    PaymentStatus: Form(pacs002.DEFINITION, pacs002.write),
    CashEntry: Form(camt054.DEFINITION, camt054.write),
    RecallAnswer: Form(camt029.DEFINITION, camt029.write),
    TransferReceipt: Form(camt025.DEFINITION, camt025.write),
    SystemEvent: Form(admi004.DEFINITION, lambda value, _: admi004.write(value)),
}

"""Pieces that the cash messages read and write alike: agents, accounts, amounts, references."""

from datetime import date

from lxml import etree

from protocols.iso20022 import lock_block
from protocols.iso20022.blocks import tag
from protocols.iso20022.codes import PaymentReason
from protocols.iso20022.currencies import minor_units
from protocols.iso20022.lexical import decimal_text, escaped, padded
from protocols.iso20022.lock_block import LockBlock
from protocols.iso20022.payment import PaymentFault, PaymentReferences


class Reading:
    """One message being read, and what could not be read so far."""

    def __init__(self, root: etree._Element, place: str) -> None:
        self.root = root
        self._place = place
        self.faults: list[PaymentFault] = []

    def find(self, path: str) -> etree._Element | None:
        """An element of the message's own namespace; `path` is a constant of the caller."""
        return self.root.find("/".join(f"{{*}}{step}" for step in path.split("/")))

    def text(self, path: str) -> str | None:
        """The text of a leaf; None where it is not there."""
        element = self.find(path)
        return None if element is None else element.text or ""

    def fault(self, code: PaymentReason, field: str, rule: str) -> None:
        self.faults.append(PaymentFault(code=code, field=f"{self._place}/{field}", rule=rule))

    def day(self, path: str) -> date | None:
        """A date; a zone on it is a fault, for two readers would read two days."""
        text = self.text(path)
        if text is None:
            return None
        try:
            if len(text.strip()) == 10:
                return date.fromisoformat(text.strip())
        except ValueError:
            pass
        self.fault(PaymentReason.DT01, path, f"{text} is not YYYY-MM-DD without a zone")
        return None

    def amount(self, path: str) -> str:
        """Canonical text of an amount; zero and a fault where it has a sign."""
        try:
            return decimal_text(self.text(path) or "")
        except ValueError as error:
            self.fault(PaymentReason.AM12, path, str(error))
            return "0"

    def account(self, path: str) -> str | None:
        """An account by its proprietary identification or its IBAN."""
        return self.text(f"{path}/Id/Othr/Id") or self.text(f"{path}/Id/IBAN")

    def lock(self, place: str, field: str) -> LockBlock | None:
        """The lock block beneath an element, if it carries one."""
        holder = self.find(place) if place else self.root
        found = [] if holder is None else list(holder.iter(lock_block.DOCUMENT))
        if not found:
            return None
        if len(found) > 1:
            self.fault(PaymentReason.NARR, field, lock_block.ONE_AT_MOST)
        try:
            return lock_block.read(found[0])
        except ValueError as error:
            self.fault(PaymentReason.NARR, field, str(error))
            return None


def agent(name: str, bic: str) -> str:
    """A financial institution by its BIC."""
    return f"<{name}><FinInstnId><BICFI>{escaped(bic)}</BICFI></FinInstnId></{name}>"


def money(name: str, amount: str, currency: str) -> str:
    """An amount with the minor units of its currency (ISO 4217)."""
    text = padded(amount, minor_units(currency) or 0)
    return f'<{name} Ccy="{escaped(currency)}">{text}</{name}>'


def original(payment: PaymentReferences) -> str:
    """The message that is answered, where there was one, and the payment that is spoken of."""
    message = ""
    if payment.message_id is not None:
        name = escaped(payment.definition or "pacs.009", 35)
        message = (
            f"<OrgnlGrpInf><OrgnlMsgId>{escaped(payment.message_id, 35)}</OrgnlMsgId>"
            f"<OrgnlMsgNmId>{name}</OrgnlMsgNmId></OrgnlGrpInf>"
        )
    return (
        message
        + tag("OrgnlInstrId", payment.instruction_id, 35)
        + tag("OrgnlEndToEndId", payment.end_to_end_id, 35)
        + tag("OrgnlUETR", payment.uetr)
    )

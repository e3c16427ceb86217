"""Reason codes of the ISO 20022 code sets that the gateway uses, each with what it means here.

A code set may hold more; one that a message's schema does not know never gets into this file
(a test compares them).
"""

from enum import Enum
from typing import Self


class ReasonCode(Enum):
    """A code of a code set; its value is the code, `meaning` a sentence for people."""

    meaning: str

    # The default serves type checkers: a member is looked up by its code alone.
    def __new__(cls, code: str, meaning: str = "") -> Self:
        member = object.__new__(cls)
        member._value_ = code
        member.meaning = meaning
        return member


class RejectionReason(ReasonCode):
    """Why an instruction is refused for good (sese.024 `PrcgSts/Rjctd`, RejectionReason75Code)."""

    DSEC = "DSEC", "security unknown or its identifier wrong"
    DQUA = "DQUA", "quantity wrong"
    DMON = "DMON", "settlement amount wrong"
    NCRR = "NCRR", "currency not active or not settled here"
    DDEA = "DDEA", "deal price or exchange rate wrong"
    DDAT = "DDAT", "settlement date wrong or a closed day"
    DTRD = "DTRD", "trade date wrong"
    SAFE = "SAFE", "safekeeping account unknown or not the party's"
    CASH = "CASH", "cash account unknown or not the party's"
    DEPT = "DEPT", "depository unknown"
    ICAG = "ICAG", "delivering or receiving party wrong"
    ICUS = "ICUS", "client of the delivering or receiving party wrong"
    REFE = "REFE", "the sender has used this reference before"
    LATE = "LATE", "came after the cut-off"
    MINO = "MINO", "below the smallest quantity that settles"
    MUNO = "MUNO", "not a multiple of the quantity that settles"
    SETS = "SETS", "settlement set-up wrong"
    VALR = "VALR", "against a rule of the gateway"
    OTHR = "OTHR", "other reason, told in the text"


class UnmatchedReason(ReasonCode):
    """Why no match was found (sese.024 `MtchgSts/Umtchd`, UnmatchedReason11Code).

    In the order of the trade: most specific first. HTLM is proprietary (see `HtlcReason`).
    """

    FRAP = "FRAP", "payment type differs"
    DELN = "DELN", "direction does not fit the counterparty's"
    DSEC = "DSEC", "security differs"
    DQUA = "DQUA", "quantity differs"
    DTRD = "DTRD", "trade date differs"
    DDAT = "DDAT", "settlement date differs"
    NCRR = "NCRR", "currency differs"
    DMON = "DMON", "settlement amount differs by more than the tolerance"
    DDEA = "DDEA", "deal price or exchange rate differs"
    DEPT = "DEPT", "depository differs"
    ICAG = "ICAG", "delivering or receiving party differs"
    ICUS = "ICUS", "client of the delivering or receiving party differs"
    SAFE = "SAFE", "safekeeping account differs"
    IIND = "IIND", "common reference differs"
    DMCT = "DMCT", "opt-out indicator differs"
    DCMX = "DCMX", "cum/ex indicator differs"
    HTLM = "HTLM", "lock terms differ"
    CMIS = "CMIS", "no counterpart found"
    NMAS = "NMAS", "matching not started"
    CPCA = "CPCA", "the counterparty cancelled"
    LATE = "LATE", "this party's instruction came late"
    CLAT = "CLAT", "the counterparty's instruction came late"


class PendingReason(ReasonCode):
    """Why it has not settled yet but still can (sese.024 `SttlmSts/Pdg`, PendingReason24Code)."""

    FUTU = "FUTU", "waits for its settlement date"
    LACK = "LACK", "own securities are missing"
    CLAC = "CLAC", "the counterparty's securities are missing"
    MONY = "MONY", "own money is missing"
    CMON = "CMON", "the counterparty's money is missing"
    PREA = "PREA", "on hold by this party"
    PRCY = "PRCY", "on hold by the counterparty"
    BOTH = "BOTH", "on hold by both parties"
    PRSY = "PRSY", "on hold by the system"
    CSDH = "CSDH", "on hold by the depository"
    CVAL = "CVAL", "on hold until the depository has validated it"
    BLOC = "BLOC", "an account is blocked"
    SBLO = "SBLO", "the securities are blocked"
    FROZ = "FROZ", "the securities are frozen"
    INCA = "INCA", "a corporate action is in process"
    CAIS = "CAIS", "waits for securities from a corporate action"
    LINK = "LINK", "waits for a linked instruction"
    CDLR = "CDLR", "locked; the market infrastructure awaits the release"
    AWSH = "AWSH", "the money is delivered, the securities are awaited"
    AWMO = "AWMO", "the securities are delivered, the money is awaited"
    PREL = "PREL", "partially released"
    PART = "PART", "partially settled"
    NMAS = "NMAS", "matching not started"
    LATE = "LATE", "came after the cut-off"
    OTHR = "OTHR", "other reason, told in the text"


class PositionReason(ReasonCode):
    """Why a registry has not locked a position (semt.014 `SttlmSts/Pdg`, PendingReason10Code)."""

    LACK = "LACK", "the securities are missing"
    BLOC = "BLOC", "the account is blocked"
    LATE = "LATE", "the instant by which it had to be locked has passed"
    OTHR = "OTHR", "other reason"


class PositionRejection(ReasonCode):
    """Why a registry does not do an intra-position movement (semt.014 `PrcgSts/Rjctd`,
    RejectionReason69Code)."""

    DSEC = "DSEC", "security unknown or its identifier wrong"
    DQUA = "DQUA", "quantity wrong"
    DDAT = "DDAT", "settlement date wrong"
    SAFE = "SAFE", "safekeeping account unknown or not the sender's"
    REFE = "REFE", "reference unknown, or used before"
    LATE = "LATE", "the instant by which it had to be done has passed"
    VALR = "VALR", "against a rule of the registry"
    OTHR = "OTHR", "other reason, told in the text"


class FailingReason(ReasonCode):
    """Why it can no longer settle on its date (sese.024 `SttlmSts/Flng`, FailingReason4Code)."""

    LACK = "LACK", "own securities are missing"
    CLAC = "CLAC", "the counterparty's securities are missing"
    MONY = "MONY", "own money is missing"
    CMON = "CMON", "the counterparty's money is missing"
    PREA = "PREA", "on hold by this party"
    PRCY = "PRCY", "on hold by the counterparty"
    BOTH = "BOTH", "on hold by both parties"
    PRSY = "PRSY", "on hold by the system"
    CSDH = "CSDH", "on hold by the depository"
    CVAL = "CVAL", "on hold until the depository has validated it"
    BLOC = "BLOC", "an account is blocked"
    SBLO = "SBLO", "the securities are blocked"
    FROZ = "FROZ", "the securities are frozen"
    INCA = "INCA", "a corporate action is in process"
    CAIS = "CAIS", "waits for securities from a corporate action"
    LINK = "LINK", "waits for a linked instruction"
    CDLR = "CDLR", "the locks were not released in time"
    AWSH = "AWSH", "the money is delivered, the securities are awaited"
    AWMO = "AWMO", "the securities are delivered, the money is awaited"
    LATE = "LATE", "came after the cut-off"
    CLAT = "CLAT", "the counterparty's instruction came late"
    CYCL = "CYCL", "waits for the next settlement cycle"
    MLAT = "MLAT", "was matched late"
    BYIY = "BYIY", "a buy-in is in process"
    OTHR = "OTHR", "other reason, told in the text"


class CancellationReason(ReasonCode):
    """Who ended it (sese.024 `PrcgSts/Canc`, CancelledStatusReason16Code)."""

    CANI = "CANI", "cancelled by the party itself"
    CANS = "CANS", "cancelled by the system"
    CSUB = "CSUB", "cancelled by an agent"
    CTHP = "CTHP", "cancelled by a third party"
    CORP = "CORP", "cancelled for a corporate action"
    SCEX = "SCEX", "the securities are no longer eligible"
    OTHR = "OTHR", "other reason, told in the text"


class CancellationPendingReason(ReasonCode):
    """Why a cancellation is not yet done (sese.024 `PrcgSts/PdgCxl`, PendingReason6Code)."""

    CONF = "CONF", "waits for the counterparty's own request"
    OTHR = "OTHR", "other reason, told in the text"


class AcknowledgementReason(ReasonCode):
    """Remarks on an acceptance (sese.024 `PrcgSts/AckdAccptd`, AcknowledgementReason5Code)."""

    LATE = "LATE", "came after the cut-off; processed on the next business day"
    OTHR = "OTHR", "other reason, told in the text"


class DeniedReason(ReasonCode):
    """Why a cancellation request is denied (sese.027 `Dnd`)."""

    DSET = "DSET", "already settled"
    DCAN = "DCAN", "already cancelled"
    DPRG = "DPRG", "settlement is in process and cannot be stopped"
    LATE = "LATE", "came after the cut-off"
    OTHR = "OTHR", "other reason, told in the text"


class RequestRefusal(ReasonCode):
    """Why a request about an instruction is refused (sese.027 and sese.031 `Rjctd`,
    RejectionReason74Code and 71Code)."""

    REFE = "REFE", "the sender has no instruction with this reference"
    SAFE = "SAFE", "the safekeeping account is not the instruction's"
    OTHR = "OTHR", "other reason, told in the text"


class HtlcReason(ReasonCode):
    """Proprietary reasons beside a standard one (`Prtry`, scheme HTLC): state of the locks."""

    SLCK = "SLCK", "securities locked"
    CLCK = "CLCK", "cash locked"
    HLKD = "HLKD", "all legs locked"
    CCLM = "CCLM", "cash taken, the claim of the securities is open"
    HTLM = "HTLM", "lock terms differ from the counterparty's"


class PaymentReason(ReasonCode):
    """Why a payment is rejected (pacs.002 `Rsn/Cd`, ExternalStatusReason1Code)."""

    AB03 = "AB03", "settlement aborted by timeout; the money is back"
    AB04 = "AB04", "settlement aborted by an error"
    AC02 = "AC02", "debtor account wrong or not the debtor's"
    AC03 = "AC03", "creditor account wrong or not the creditor's"
    AC06 = "AC06", "an account is blocked"
    AG01 = "AG01", "the payer has not authorised the gateway on this account"
    AM03 = "AM03", "currency not active or not settled here"
    AM04 = "AM04", "not enough money"
    AM09 = "AM09", "the amount is not the agreed one"
    AM12 = "AM12", "amount wrong"
    AM18 = "AM18", "one message orders one payment"
    DT01 = "DT01", "date wrong"
    DUPL = "DUPL", "this payment was ordered before"
    RC03 = "RC03", "debtor wrong"
    RC04 = "RC04", "creditor wrong"
    TM01 = "TM01", "came after, or waited beyond, its time"
    NARR = "NARR", "other reason, told in the text"


class RecallReason(ReasonCode):
    """Why a payment is not given back (camt.029, ExternalPaymentCancellationRejection1Code)."""

    NOOR = "NOOR", "the sender has no such payment order"
    NARR = "NARR", "other reason, told in the text"


class TransferReason(ReasonCode):
    """Why a liquidity transfer is rejected (camt.025, beside `REJT`); as `PaymentReason`."""

    AB04 = "AB04", "aborted by an error"
    AC02 = "AC02", "account to be debited wrong or not the sender's"
    AC03 = "AC03", "account to be credited wrong or not the sender's"
    AC06 = "AC06", "an account is blocked"
    AG01 = "AG01", "the sender has not authorised the gateway on this account"
    AM03 = "AM03", "currency not active or not settled here"
    AM04 = "AM04", "not enough money"
    AM12 = "AM12", "amount wrong"
    DT01 = "DT01", "date wrong"
    DUPL = "DUPL", "this reference was used before"


class SystemEventCode(ReasonCode):
    """What happened to the system (admi.004 `EvtCd`, free text of four characters)."""

    SBDY = "SBDY", "a business day has begun"
    EBDY = "EBDY", "a business day has ended"
    BRKB = "BRKB", "a ledger's books do not agree: no new locks on it"
    BRKE = "BRKE", "the ledger is in order again"

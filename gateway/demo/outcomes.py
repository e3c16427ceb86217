"""What custodians were told, and whether it is what the day expects. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from gateway.client import Outcome as Answer
from gateway.client import Received, Rejected
from gateway.demo.expected import Outcome, Sent
from gateway.statuses import Told

NO_REFERENCE: Final = "NOTPROVIDED"
"""What an admi.002 names where the message's own identifier could not be read."""


class Heard:
    """All answers and statuses of the day, as they came, by sender."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], Sequence[Answer]] = {}  # sender, file
        self._ids: dict[tuple[str, str], str] = {}  # sender, BizMsgIdr -> id first told
        self._told: defaultdict[tuple[str, str], list[Told]] = defaultdict(list)
        self.messages = 0
        self.settled_at: dict[tuple[str, str], float] = {}  # by our own clock

    def answer(self, sender: str, file: str, answers: Sequence[Answer]) -> None:
        """The gateway's answers to a file, one for each of its messages."""
        self._answers[sender, file] = answers
        for answer in answers:
            if isinstance(answer, Received) and answer.reference is not None:
                self._ids.setdefault((sender, answer.reference), answer.id)

    def tell(self, member: str, related: str | None, status: Told, at: float) -> None:
        """A message of a mailbox, and when it was read; `related` is the BizMsgIdr of the message
        that it answers."""
        self.messages += 1
        key = (member, related or "")
        self._told[key].append(status)
        if status.settled is not None:
            self.settled_at[key] = at

    def told(self, sent: Sent) -> Sequence[Told]:
        """The statuses of one message, in their order."""
        return self._told[sent.sender, sent.reference or ""]

    def difference(self, sent: Sent) -> str | None:
        """What is not as expected; None if all is."""
        answer = self._answer(sent)
        if answer is None:
            return "no answer"
        if sent.outcome is Outcome.REFUSED:
            return _refusal(answer, sent)
        if isinstance(answer, Rejected):
            return f"refused: {answer.code} {answer.description}"
        if sent.outcome is Outcome.REPEATED:
            first = self._ids.get((sent.sender, sent.reference or ""))
            return None if answer.id == first else "a new identifier for a repeated message"
        return _status(self.told(sent), sent)

    def _answer(self, sent: Sent) -> Answer | None:
        answers = self._answers.get((sent.sender, sent.file), ())
        if len(answers) == 1:
            return answers[0]
        return next((a for a in answers if a.reference == sent.reference), None)


def _refusal(answer: Answer, sent: Sent) -> str | None:
    if isinstance(answer, Received):
        return f"received as {answer.id}"
    if answer.code != sent.code:
        return f"refused: {answer.code}"
    expected = sent.reference or NO_REFERENCE
    return None if answer.reference == expected else f"refused, about {answer.reference}"


def _status(told: Sequence[Told], sent: Sent) -> str | None:
    """Every accepted instruction has exactly one final notice, or none and a status that lasts."""
    finals = [status for status in told if status.is_final]
    ends = sent.outcome in (Outcome.SETTLED, Outcome.REJECTED)
    if len(finals) != ends:
        return f"{len(finals)} final notices; {_last(told)}"
    if finals and told[-1] is not finals[0]:
        return f"told something after its end: {_last(told)}"
    held = bool(told) and _is(told, sent)
    return None if held else f"told {_last(told)}"


def _is(told: Sequence[Told], sent: Sent) -> bool:
    last = told[-1]
    match sent.outcome:
        case Outcome.SETTLED:
            return last.settled == sent.settled
        case Outcome.REJECTED:
            return last.processing == "Rjctd" and sent.code in last.codes
        case Outcome.PENDING:
            return last.settlement == "Pdg" and sent.code in last.codes
        case Outcome.UNMATCHED:
            unmatched = last.matching == "Umtchd" and sent.code in last.codes
            return unmatched and not any(status.matching == "Mtchd" for status in told)
        case _:
            raise AssertionError("told apart before")


def _last(told: Sequence[Told]) -> str:
    return str(told[-1]) if told else "nothing yet"


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A message whose outcome is another than expected."""

    sent: Sent
    what: str


def differences(heard: Heard, expected: Iterable[Sent]) -> list[Difference]:
    """Everything that is not as expected."""
    found = ((sent, heard.difference(sent)) for sent in expected)
    return [Difference(sent=sent, what=what) for sent, what in found if what is not None]

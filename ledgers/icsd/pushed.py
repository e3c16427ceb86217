"""What the log's servers send by themselves as the log grows, until it is read.

It saves the question and its way: most reads are answered from here. Nothing depends on it. What
was not sent, or lost on its way, is missing here and is asked for; sequences are counted by the
reader in either case.
"""

from typing import Final

from ledgers.icsd.direct import Sent
from ledgers.icsd.log import Message

BYTES_MAX: Final = 16 << 20
"""Kept for the reader: some seconds of a busy network. Who is further behind asks for pages of it,
and begins anew here when it has come near the end."""

STREAM: Final = "Nats-Stream"
SEQUENCE: Final = "Nats-Sequence"
SUBJECT: Final = "Nats-Subject"
"""Headers that a server adds to what it sends of a stream."""


def message_of(sent: Sent) -> Message:
    """A message of the log as a server sends it, asked or not."""
    headers = sent.headers
    return Message(sequence=int(headers[SEQUENCE]), subject=headers[SUBJECT], data=sent.data)


class Pushed:
    """Messages by their sequence; each is taken once."""

    def __init__(self) -> None:
        self._messages: dict[int, Message] = {}
        self._bytes = 0

    def put(self, message: Message) -> None:
        if message.sequence in self._messages:
            return
        if self._bytes + len(message.data) > BYTES_MAX:
            self.clear()
        self._messages[message.sequence] = message
        self._bytes += len(message.data)

    def take(self, first: int, limit: int) -> list[Message]:
        """The messages from `first` on, up to the first that is missing; those before it go."""
        while self._messages and (oldest := next(iter(self._messages))) < first:
            self._pop(oldest)
        found: list[Message] = []
        while len(found) < limit and first + len(found) in self._messages:
            found.append(self._pop(first + len(found)))
        return found

    def _pop(self, sequence: int) -> Message:
        message = self._messages.pop(sequence)
        self._bytes -= len(message.data)
        return message

    def clear(self) -> None:
        self._messages.clear()
        self._bytes = 0

"""What the log's servers send by themselves: it may be read only where it follows on."""

from ledgers.icsd.log import Message
from ledgers.icsd.pushed import BYTES_MAX, Pushed


def message(sequence: int, data: bytes = b"") -> Message:
    return Message(sequence=sequence, subject="ord.A", data=data)


def pushed(*sequences: int) -> Pushed:
    made = Pushed()
    for sequence in sequences:
        made.put(message(sequence))
    return made


def sequences(found: list[Message]) -> list[int]:
    return [each.sequence for each in found]


def test_what_follows_on_is_given_once() -> None:
    made = pushed(4, 5, 6, 7)
    assert sequences(made.take(4, 3)) == [4, 5, 6]
    assert sequences(made.take(4, 3)) == []
    assert sequences(made.take(7, 3)) == [7]


def test_nothing_is_given_across_a_gap() -> None:
    made = pushed(4, 6)
    assert sequences(made.take(3, 9)) == []
    assert sequences(made.take(4, 9)) == [4]
    assert sequences(made.take(5, 9)) == []
    assert sequences(made.take(6, 9)) == [6]


def test_what_the_reader_has_passed_goes() -> None:
    made = pushed(1, 2, 3)
    assert sequences(made.take(3, 9)) == [3]
    assert sequences(made.take(1, 9)) == []


def test_the_first_of_two_stands() -> None:
    made = Pushed()
    made.put(message(1, b"one"))
    made.put(message(1, b"two"))
    assert made.take(1, 2) == [message(1, b"one")]


def test_what_nobody_reads_is_bounded_and_newest() -> None:
    made = Pushed()
    for sequence in range(1, 6):
        made.put(message(sequence, bytes(BYTES_MAX // 3)))
    assert sequences(made.take(1, 9)) == []
    assert sequences(made.take(4, 9)) == [4, 5]
    for sequence in range(6, 9):  # what was taken counts no more
        made.put(message(sequence, bytes(BYTES_MAX // 3)))
    assert sequences(made.take(6, 9)) == [6, 7, 8]

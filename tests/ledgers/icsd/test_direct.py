"""What is read of the headers that a server of the log sends."""

from ledgers.icsd.direct import STATUS, headers_of


def test_headers_are_read_as_they_stand_and_the_last_of_a_name_counts() -> None:
    raw = b"NATS/1.0\r\nNats-Sequence: 1\r\nodd\r\nNats-Subject:ord.A\r\nNats-Sequence: 7\r\n\r\n"
    assert headers_of(raw) == {"Nats-Sequence": "7", "Nats-Subject": "ord.A"}


def test_a_status_stands_in_the_first_line_with_or_without_headers() -> None:
    assert headers_of(b"NATS/1.0 503\r\n\r\n") == {STATUS: "503"}
    raw = b"NATS/1.0 204 EOB\r\nNats-Num-Pending: 3\r\n\r\n"
    assert headers_of(raw) == {STATUS: "204", "Nats-Num-Pending": "3"}


def test_a_publisher_cannot_make_its_message_look_like_a_status() -> None:
    assert headers_of(b"NATS/1.0\r\nStatus: 404\r\n\xff: x\r\n\r\n").get(STATUS) is None

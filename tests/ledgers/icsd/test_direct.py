"""When what is sent to the log leaves, and what is read of the headers that its server sends."""

import asyncio
import socket

from ledgers.icsd.direct import STATUS, Direct, headers_of

GREETING = b'INFO {"server_id":"A","version":"2.10.0","max_payload":1048576,"headers":true}\r\n'
PATIENCE_SECONDS = 5.0


async def _connected(client: Direct, listening: socket.socket) -> socket.socket:
    """The server's end of the connection."""
    port = listening.getsockname()[1]
    connecting = asyncio.create_task(
        client.connect(servers=[f"nats://127.0.0.1:{port}"], allow_reconnect=False)
    )
    peer, _ = await asyncio.to_thread(listening.accept)
    peer.settimeout(PATIENCE_SECONDS)
    peer.sendall(GREETING)
    said = b""
    while b"PING" not in said:
        said += await asyncio.to_thread(peer.recv, 1000)
    peer.sendall(b"PONG\r\n")
    await connecting
    return peer


async def test_what_is_sent_is_on_its_way_before_anything_else_is_done() -> None:
    client = Direct()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE_SECONDS)
        with await _connected(client, listening) as peer:
            for number in range(3):
                await client.publish("vote.A", b"%d" % number)
                assert peer.recv(1000) == b"PUB vote.A  1\r\n%d\r\n" % number
            await client.close()


def test_headers_are_read_as_they_stand_and_the_last_of_a_name_counts() -> None:
    raw = b"NATS/1.0\r\nNats-Sequence: 1\r\nodd\r\nNats-Subject:ord.A\r\nNats-Sequence: 7\r\n\r\n"
    assert headers_of(raw) == {"Nats-Sequence": "7", "Nats-Subject": "ord.A"}


def test_a_status_stands_in_the_first_line_with_or_without_headers() -> None:
    assert headers_of(b"NATS/1.0 503\r\n\r\n") == {STATUS: "503"}
    raw = b"NATS/1.0 204 EOB\r\nNats-Num-Pending: 3\r\n\r\n"
    assert headers_of(raw) == {STATUS: "204", "Nats-Num-Pending": "3"}


def test_a_publisher_cannot_make_its_message_look_like_a_status() -> None:
    assert headers_of(b"NATS/1.0\r\nStatus: 404\r\n\xff: x\r\n\r\n").get(STATUS) is None

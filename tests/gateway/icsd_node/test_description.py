"""The published description of a registry's node: whole, valid, and of all that is served."""

from gateway.icsd_node.service import document
from ledgers import openapi
from tests.described import described, require_whole, served
from tests.gateway.icsd_node.desk import Desk


def test_it_is_valid_and_whole() -> None:
    require_whole(document())


def test_a_node_without_messages_describes_none() -> None:
    gone = described(document()) - described(document(takes_messages=False))
    assert ("POST", "/v1/messages") in gone and len(gone) == 8


async def test_it_is_served_to_everybody_and_has_every_route(nodes: Desk) -> None:
    answer = await nodes.ask("GET", openapi.PATH, token=None)
    assert (answer.status, await answer.json()) == (200, document())
    assert served(nodes.app) == described(document())

"""The published description of a registry's node: whole and valid."""

from gateway.icsd_node.service import document
from tests.described import described, require_whole


def test_it_is_valid_and_whole() -> None:
    require_whole(document())


def test_a_node_without_messages_describes_none() -> None:
    gone = described(document()) - described(document(takes_messages=False))
    assert ("POST", "/v1/messages") in gone and len(gone) == 8

"""What must have been in a run of the registry network, however many lied within its bounds."""

from collections.abc import Iterator

from gateway.simulation.registries import Registries
from gateway.simulation.registries_node import Node
from htlc.contract import Answer
from ledgers.icsd.block import Block
from ledgers.icsd.entry import Hash
from ledgers.port import Transfer


def violations(world: Registries) -> tuple[str, ...]:
    """What was not as it must be, a line each; none in a good run."""
    return (
        *_one_chain(world),
        *_everybody_goes_on(world),
        *_answers(world),
        *_effects(world),
        *_theft(world),
    )


def _one_chain(world: Registries) -> Iterator[str]:
    """No two final blocks at a height; equal state roots at equal heights."""
    known: dict[int, tuple[Hash, Hash]] = {}
    for node in world.honest:
        for block in node.blocks[: node.replica.final]:
            made = block.header.hash, block.statement.state
            if known.setdefault(block.header.height, made) != made:
                yield f"7: {node.name} has another block or state at {block.header.height}"


def _everybody_goes_on(world: Registries) -> Iterator[str]:
    for node in world.honest:
        if node.failed or node.replica.stopped is not None:
            stopped = node.replica.stopped
            yield f"7: {node.name} stopped: {node.failed or (stopped and stopped.what)}"


def _answers(world: Registries) -> Iterator[str]:
    """Who asked an honest registry is answered once, and only when it is final."""
    honest = {node.name for node in world.honest}
    for number, (name, _) in world.requests.items():
        count = len(world.answers.get(number, ()))
        if name in honest and count != 1 and number not in world.forgotten:
            yield f"4: request {number} of {name} was answered {count} times"


def longest(world: Registries) -> Node:
    return max(world.honest, key=lambda node: node.replica.final)


def final_blocks(world: Registries) -> list[Block]:
    node = longest(world)
    return node.blocks[: node.replica.final]


def _effects(world: Registries) -> Iterator[str]:
    """What was answered as done stands in the final chain once, in the order it was asked in."""
    places: dict[str, list[tuple[int, int]]] = {}
    for block in final_blocks(world):
        for position, effect in enumerate(block.effects):
            places.setdefault(effect.id, []).append((block.header.height, position))
    last: dict[str, tuple[int, int]] = {}
    for number, (name, request) in sorted(world.requests.items()):
        operation = request.entry.operation
        answers = world.answers.get(number, ())
        if not isinstance(operation, Transfer) or not answers or not _is_done(answers[0][1]):
            continue
        found = places.get(operation.id, [])
        if len(found) != 1:
            yield f"4: {operation.id} was acknowledged and stands {len(found)} times in the chain"
        elif found[0] <= last.get(name, (0, 0)):
            yield f"4: {operation.id} of {name} was done before what was asked earlier"
        else:
            last[name] = found[0]


def _is_done(result: object) -> bool:
    return isinstance(result, Answer) and result.refusal is None


def _theft(world: Registries) -> Iterator[str]:
    """Nothing moved that its home registry did not ask for; every issue is whole."""
    for block in final_blocks(world):
        for effect in block.effects:
            if effect.id.startswith("theft-"):
                yield f"2: {effect.id} moved a holding of another registry"
    for node in world.honest:
        for asset in node.replica.view.book.instruments:
            issuance = node.replica.view.issuance(asset)
            if issuance is None or not issuance.is_whole:
                yield f"2: the issue of {asset} is not whole at {node.name}"

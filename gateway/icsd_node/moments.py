"""A registry's trees at its last heights over HTTP: served to one whose book differs, and asked.

    GET  /v1/registry/moments/{height}             what a quorum signed of it, and its parts
    POST /v1/registry/moments/{height}/children    (tree, places): what stands there
    POST /v1/registry/moments/{height}/issuances   keys: the instruments whose leaves they are
    POST /v1/registry/moments/{height}/rows        (tree, keys): the rows whose leaves they are

MessagePack. Heights that are kept are told in the problem (410) of one that is not.
"""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final, TypeVar

import msgspec
from aiohttp import web

from gateway.icsd_node.archive import packed, require_follower
from gateway.icsd_node.remote import Remote
from ledgers.icsd import tree
from ledgers.icsd.block import carried
from ledgers.icsd.compare import Shown, places_max
from ledgers.icsd.descent import PLACES_MAX
from ledgers.icsd.entry import NOTHING
from ledgers.icsd.light import Certified
from ledgers.icsd.node import Node
from ledgers.icsd.past import Moment, TreeName, named, tables_of
from ledgers.icsd.roots import Issuance
from ledgers.icsd.rows import Rows
from ledgers.icsd.store import Store
from ledgers.icsd.tree import Children
from ledgers.problems import ProblemError
from ledgers.wire import WireError, integer

PATH: Final = "/v1/registry/moments/"

NODE: Final = web.AppKey("moments-node", Node)
STORE: Final = web.AppKey("moments-store", Store)

_children: Final = msgspec.msgpack.Decoder(tuple[TreeName, list[str]])
_rows: Final = msgspec.msgpack.Decoder(tuple[TreeName, list[bytes]])
_keys: Final = msgspec.msgpack.Decoder(list[bytes])

T = TypeVar("T")


def add(app: web.Application, node: Node, store: Store) -> None:
    """Serve the last heights."""
    app[NODE], app[STORE] = node, store
    app.router.add_routes(
        [
            web.get(PATH + "{height}", get_moment),
            web.post(PATH + "{height}/children", post_children),
            web.post(PATH + "{height}/issuances", post_issuances),
            web.post(PATH + "{height}/rows", post_rows),
        ]
    )


def _moment(request: web.Request) -> Moment:
    """The height that is asked for. Raises ProblemError."""
    require_follower(request)
    node = request.app[NODE]
    node.require_service()
    height, kept = integer(request.match_info["height"], "height"), node.past.heights
    if height > node.head.final:
        detail = f"height {height} is not final here yet; {node.head.final} is"
        raise ProblemError(HTTPStatus.NOT_FOUND, "not-final", detail)
    moment = node.past.at(height)
    if moment is None or height == 0:
        first, last = max(1, kept[0]), node.head.final
        kept_here = f"{first} to {last} are" if first <= last else "only later ones will be"
        detail = f"height {height} is not kept: {kept_here}"
        raise ProblemError(HTTPStatus.GONE, "not-kept", detail)
    return moment


async def get_moment(request: web.Request) -> web.Response:
    moment, node, store = _moment(request), request.app[NODE], request.app[STORE]
    height = moment.place.height
    registries = dict.fromkeys(node.replica.view.tables.sequences, (0, NOTHING))
    sequences = node.past.rows(moment, Rows(place=moment.place, sequences=registries)).sequences
    block, child = await store.blocks(height - 1, 2)
    [its] = await store.certificates([height + 1])
    carries = carried(child.cut)
    assert carries is not None, "a child carries the certificate of its parent"
    shown = Shown(
        block=Certified(header=block.header, certificate=carries),
        child=Certified(header=child.header, certificate=its),
        state=moment.state,
        place=moment.place,
        sequences={name: last for name, last in sequences.items() if last[0]},
    )
    return packed(shown)


async def post_children(request: web.Request) -> web.Response:
    moment, past = _moment(request), request.app[NODE].past
    name, places = _read(_children, await request.read())
    _require_few(places)
    if any(set(place) - {"0", "1"} or len(place) > tree.KEY_BITS for place in places):
        raise WireError("places", "texts of 0 and 1, at most 256 long")
    found = past.tree(moment, name)
    return packed([tree.children(found, place) for place in places])


async def post_issuances(request: web.Request) -> web.Response:
    moment, past = _moment(request), request.app[NODE].past
    wanted = _read(_keys, await request.read())
    _require_few(wanted)
    assets = past.keys(moment, "instruments")
    found = {key: asset for asset in assets if (key := tree.key_of(asset)) in set(wanted)}
    return packed([past.issuance(moment, found[key]) for key in wanted if key in found])


async def post_rows(request: web.Request) -> web.Response:
    moment, past = _moment(request), request.app[NODE].past
    name, wanted = _read(_rows, await request.read())
    _require_few(wanted, places_max(name))
    keys = {table: past.keys(moment, table) for table in tables_of(name)}
    # A hash for each row of the book: some seconds of a large one, in which the node goes on.
    found = await asyncio.to_thread(named, name, keys, wanted, moment.place)
    if past.at(moment.place.height) is not moment:
        raise ProblemError(HTTPStatus.GONE, "not-kept", "the height was given up meanwhile")
    return packed(past.rows(moment, found))


def _read(decoder: "msgspec.msgpack.Decoder[T]", body: bytes) -> T:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WireError("", f"not of the notation: {error}") from None


def _require_few(places: Sequence[object], most: int = PLACES_MAX) -> None:
    if len(places) > most:
        raise WireError("places", f"at most {most}")


class RemotePeer:
    """Another registry's last heights, as a `ledgers.icsd.compare.Peer`."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    async def shown(self, height: int) -> Shown:
        return await self._remote.get(f"{PATH}{height}", Shown)

    async def children(
        self, height: int, name: TreeName, places: Sequence[str]
    ) -> Sequence[Children]:
        path = f"{PATH}{height}/children"
        return await self._remote.post(path, (name, places), list[Children])

    async def issuances(self, height: int, places: Sequence[bytes]) -> Sequence[Issuance]:
        return await self._remote.post(f"{PATH}{height}/issuances", places, list[Issuance])

    async def rows(self, height: int, name: TreeName, places: Sequence[bytes]) -> Rows:
        return await self._remote.post(f"{PATH}{height}/rows", (name, places), Rows)

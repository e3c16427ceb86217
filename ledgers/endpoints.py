"""What a ledger answers to each request of the contract that `README.md` describes.

Bad input of any kind is answered with a problem (RFC 9457) that names the field and the rule; what
a well-formed operation may not do is a refusal in its answer, beside the contract as it is.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web

from htlc.units import AccountId, HtlcId, Instant
from ledgers import preference, views
from ledgers.access import PRINCIPAL
from ledgers.administration import Act, BlockAccount, UnblockAccount
from ledgers.block import Proof, place, read_leaf
from ledgers.books import placed
from ledgers.hosted import BATCH_MAX, PAGE_MAX, AccountView, HostedLedger
from ledgers.instruments import ReferenceDataError
from ledgers.names import is_name
from ledgers.parties import Principal, Role
from ledgers.port import Operation
from ledgers.problems import Kind, ProblemError, bad_field
from ledgers.shape import fault
from ledgers.wire import (
    OperationJson,
    WireError,
    answer_json,
    integer,
    minimal_answer_json,
    operation_of,
)

OPERATIONS_MAX: Final = BATCH_MAX
"""Operations of one request: what fits one transaction."""

BLOCKS_MAX: Final = 100
"""Blocks of one page; the ledger ends a page earlier when it holds many leaves."""

LEDGER: Final = web.AppKey("ledger", HostedLedger)

T = TypeVar("T")
U = TypeVar("U")
_encode = msgspec.json.Encoder().encode


# --- operations ----------------------------------------------------------------------------------

_operations = msgspec.json.Decoder(list[OperationJson])
_query = msgspec.json.Decoder(views.QueryJson)


async def post_operations(request: web.Request) -> web.Response:
    by = request[PRINCIPAL]
    if by.role is Role.SUPERVISOR:
        raise _forbidden("a supervisor reads and changes nothing")
    wanted = await _body(request, _operations)
    _require_count(wanted)
    operations: list[Operation] = _each(wanted, operation_of)
    answers = await request.app[LEDGER].submit(by, operations)
    if preference.wants_minimal(request.headers.get(preference.HEADER)):
        return _json(list(map(minimal_answer_json, operations, answers)))
    return _json([answer_json(answer) for answer in answers])


async def query_contracts(request: web.Request) -> web.Response:
    """Anyone's who knows the id: 122 random bits that only the parties and their agents have."""
    query = await _body(request, _query)
    _require_count(query.ids)
    answers = await request.app[LEDGER].look([HtlcId(id) for id in query.ids])
    return _json([answer_json(answer) for answer in answers])


# --- accounts and reference data -----------------------------------------------------------------

_accounts = msgspec.json.Decoder(list[views.AccountJson])
_mandates = msgspec.json.Decoder(list[views.MandateJson | views.RevokeJson])
_instruments = msgspec.json.Decoder(list[views.SecurityJson | views.CurrencyJson])


async def get_account(request: web.Request) -> web.Response:
    view = await request.app[LEDGER].account(AccountId(request.match_info["id"]))
    if view is None or not _may_see(request[PRINCIPAL], view):
        raise _not_found("there is no such account")
    return _json(views.account_view_json(view))


def _may_see(by: Principal, view: AccountView) -> bool:
    holds_mandate = any(mandate.operator == by.name for mandate in view.mandates)
    return by.sees_everything or view.account.owner == by.name or holds_mandate


async def get_accounts(request: web.Request) -> web.Response:
    """All accounts for those who see everything, else one's own."""
    by = request[PRINCIPAL]
    after, owner = _name(request, "after") or "", _name(request, "owner")
    limit = _limit(request, PAGE_MAX)
    whose = owner if by.sees_everything else by.name
    found = await request.app[LEDGER].accounts(whose, AccountId(after), limit)
    return _json([views.account_view_json(view) for view in found])


async def post_accounts(request: web.Request) -> web.Response:
    wanted = await _body(request, _accounts)
    return await _administer(request, _each(wanted, views.account_act))


async def post_mandates(request: web.Request) -> web.Response:
    wanted = await _body(request, _mandates)
    return await _administer(request, _each(wanted, views.mandate_act))


async def post_instruments(request: web.Request) -> web.Response:
    wanted = await _body(request, _instruments)
    return await _administer(request, _each(wanted, views.instrument_act))


async def block_account(request: web.Request) -> web.Response:
    return await _administer(request, [BlockAccount(account=_account_id(request))])


async def unblock_account(request: web.Request) -> web.Response:
    return await _administer(request, [UnblockAccount(account=_account_id(request))])


def _account_id(request: web.Request) -> AccountId:
    id = request.match_info["id"]
    if not is_name(id):
        raise _not_found("there is no such account")
    return AccountId(id)


async def _administer(request: web.Request, acts: Sequence[Act]) -> web.Response:
    _require_count(acts)
    outcomes = await request.app[LEDGER].administer(request[PRINCIPAL], acts)
    return _json([views.outcome_json(outcome) for outcome in outcomes])


# --- what readers see ----------------------------------------------------------------------------


async def get_blocks(request: web.Request) -> web.Response:
    if not request[PRINCIPAL].follows_the_ledger:
        raise _forbidden("blocks are read by operators and supervisors")
    after = integer(request.query.get("after", "0"), "after")
    blocks = await request.app[LEDGER].blocks(after, _limit(request, BLOCKS_MAX))
    return _json([views.block_json(block) for block in blocks])


async def get_proof(request: web.Request) -> web.Response:
    try:
        height, position = place(request.match_info["posting"])
    except WireError:
        raise _not_found("there is no such posting") from None
    proof = await request.app[LEDGER].proof(height, position)
    if proof is None or not await _may_prove(request, proof):
        raise _not_found("there is no such posting")
    return _json(views.proof_json(proof))


async def _may_prove(request: web.Request, proof: Proof) -> bool:
    """Whoever follows the ledger, and the owners of the two accounts."""
    by = request[PRINCIPAL]
    if by.follows_the_ledger:
        return True
    entry = read_leaf(proof.leaf)
    for id in {entry.debit.account, entry.credit.account}:
        view = await request.app[LEDGER].account(AccountId(id))
        if view is not None and view.account.owner == by.name:
            return True
    return False


async def get_facts(request: web.Request) -> web.Response:
    after = request.query.get("after", "")
    place(after)  # raises WireError for what is no cursor
    limit = _limit(request, PAGE_MAX)
    facts = await request.app[LEDGER].facts(request[PRINCIPAL], after, limit)
    last = facts[-1].cursor if facts else after
    return _json(views.FactsJson(facts=[views.fact_json(fact) for fact in facts], next=last))


async def get_description(request: web.Request) -> web.Response:
    return _json(views.description_json(await request.app[LEDGER].describe()))


async def get_conservation(request: web.Request) -> web.Response:
    by = request[PRINCIPAL]
    if not by.follows_the_ledger and by.role is not Role.ISSUER:
        raise _forbidden("totals are read by operators, issuers and supervisors")
    return _json([views.position_json(p) for p in await request.app[LEDGER].conservation()])


async def get_holdings(request: web.Request) -> web.Response:
    """Of one account, for those who may see it; of all, for those who follow the ledger."""
    by = request[PRINCIPAL]
    account = _name(request, "account")
    if account is not None:
        await _require_visible(request, AccountId(account))
    elif not by.follows_the_ledger:
        raise _forbidden("name an account of yours: all are read by operators and supervisors")
    after = request.query.get("after", "")
    if after and not all(is_name(part) for part in placed(after)):
        raise WireError("after", "`next` of the page before")
    limit = _limit(request, PAGE_MAX)
    id = None if account is None else AccountId(account)
    return _json(views.holdings_json(await request.app[LEDGER].holdings(id, after, limit)))


async def get_movements(request: web.Request) -> web.Response:
    """The facts of one account, in order."""
    id = _account_id(request)
    await _require_visible(request, id)
    after, until = request.query.get("after", ""), request.query.get("until")
    place(after), place(until or "", "until")  # raise WireError for what is no cursor
    limit = _limit(request, PAGE_MAX)
    facts = await request.app[LEDGER].movements(id, after, until, limit)
    last = facts[-1].cursor if facts else after
    return _json(views.FactsJson(facts=[views.fact_json(fact) for fact in facts], next=last))


async def _require_visible(request: web.Request, id: AccountId) -> None:
    """An account of one's own, or any for those who follow the ledger: its blocks tell as much."""
    view = await request.app[LEDGER].account(id)
    by = request[PRINCIPAL]
    if view is None or not (by.follows_the_ledger or _may_see(by, view)):
        raise _not_found("there is no such account")


async def get_cursor(request: web.Request) -> web.Response:
    at = integer(request.query["before"], "before")
    return _json(views.PlaceJson(cursor=await request.app[LEDGER].last_before(Instant(at))))


# --- requests and responses ----------------------------------------------------------------------


async def _body(request: web.Request, decoder: "msgspec.json.Decoder[T]") -> T:
    if request.content_type != "application/json" or "Content-Encoding" in request.headers:
        raise ProblemError(Kind.UNSUPPORTED, "send plain application/json")
    data = await request.read()
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise bad_field(*fault(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProblemError(Kind.MALFORMED, str(error)) from None


def _each(wanted: Sequence[T], convert: Callable[[T], U]) -> list[U]:
    """Convert the members of an array; an error says which one is bad."""
    converted = []
    for index, member in enumerate(wanted):
        try:
            converted.append(convert(member))
        except (WireError, ReferenceDataError) as error:
            raise WireError(f"[{index}].{error.field}", error.rule) from None
    return converted


def _require_count(members: Sequence[Any]) -> None:
    if len(members) > OPERATIONS_MAX:
        rule = f"at most {OPERATIONS_MAX} in one request"
        raise ProblemError(Kind.TOO_MANY, rule, rule=rule)


def _limit(request: web.Request, most: int) -> int:
    limit = integer(request.query.get("limit", str(most)), "limit")
    if not 1 <= limit <= most:
        raise WireError("limit", f"1 to {most}")
    return limit


def _name(request: web.Request, parameter: str) -> str | None:
    text = request.query.get(parameter)
    if text is not None and not is_name(text):
        raise WireError(parameter, "1 to 64 visible ASCII characters")
    return text


def _forbidden(detail: str) -> ProblemError:
    return ProblemError(Kind.FORBIDDEN, detail)


def _not_found(detail: str) -> ProblemError:
    return ProblemError(Kind.NOT_FOUND, detail)


def _json(content: object) -> web.Response:
    return web.Response(body=_encode(content), content_type="application/json")

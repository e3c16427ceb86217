"""Statements over HTTP: made when asked for, delivered to the mailbox."""

from typing import Final

import msgspec

from gateway.http import problems, report_wire
from gateway.http.exchange import MessageCall, Reply, json_reply, problem_reply
from gateway.port import Busy, Denied, Refused, StatementMade, StatementWanted

DESCRIPTION: Final = (
    "The statements are in the mailbox when the answer comes: each page is a message, in order and "
    "with nothing between them. A large one takes seconds. Daily statements come by themselves at "
    "the end of each business day."
)

_request: Final = msgspec.json.Decoder(report_wire.StatementRequest)


async def state(call: MessageCall) -> Reply:
    """Statements of the caller's own accounts."""
    wanted = await call.json(_request)
    made = await call.desk.statements.state(
        call.principal.name,
        StatementWanted(
            kind=wanted.kind, ledger=wanted.ledger, account=wanted.account, day=wanted.date
        ),
    )
    if isinstance(made, Refused | Denied | Busy):
        return problem_reply(problems.outcome(made))
    shown = tuple(_view(statement) for statement in made)
    return json_reply(202, report_wire.StatementList(statements=shown))


def _view(made: StatementMade) -> report_wire.StatementView:
    return msgspec.convert(made, report_wire.StatementView, from_attributes=True)

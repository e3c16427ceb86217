"""The report of a run as one HTML page that stands alone: for a committee, not for a machine.

It says what was tested, how each case went (a diagram drawn from its trace), who had what before
and after, what was compared, the verdict, and how to repeat it.
"""

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import groupby
from typing import Final

import msgspec

from gateway.simulation.report_diagram import diagram
from gateway.simulation.report_style import STYLE
from gateway.simulation.scenario import End, Scenario, faults_of
from gateway.simulation.scenario_run import Balance, Result, decimal, summary
from gateway.simulation.scenario_words import sentence
from htlc.swap import LockProtocol

OPEN_MAX: Final = 12
"""Cases that are shown unfolded: a report on a few is read, one on many is looked up in."""


UNFOLD: Final = (
    "const unfold = () => { const it = document.getElementById(location.hash.slice(1)); "
    "if (it) { it.open = true; it.scrollIntoView(); } }; "
    "addEventListener('hashchange', unfold); unfold();"
)
"""Whoever follows a link to a case finds it unfolded."""


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What a report says of itself."""

    made_at: str
    version: str
    machine: str
    command: str
    seed: int
    live: bool
    wall_seconds: float


INVARIANTS: Final = {
    "I1": "All legs of a settlement end the same way.",
    "I2": "Per ledger and asset all balances, with the issuer's account, sum to zero; no holder is "
    "negative.",
    "I3": "No key that pays out leaves the gateway before every leg is finally locked on the "
    "agreed terms, with the time that is needed left; never both keys of one pair.",
    "I4": "Each effect happens at most once, under any repetition or restart.",
    "I5": "Every lock ends in time while ledgers and gateway are up.",
    "I6": "Every decision is durable before its effects; each party is told the end exactly once.",
    "I7": "At the same height all registries hold the same books.",
}

ENDS: Final = {
    End.SETTLED: "every leg is executed, final with its payee",
    End.CANCELLED: "something was locked, and every lock went back to its payer",
    End.REJECTED: "nothing was ever locked",
    End.BROKEN: "legs ended differently: the residual risk that was announced before the first "
    "lock came true (htlc, or two_key with a backstop, and an outage longer than its window)",
    End.WAITING: "nothing irrevocable was done; waits for evidence, without loss",
    End.STOPPED: "the registry whose book was wrong stopped by itself; the others went on",
}


def page(results: Sequence[Result], not_made: Sequence[Scenario], about: About) -> str:
    """The whole page. `not_made`: asked for, and not possible in this run, each with its reason."""
    body = [
        _header(about),
        "<main>",
        _verdict(results, not_made),
        _meta(about),
        _overview(results),
        _reading(),
        "<h2>The cases</h2>",
        *_articles(results),
        _not_made(not_made, about),
        f"<footer>Made by Lockstep {escape(about.version)} at {escape(about.made_at)}.</footer>",
        "</main>",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>Settlement test report</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + f"\n<script>{UNFOLD}</script></body></html>\n"
    )


# --------------------------------------------------------------------------- the first page


def _header(about: About) -> str:
    how = "real services on one machine" if about.live else "the deterministic simulator"
    return (
        "<header><div><h1>Settlement test report</h1>"
        f"<p>DvP and PvP across independent ledgers, run in {how}</p></div></header>"
    )


def _verdict(results: Sequence[Result], not_made: Sequence[Scenario]) -> str:
    failed = [result for result in results if not result.passed]
    links = ", ".join(f'<a href="#{_anchor(each)}">{escape(each.name)}</a>' for each in failed)
    more = f"Not as expected: {links}" if failed else "No case ended otherwise."
    if not_made:
        more += f" {len(not_made)} situations of the catalogue were not made: see the end."
    kind = "verdict bad" if failed else "verdict"
    return f'<div class="{kind}">{escape(summary(results))}.<small>{more}</small></div>'


def _meta(about: About) -> str:
    lines = (
        ("Made", escape(about.made_at)),
        ("Software", f"Lockstep {escape(about.version)}"),
        ("Machine", escape(about.machine)),
        ("Seed", str(about.seed)),
        ("To repeat it", f"<code>{escape(about.command)}</code>"),
        ("Took", f"{about.wall_seconds:.1f} s"),
    )
    return _definitions(lines)


def _definitions(lines: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in lines)
    return f'<dl class="meta">{rows}</dl>'


def _overview(results: Sequence[Result]) -> str:
    heads = "".join(f"<th>{protocol}</th>" for protocol in LockProtocol)
    rows = []
    for scenario, cases in _by_scenario(results):
        cells = "".join(
            f"<td>{' '.join(_link(each) for each in cases if each.case.protocol is protocol)}</td>"
            for protocol in LockProtocol
        )
        rows.append(
            f'<tr><td class="id">{escape(scenario.id)}</td><td>{escape(scenario.title)}'
            f'<div class="soft small">{escape(scenario.group)}</div></td>{cells}</tr>'
        )
    return (
        "<h2>What was tested, and how it ended</h2>"
        f"<table><tr><th></th><th>situation</th>{heads}</tr>{''.join(rows)}</table>"
    )


def _link(result: Result) -> str:
    end = result.run.end or "no end"
    kind = str(end) if result.passed else "fail"
    sign = "" if result.passed else "✗ "
    return f'<a class="chip {kind}" href="#{_anchor(result)}">{sign}{end}</a>'


def _reading() -> str:
    ends = "".join(
        f'<tr><td><span class="chip {end}">{end}</span></td><td>{escape(text)}</td></tr>'
        for end, text in ENDS.items()
    )
    rules = "".join(
        f"<tr><td>{name}</td><td>{escape(text)}</td></tr>" for name, text in INVARIANTS.items()
    )
    return (
        '<h2>How to read it</h2><div class="columns"><div><h4>Ends of a settlement</h4>'
        f"<table>{ends}</table></div><div><h4>What must always hold</h4><table>{rules}</table>"
        "</div></div>"
        '<p class="soft">In the diagrams time runs downwards, not to scale. A yellow bar on a '
        "ledger is a lock from its making to its end; a red bar is an outage; a blue square is a "
        "record that is durable in the gateway's journal; a green dashed arrow is a final "
        "notice.</p>"
    )


# --------------------------------------------------------------------------- the cases


def _by_scenario(results: Sequence[Result]) -> Iterator[tuple[Scenario, list[Result]]]:
    for _, group in groupby(results, key=lambda result: result.scenario.id):
        cases = list(group)
        yield cases[0].scenario, cases


def _articles(results: Sequence[Result]) -> Iterator[str]:
    few = len(results) <= OPEN_MAX
    for scenario, cases in _by_scenario(results):
        yield (
            f'<article><h3><span class="id">{escape(scenario.id)}</span>'
            f"{escape(scenario.title)}</h3>"
            f"<p>{escape(scenario.situation.strip())}</p>"
            f'<p class="soft"><b>Expected.</b> {escape(scenario.expected.strip())}</p>'
            f'<p class="soft small">{_sources(scenario)}</p>'
            + "".join(_case(result, shown=few or not result.passed) for result in cases)
            + "</article>"
        )


def _sources(scenario: Scenario) -> str:
    text = f"Checked: {', '.join(scenario.invariants)}."
    return escape(f"{text} Precedent: {scenario.precedent}." if scenario.precedent else text)


def _case(result: Result, *, shown: bool) -> str:
    run = result.run
    end = run.end or "no end"
    verdict = "as expected" if result.passed else "NOT AS EXPECTED"
    chips = (
        f'<span class="chip {end}">{end}</span>'
        f'<span class="chip {"pass" if result.passed else "fail"}">{verdict}</span>'
    )
    unfolded = ' open="open"' if shown else ""
    comment = f"<p>{escape(result.case.comment)}</p>" if result.case.comment else ""
    return (
        f'<details id="{_anchor(result)}"{unfolded}>'
        f"<summary>{escape(result.case.name)}{chips}</summary>{comment}{_faults(result)}"
        f'<p class="soft small">{escape(_facts(result))}</p>'
        + (diagram(result.scenario, run.steps) if run.steps else "")
        + f'<div class="columns"><div><h4>Balances</h4>{_balances(run.balances)}</div>'
        f"<div><h4>Compared</h4>{_checks(result)}</div></div></details>"
    )


def _faults(result: Result) -> str:
    found = faults_of(result.scenario, result.case)
    if not found:
        return ""
    items = "".join(f"<li>{escape(sentence(fault, live=result.live))}</li>" for fault in found)
    return f'<h4>What goes wrong</h4><ul class="faults">{items}</ul>'


def _facts(result: Result) -> str:
    run = result.run
    told = [f"protocol {run.protocol or result.case.protocol}", f"principal risk {run.risk}"]
    if run.window_seconds is not None:
        told.append(f"survives an outage of {run.window_seconds:g} s after the first claim")
    if result.case.secret is not None:
        told.append(f"the {result.case.secret} holds the secret")
    told.append(f"over after {run.seconds:,.1f} s")
    return " · ".join([*told, *(f"{name}: {value}" for name, value in run.facts.items())])


def _balances(balances: Sequence[Balance]) -> str:
    rows = "".join(
        f"<tr><td>{escape(each.party)}</td><td>{escape(each.ledger)} {escape(each.asset)}</td>"
        f'<td class="number">{decimal(each.before, each.scale)}</td>'
        f'<td class="number">{decimal(each.available, each.scale)}</td>'
        f'<td class="number">{decimal(each.locked, each.scale)}</td></tr>'
        for each in balances
    )
    return (
        '<table><tr><th>party</th><th>asset</th><th class="number">before</th>'
        f'<th class="number">after</th><th class="number">locked</th></tr>{rows}</table>'
    )


def _checks(result: Result) -> str:
    rows = "".join(
        f"<tr><td>{escape(check.what)}</td><td>{escape(check.expected)}</td>"
        f'<td class="{"" if check.holds else "wrong"}">{escape(check.found)}</td></tr>'
        for check in result.checks
    )
    return f"<table><tr><th>what</th><th>expected</th><th>found</th></tr>{rows}</table>"


def _not_made(scenarios: Sequence[Scenario], about: About) -> str:
    if not scenarios:
        return ""
    rows = "".join(
        f'<tr><td class="id">{escape(each.id)}</td><td>{escape(each.title)}</td>'
        f"<td>{escape(why_not(each, live=about.live))}</td></tr>"
        for each in scenarios
    )
    return (
        "<h2>Not made in this run</h2><table><tr><th></th><th>situation</th><th>why</th></tr>"
        f"{rows}</table>"
    )


def why_not(scenario: Scenario, *, live: bool) -> str:
    """The reason why a situation is not made."""
    if scenario.not_yet is not None:
        return scenario.not_yet.strip()
    if live and scenario.not_live is not None:
        return scenario.not_live.strip()
    return "no case of it is marked `live`"


def _anchor(result: Result) -> str:
    return escape("".join(c if c.isalnum() else "-" for c in result.name), quote=True)

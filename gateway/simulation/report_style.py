"""How the report looks: one style sheet inside the page, so that the file stands alone."""

from typing import Final

STYLE: Final = """
:root { --ink:#1b2733; --soft:#5b6b7b; --line:#d7dee6; --paper:#fff; --wash:#f4f7fa; --blue:#1f4e8c;
  --good:#16734a; --good-wash:#e5f4ec; --bad:#b3261e; --bad-wash:#fdecea; --amber:#e0a100;
  --wait:#8a5a00; --wait-wash:#fdf3dc; }
* { box-sizing:border-box }
html { scroll-behavior:smooth }
body { margin:0; color:var(--ink); background:var(--wash);
  font:15px/1.5 "Segoe UI", "Noto Sans", "DejaVu Sans", system-ui, sans-serif }
main { max-width:1180px; margin:0 auto; padding:0 24px 64px }
header { background:var(--blue); color:#fff; padding:34px 0 28px }
header div { max-width:1180px; margin:0 auto; padding:0 24px }
h1 { margin:0 0 4px; font-size:29px; font-weight:600; letter-spacing:-.2px }
header p { margin:0; opacity:.9 }
h2 { font-size:21px; margin:40px 0 10px }
h3 { font-size:18px; margin:0 }
h4 { margin:20px 0 6px; font-size:13px; text-transform:uppercase; letter-spacing:.5px;
  color:var(--soft) }
.verdict { margin:-18px 0 22px; padding:18px 22px; background:var(--paper); border-radius:10px;
  border-left:8px solid var(--good); box-shadow:0 2px 10px #1b273322; font-size:19px }
.verdict.bad { border-color:var(--bad) }
.verdict small { display:block; font-size:14px; color:var(--soft) }
dl.meta { display:grid; grid-template-columns:max-content 1fr; gap:4px 18px; margin:0;
  background:var(--paper); padding:16px 22px; border-radius:10px }
dl.meta dt { color:var(--soft) } dl.meta dd { margin:0 }
code { font:13px/1.4 "DejaVu Sans Mono", ui-monospace, monospace; background:#e8edf3;
  padding:1px 5px; border-radius:4px }
table { border-collapse:collapse; width:100%; background:var(--paper); font-size:14px }
th, td { text-align:left; padding:6px 10px; border-bottom:1px solid var(--line);
  vertical-align:top }
th { color:var(--soft); font-weight:600; font-size:12.5px }
td.number, th.number { text-align:right; font-variant-numeric:tabular-nums; white-space:nowrap }
.chip { display:inline-block; padding:0 8px; border-radius:9px; font-size:12px; font-weight:600;
  background:#e8edf3; color:var(--ink); white-space:nowrap; text-decoration:none; margin:1px 0 }
.chip.SETTLED, .chip.pass { background:var(--good-wash); color:var(--good) }
.chip.BROKEN, .chip.fail { background:var(--bad-wash); color:var(--bad) }
.chip.WAITING { background:var(--wait-wash); color:var(--wait) }
article { background:var(--paper); border-radius:10px; padding:20px 24px; margin:18px 0;
  box-shadow:0 1px 4px #1b273318 }
article > p { margin:8px 0 }
.id { color:var(--blue); font-weight:700; margin-right:8px }
.soft { color:var(--soft) } .small { font-size:13px }
details { border-top:1px solid var(--line); padding:8px 0 }
summary { cursor:pointer; padding:4px 0; font-weight:600 }
summary .chip { margin-left:8px }
.columns { display:grid; grid-template-columns:1fr 1fr; gap:24px }
@media (max-width:900px) { .columns { grid-template-columns:1fr } }
.wrong { color:var(--bad); font-weight:600 }
ul.faults { margin:4px 0; padding-left:20px }
svg { display:block; width:100%; height:auto; margin:10px 0; background:#fbfcfe;
  border:1px solid var(--line); border-radius:8px;
  font:12px "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif }
svg .life { stroke:#b8c4d0; stroke-dasharray:3 4 }
svg .head { fill:#e9eef5; stroke:#b8c4d0 } svg .head.ledger { fill:#fdf3dc; stroke:#e4c76f }
svg .head.gateway { fill:#e3ecf8; stroke:#8fb0dc }
svg .name { font-weight:700; fill:var(--ink) } svg .title { font-size:10px; fill:var(--soft) }
svg .time { text-anchor:end; fill:var(--soft); font-size:11px }
svg .arrow { stroke:#42566b; stroke-width:1.3 } svg .tip { fill:#42566b }
svg .arrow.notice { stroke:var(--good); stroke-dasharray:5 3 } svg .tip.notice { fill:var(--good) }
svg .label { fill:var(--ink); paint-order:stroke; stroke:#fbfcfe; stroke-width:4px }
svg .label.record { font-weight:700 } svg .label.fault, svg .label.lost { fill:var(--bad) }
svg .label.fault { font-weight:700 } svg .label.good { fill:var(--good) }
svg .label.note { fill:var(--soft) } svg .label.notice { fill:var(--good) }
svg .lock { fill:#f2c94c; stroke:#c99a0c } svg .down { fill:#e7a39e; stroke:#b3261e }
svg .sign-effect { fill:#fff; stroke:#c99a0c; stroke-width:2 } svg .sign-record { fill:var(--blue) }
svg .label.record { fill:var(--blue) }
svg .sign-fault { fill:var(--bad) } svg .sign-cross { stroke:var(--bad); stroke-width:2; fill:none }
svg .sign-dot, svg .sign-note { fill:#7b8a99 }
footer { color:var(--soft); font-size:13px; margin-top:40px }
@media print { body { background:#fff } header { color:#000; background:#fff }
  article { box-shadow:none; border:1px solid var(--line); break-inside:avoid-page }
  .verdict { margin-top:0 } }
"""

"""What is settled, how fast, what is not, and what is at risk: the dashboard to begin with."""

from typing import Final

from k8s.monitoring.grafana import Dashboard, Panel, quantiles

SETTLEMENT: Final = Dashboard(
    uid="lockstep-settlement",
    title="Lockstep: Settlement",
    panels=(
        Panel(
            title="One-legged",
            about="Settlements whose legs ended differently. Anything but 0 is a lost principal.",
            queries=(("sum(lockstep_settlements_one_legged)", ""),),
            kind="stat",
            width=4,
            alarm=1,
        ),
        Panel(
            title="Frozen or quarantined",
            about="Settlements that wait for people: after a restore, or for an error of ours.",
            queries=(
                ("sum(lockstep_settlements_frozen)", "frozen"),
                ("sum(lockstep_settlements_quarantined)", "quarantined"),
            ),
            kind="stat",
            width=4,
            alarm=1,
        ),
        Panel(
            title="Time left to claim",
            about="Smallest margin before the first claim of a settlement with an expiry.",
            queries=(("min(lockstep_claim_margin_seconds)", ""),),
            unit="s",
            kind="stat",
            width=4,
        ),
        Panel(
            title="Safe downtime",
            about="How long the gateway may be away now before somebody loses a leg.",
            queries=(("min(lockstep_safe_downtime_seconds)", ""),),
            unit="s",
            kind="stat",
            width=4,
        ),
        Panel(
            title="Budget burnt: settlements",
            about="Burn rate over one hour of the objective 'not cancelled for lack of time'.",
            queries=(("lockstep:settlements:out_of_time_ratio_rate1h / 0.001", ""),),
            kind="stat",
            width=4,
            alarm=1,
        ),
        Panel(
            title="Budget burnt: intake",
            about="Burn rate over one hour of the objective 'no server errors'.",
            queries=(("lockstep:http_requests:error_ratio_rate1h / 0.001", ""),),
            kind="stat",
            width=4,
            alarm=1,
        ),
        Panel(
            title="Opened and ended",
            about="Settlements per second, by how they ended.",
            queries=(
                ("sum(rate(lockstep_settlements_opened_total[$__rate_interval]))", "opened"),
                (
                    "sum by (outcome) (rate(lockstep_settlements_total[$__rate_interval]))",
                    "{{outcome}}",
                ),
            ),
        ),
        Panel(
            title="Why they were not settled",
            about="Per second, by the reason of the decision.",
            queries=(
                (
                    "sum by (reason) (rate(lockstep_settlements_total"
                    '{outcome!="SETTLED"}[$__rate_interval]))',
                    "{{reason}}",
                ),
            ),
        ),
        Panel(
            title="From intake to settled",
            about="The consent of the parties is in it.",
            queries=quantiles("lockstep_settlement_duration_seconds", "kind"),
            unit="s",
        ),
        Panel(
            title="Open, by phase",
            about="The funnel: what is in work now.",
            queries=(("sum by (phase) (lockstep_settlements_open)", "{{phase}}"),),
        ),
        Panel(
            title="Time in a phase",
            about="Where settlements spend their time.",
            queries=quantiles("lockstep_settlement_phase_seconds", "phase"),
            unit="s",
        ),
        Panel(
            title="Oldest, by phase",
            about="LOCKING and EXECUTING take a minute at most; UNWINDING may wait for expiries.",
            queries=(("max by (phase) (lockstep_settlement_oldest_seconds)", "{{phase}}"),),
            unit="s",
        ),
        Panel(
            title="Open locks, by age",
            about="Cumulative: those of 1m include those of 10s.",
            queries=(("sum by (ledger, age) (lockstep_open_locks)", "{{ledger}} {{age}}"),),
        ),
        Panel(
            title="Money locked",
            about="In units of each currency.",
            queries=(
                (
                    "sum by (ledger, currency) (lockstep_locked_value)",
                    "{{ledger}} {{currency}}",
                ),
            ),
        ),
        Panel(
            title="At risk",
            about="A key is out while a leg with an expiry is still locked.",
            queries=(("sum(lockstep_settlements_at_risk)", "settlements"),),
        ),
        Panel(
            title="Messages judged",
            about="Per second, by verdict and code.",
            queries=(
                (
                    "sum by (verdict, code) (rate(lockstep_messages_total[$__rate_interval]))",
                    "{{verdict}} {{code}}",
                ),
            ),
        ),
        Panel(
            title="Waiting for a match, a date, another attempt",
            about="Instructions without a match, and matched pairs that wait.",
            queries=(
                ("max(lockstep_matching_queue)", "unmatched"),
                ("sum(lockstep_pairs_pending)", "pairs"),
            ),
        ),
        Panel(
            title="Mailboxes not acknowledged",
            about="Messages by member, the ten largest.",
            queries=(("topk(10, max by (member) (lockstep_mailbox_backlog))", "{{member}}"),),
        ),
    ),
)

"""The ledgers, as the gateway sees them and as they see themselves."""

from typing import Final

from k8s.monitoring.grafana import Dashboard, Panel, quantiles

LEDGERS: Final = Dashboard(
    uid="lockstep-ledgers",
    title="Lockstep: Ledgers",
    panels=(
        Panel(
            title="Answers",
            about="Whether each ledger answered the last request of each replica.",
            queries=(("min by (ledger) (lockstep_link_up)", "{{ledger}}"),),
            kind="stat",
        ),
        Panel(
            title="Last heard",
            about="Seconds since any replica heard a ledger; without traffic it is not asked.",
            queries=(
                (
                    "time() - max by (ledger) (lockstep_link_last_answer_timestamp_seconds)",
                    "{{ledger}}",
                ),
            ),
            unit="s",
            kind="stat",
        ),
        Panel(
            title="Clock skew",
            about="A ledger's time less ours; the network and the batch are in it.",
            queries=(
                ("max by (ledger) (lockstep_link_clock_skew_seconds)", "{{ledger}} most"),
                ("min by (ledger) (lockstep_link_clock_skew_seconds)", "{{ledger}} least"),
                ("max by (ledger) (lockstep_ledger_clock_skew_seconds)", "{{ledger}} held"),
            ),
            unit="s",
        ),
        Panel(
            title="Reconciliation breaks",
            about="What a ledger tells that does not agree with what it told: locks are stopped.",
            queries=(("max by (ledger) (lockstep_reconciliation_breaks)", "{{ledger}}"),),
            kind="stat",
        ),
        Panel(
            title="Last reconciled",
            about="Time since the last run of each ledger ended, and how long it took.",
            queries=(
                (
                    "time() - max by (ledger) (lockstep_reconciliation_last_run_timestamp_seconds)",
                    "{{ledger}} ago",
                ),
                ("max by (ledger) (lockstep_reconciliation_duration_seconds)", "{{ledger}} took"),
            ),
            unit="s",
        ),
        Panel(
            title="Request time as the gateway sees it",
            about="By ledger and operation.",
            queries=quantiles("lockstep_link_request_seconds", "ledger", "operation"),
            unit="s",
        ),
        Panel(
            title="Commands waiting at the gateway",
            about="Per ledger.",
            queries=(("sum by (ledger) (lockstep_link_queue)", "{{ledger}}"),),
        ),
        Panel(
            title="Unanswered requests",
            about="Per second: unreachable, timed out, refused.",
            queries=(
                (
                    "sum by (ledger) (rate(lockstep_link_unanswered_total[$__rate_interval]))",
                    "{{ledger}}",
                ),
            ),
        ),
        Panel(
            title="Refusals",
            about="Per second, by code; some are facts that the protocol asks for.",
            queries=(
                (
                    "sum by (ledger, refusal)"
                    " (rate(lockstep_link_refusals_total[$__rate_interval]))",
                    "{{ledger}} {{refusal}}",
                ),
            ),
        ),
        Panel(
            title="Commands in one request",
            about="Larger batches are cheaper per command.",
            queries=quantiles("lockstep_link_batch_size", "ledger", "operation"),
        ),
        Panel(
            title="Height",
            about="Blocks of each ledger; none is made without traffic, and none ever goes away.",
            queries=(("max by (ledger) (lockstep_ledger_block_height)", "{{ledger}}"),),
        ),
        Panel(
            title="Operations and effects",
            about="Per second; effects changed the book.",
            queries=(
                (
                    "sum by (ledger) (rate(lockstep_ledger_operations_total[$__rate_interval]))",
                    "{{ledger}} operations",
                ),
                (
                    "sum by (ledger) (rate(lockstep_ledger_effects_total[$__rate_interval]))",
                    "{{ledger}} effects",
                ),
            ),
        ),
        Panel(
            title="A ledger's transaction",
            about="Until it is durable.",
            queries=quantiles("lockstep_ledger_batch_seconds", "ledger"),
            unit="s",
        ),
        Panel(
            title="Queue, overload, outcomes not learned",
            about="At the ledger.",
            queries=(
                ("sum by (ledger) (lockstep_ledger_queue)", "{{ledger}} waiting"),
                (
                    "sum by (ledger) (rate(lockstep_ledger_overloaded_total[$__rate_interval]))",
                    "{{ledger}} turned away",
                ),
                (
                    "sum by (ledger) (rate(lockstep_ledger_unknown_total[$__rate_interval]))",
                    "{{ledger}} unknown",
                ),
            ),
        ),
    ),
)

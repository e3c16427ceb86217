"""Inside a process: its database, its queues, its time."""

from typing import Final

from k8s.monitoring.grafana import Dashboard, Panel, quantiles

INTERNALS: Final = Dashboard(
    uid="lockstep-gateway-internals",
    title="Lockstep: Gateway internals",
    panels=(
        Panel(
            title="Ready",
            about="Each condition of /readyz: 1 where all processes meet it.",
            queries=(("min by (job, condition) (lockstep_ready)", "{{job}} {{condition}}"),),
            kind="stat",
        ),
        Panel(
            title="Database",
            about="Whether the write of every second succeeded, and the lease it renews.",
            queries=(
                ("min by (job, instance) (lockstep_database_up)", "{{job}} {{instance}}"),
                (
                    "time() - lockstep_replica_heartbeat_timestamp_seconds",
                    "{{instance}} lease, s",
                ),
            ),
        ),
        Panel(
            title="Releases",
            about="More than one only during a rollout.",
            queries=(
                (
                    "count by (component, version) (lockstep_build_info)",
                    "{{component}} {{version}}",
                ),
            ),
            kind="stat",
        ),
        Panel(
            title="Due",
            about="Open settlements that the gateway has to bring on: the backlog to scale by.",
            queries=(("sum by (instance) (lockstep_journal_due)", "{{instance}}"),),
        ),
        Panel(
            title="A turn of the runner",
            about="From due to all decided.",
            queries=quantiles("lockstep_runner_turn_seconds", "instance"),
            unit="s",
        ),
        Panel(
            title="A transaction of the journal",
            about="Until it is durable: with a synchronous standby, on two machines.",
            queries=(
                *quantiles("lockstep_journal_append_seconds", "instance"),
                ("max by (instance) (lockstep_journal_lag_seconds)", "{{instance}} under way"),
            ),
            unit="s",
        ),
        Panel(
            title="Journal: batch and queue",
            about="Entries per transaction, and those that wait.",
            queries=(
                *quantiles("lockstep_journal_batch_size", "instance"),
                ("sum by (instance) (lockstep_journal_queue)", "{{instance}} waiting"),
            ),
        ),
        Panel(
            title="A transaction of intake",
            about="Until it is durable.",
            queries=(
                *quantiles("lockstep_intake_write_seconds", "instance"),
                ("max by (instance) (lockstep_intake_lag_seconds)", "{{instance}} under way"),
            ),
            unit="s",
        ),
        Panel(
            title="Intake: batch and queue",
            about="Requests per transaction, and those that wait.",
            queries=(
                *quantiles("lockstep_intake_batch_size", "instance"),
                ("sum by (instance) (lockstep_intake_queue)", "{{instance}} waiting"),
            ),
        ),
        Panel(
            title="Retries, conflicts, takeovers",
            about="Per second: the database away, another replica first, another replica gone.",
            queries=(
                (
                    "sum by (writer) (rate(lockstep_database_retries_total[$__rate_interval]))",
                    "retried: {{writer}}",
                ),
                ("sum(rate(lockstep_journal_conflicts_total[$__rate_interval]))", "conflicts"),
                (
                    "sum(rate(lockstep_settlements_taken_over_total[$__rate_interval]))",
                    "taken over",
                ),
                (
                    "sum(rate(lockstep_settlements_relinquished_total[$__rate_interval]))",
                    "let go",
                ),
            ),
        ),
        Panel(
            title="Requests",
            about="Per second, by status.",
            queries=(
                (
                    "sum by (job, status) (rate(lockstep_http_requests_total[$__rate_interval]))",
                    "{{job}} {{status}}",
                ),
                ("sum by (job) (lockstep_http_requests_in_flight)", "{{job}} in flight"),
            ),
        ),
        Panel(
            title="Request time",
            about="By route; streams last until they end.",
            queries=quantiles("lockstep_http_request_seconds", "route"),
            unit="s",
        ),
        Panel(
            title="Told to come back",
            about="Per second, by cause.",
            queries=(
                ("sum by (cause) (rate(lockstep_busy_total[$__rate_interval]))", "{{cause}}"),
            ),
        ),
        Panel(
            title="Event loop lag",
            about="What every request waits at least.",
            queries=quantiles("lockstep_event_loop_lag_seconds", "job", "instance"),
            unit="s",
        ),
        Panel(
            title="Connections to the database",
            about="Of the pool: used, idle, allowed.",
            queries=(
                (
                    "sum by (job, state) (lockstep_database_pool_connections)",
                    "{{job}} {{state}}",
                ),
                ("sum by (job) (lockstep_database_pool_connections_max)", "{{job}} allowed"),
            ),
        ),
        Panel(
            title="CPU",
            about="Cores used; one process uses one at most.",
            queries=(
                (
                    'rate(process_cpu_seconds_total{job=~"gateway|ledger"}[$__rate_interval])',
                    "{{job}} {{instance}}",
                ),
            ),
        ),
        Panel(
            title="Memory",
            about="Resident.",
            queries=(
                (
                    'process_resident_memory_bytes{job=~"gateway|ledger"}',
                    "{{job}} {{instance}}",
                ),
            ),
            unit="bytes",
        ),
        Panel(
            title="Lines logged",
            about="Per second, by level; critical asks for a person.",
            queries=(
                (
                    "sum by (job, level) (rate(lockstep_log_records_total[$__rate_interval]))",
                    "{{job}} {{level}}",
                ),
                ("sum(lockstep_mailbox_streams)", "streams open"),
            ),
        ),
    ),
)

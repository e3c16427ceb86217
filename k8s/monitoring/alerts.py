"""What is to be noticed, beside the error budgets.

Thresholds follow from the defaults of `gateway.config`; where one is changed there, look here too.
A scrape is every 15 s, so what lasts `1m` has been seen four times.
"""

from typing import Final

from k8s.monitoring.rule import Alert

PRINCIPAL: Final = (
    Alert(
        alert="LockstepSettlementOneLegged",
        expr="sum(lockstep_settlements_one_legged) > 0",
        severity="page",
        summary="The legs of a settlement ended differently: somebody has lost a principal",
        description="{{ $value }} settlements are BROKEN.",
    ),
    Alert(
        alert="LockstepSettlementFrozen",
        expr="sum(lockstep_settlements_frozen) > 0",
        severity="page",
        summary="After a restore, settlements wait for evidence",
        description="{{ $value }} settlements are frozen; their assets stay locked until then.",
    ),
    Alert(
        alert="LockstepSettlementQuarantined",
        expr="sum(lockstep_settlements_quarantined) > 0",
        severity="page",
        summary="An error of ours stopped work on a settlement",
        description="{{ $value }} settlements are not worked on; their assets may be locked.",
    ),
    Alert(
        alert="LockstepClaimMarginLow",
        # Opened with more than 60 s (commit_within) left; here two thirds of that are gone.
        expr="min(lockstep_claim_margin_seconds) < 20",
        severity="page",
        summary="A settlement with an expiry is about to be given up before its first claim",
        description="{{ $value | humanizeDuration }} are left; nothing is lost, yet.",
    ),
    Alert(
        alert="LockstepSafeDowntimeLow",
        # The window is made for an outage of 600 s (recovery): half of it is used up.
        expr="min(lockstep_safe_downtime_seconds) < 300",
        severity="page",
        summary="A key is out and a leg still locked: an outage now could cost a principal",
        description="The gateway may be away for {{ $value | humanizeDuration }} at most.",
    ),
)

PROGRESS: Final = (
    Alert(
        alert="LockstepDueStalled",
        expr=(
            "sum(lockstep_journal_due) > 0\n"
            "and\nsum(rate(lockstep_settlements_total[5m])) == 0\n"
            # Its phase is left within commit_within (60 s) and the ledgers' own time.
            'and\nmax(lockstep_settlement_oldest_seconds{phase=~"LOCKING|EXECUTING"}) > 180'
        ),
        lasts="1m",
        severity="page",
        summary="Settlements are due and none ends",
        description="{{ $value }} settlements have work to do, and none ended in five minutes.",
    ),
    Alert(
        alert="LockstepSettlementOld",
        expr=(
            'max by (phase) (lockstep_settlement_oldest_seconds{phase="LOCKING"}) > 300\n'
            'or max by (phase) (lockstep_settlement_oldest_seconds{phase="EXECUTING"}) > 300\n'
            # `htlc` waits for its expiries: commit_within, recovery and the ledgers' own times.
            'or max by (phase) (lockstep_settlement_oldest_seconds{phase="UNWINDING"}) > 3600'
        ),
        lasts="2m",
        severity="ticket",
        summary="A settlement stays in one phase for longer than anything explains",
        description="The oldest in {{ $labels.phase }}: {{ $value | humanizeDuration }}.",
    ),
    Alert(
        alert="LockstepJournalLag",
        expr="max by (job, instance) (lockstep_journal_lag_seconds) > 5",
        lasts="30s",
        severity="page",
        summary="Decisions do not become durable",
        description="A batch of the journal has been under way for {{ $value }} s on "
        "{{ $labels.instance }}.",
    ),
    Alert(
        alert="LockstepDatabaseDown",
        expr="max by (job, instance) (lockstep_database_up) == 0",
        lasts="1m",
        severity="page",
        summary="A process cannot write to its database",
        description="{{ $labels.job }} {{ $labels.instance }}.",
    ),
    Alert(
        alert="LockstepReplicaLeaseOld",
        # TAKEOVER_SECONDS is 3: the others have taken its work over by now.
        expr="time() - lockstep_replica_heartbeat_timestamp_seconds > 15",
        lasts="30s",
        severity="ticket",
        summary="A gateway process is up but does not renew its lease",
        description="{{ $labels.instance }}: {{ $value | humanizeDuration }} ago.",
    ),
    Alert(
        alert="LockstepEventLoopLag",
        expr=(
            "histogram_quantile(0.99, sum by (job, instance, le) "
            "(rate(lockstep_event_loop_lag_seconds_bucket[5m]))) > 0.5"
        ),
        lasts="5m",
        severity="ticket",
        summary="A process is too busy to be quick",
        description="{{ $labels.job }} {{ $labels.instance }} reacts after {{ $value }} s.",
    ),
    Alert(
        alert="LockstepBusy",
        expr="sum by (cause) (rate(lockstep_busy_total[5m])) > 0",
        lasts="5m",
        severity="ticket",
        summary="Members are told to come back later",
        description="Because of: {{ $labels.cause }}.",
    ),
    Alert(
        alert="LockstepMailboxBacklog",
        # A day's notices of a large member; the database is the same for all replicas.
        expr="max by (member) (lockstep_mailbox_backlog) > 50000",
        lasts="15m",
        severity="ticket",
        summary="A member does not read its mailbox",
        description="{{ $labels.member }} has {{ $value }} messages not acknowledged.",
    ),
    Alert(
        alert="LockstepWebhooksFailing",
        # Tried again after 1 s, 2 s … 300 s: a receiver that was only started anew has taken it.
        expr="max by (job) (lockstep_webhooks_failing) > 0",
        lasts="30m",
        severity="ticket",
        summary="Members' webhooks do not take what is sent to them",
        description="{{ $value }} members of the {{ $labels.job }}.",
    ),
    Alert(
        alert="LockstepHistoryRangeLate",
        # Days before the range is needed at any load but the highest; nothing fails even then.
        expr="max by (job, table) (lockstep_history_range_late) > 0",
        lasts="1h",
        severity="ticket",
        summary="The next range of a table's history cannot be made",
        description="{{ $labels.table }} of the {{ $labels.job }}.",
    ),
    Alert(
        alert="LockstepPersonWanted",
        expr='sum by (job, instance) (increase(lockstep_log_records_total{level="critical"}[10m]))'
        " > 0",
        severity="page",
        summary="A process has logged something that asks for a person",
        description="Look for critical lines of {{ $labels.job }} {{ $labels.instance }}.",
    ),
)

LEDGERS: Final = (
    Alert(
        alert="LockstepReconciliationBreak",
        expr="max by (ledger) (lockstep_reconciliation_breaks) > 0",
        severity="page",
        summary="What a ledger tells does not agree with what it told: new locks are stopped",
        description="{{ $labels.ledger }}: {{ $value }} breaks. Clear them before settlement "
        "begins tomorrow.",
    ),
    Alert(
        alert="LockstepReconciliationOld",
        # Daily, and a run takes minutes: two hours after the set time it is missed.
        expr="time() - max by (ledger) (lockstep_reconciliation_last_run_timestamp_seconds)"
        " > 26 * 3600",
        lasts="5m",
        severity="ticket",
        summary="A ledger was not reconciled for a day",
        description="{{ $labels.ledger }}: {{ $value | humanizeDuration }} ago.",
    ),
    Alert(
        alert="LockstepLedgerUnreachable",
        expr="max by (ledger) (lockstep_link_up) == 0",
        lasts="1m",
        severity="page",
        summary="A ledger answers no replica of the gateway",
        description="{{ $labels.ledger }}: what is locked there and elsewhere stays locked.",
    ),
    Alert(
        alert="LockstepLinkDown",
        expr="min by (ledger) (lockstep_link_up) == 0 and max by (ledger) (lockstep_link_up) == 1",
        lasts="5m",
        severity="ticket",
        summary="Some replicas of the gateway cannot reach a ledger that others reach",
        description="{{ $labels.ledger }}.",
    ),
    Alert(
        alert="LockstepLedgerClockSkew",
        # Declared and reckoned with: 1 s (skew_seconds). NTP holds milliseconds.
        expr="max by (ledger) (abs(lockstep_link_clock_skew_seconds)) > 0.5",
        lasts="1m",
        severity="page",
        summary="A ledger's clock departs from the gateway's by half of what is reckoned with",
        description="{{ $labels.ledger }}: {{ $value }} s.",
    ),
    Alert(
        alert="LockstepLedgerClockHeld",
        expr="max by (ledger) (lockstep_ledger_clock_skew_seconds) > 0.5",
        lasts="1m",
        severity="ticket",
        summary="A ledger holds its time because its machine's clock went back",
        description="{{ $labels.ledger }} waits {{ $value }} s for its own clock.",
    ),
    Alert(
        alert="LockstepLedgerHeightStalled",
        # Blocks are only made for traffic, so: somebody waits, and no block comes.
        expr=(
            "max by (ledger) (lockstep_ledger_queue) > 0\n"
            "and\nmax by (ledger) (changes(lockstep_ledger_block_height[2m])) == 0"
        ),
        lasts="1m",
        severity="page",
        summary="Operations wait at a ledger and it makes no block",
        description="{{ $labels.ledger }}: {{ $value }} wait.",
    ),
    Alert(
        alert="LockstepLedgerHeightWentBack",
        expr=(
            "max by (ledger) (lockstep_ledger_block_height)\n"
            "< max by (ledger) (max_over_time(lockstep_ledger_block_height[1d]))"
        ),
        severity="page",
        summary="A ledger has fewer blocks than before: it was restored and has forgotten",
        description="{{ $labels.ledger }} is at {{ $value }}. Stop the gateway.",
    ),
    Alert(
        alert="LockstepLedgerOverloaded",
        expr="sum by (ledger) (rate(lockstep_ledger_overloaded_total[5m])) > 0",
        lasts="5m",
        severity="ticket",
        summary="A ledger turns operations away",
        description="{{ $labels.ledger }}: {{ $value }} a second.",
    ),
)

REGISTRIES: Final = (
    Alert(
        alert="LockstepRegistryDiverged",
        expr="max by (registry) (lockstep_registry_diverged) > 0",
        severity="page",
        summary="A registry computed something else than a quorum of registries signed",
        description="{{ $labels.registry }} has stopped and serves nothing more.",
    ),
    Alert(
        alert="LockstepRegistryStopped",
        expr="max by (registry) (lockstep_registry_stopped) > 0",
        severity="page",
        summary="A registry's node is out of service until somebody decides",
        description="{{ $labels.registry }}: its /readyz says why.",
    ),
    Alert(
        alert="LockstepRegistryEvidence",
        expr="max by (registry) (lockstep_registry_evidence_total) > 0",
        severity="page",
        summary="A registry signed two things of which it may sign one",
        description="{{ $labels.registry }} keeps {{ $value }} proofs against a member.",
    ),
    Alert(
        alert="LockstepRegistryFinalityStalled",
        # Without traffic a block every 5 s (heartbeat_seconds); a new leader of the log, 16 s.
        expr="time() - max(lockstep_registry_final_timestamp_seconds) > 45",
        lasts="30s",
        severity="page",
        summary="Nothing becomes final on the network of registries",
        description="The last final block is {{ $value | humanizeDuration }} old.",
    ),
    Alert(
        alert="LockstepRegistryBehind",
        expr=(
            'max by (registry) (lockstep_registry_height{state="final"})\n'
            '< scalar(max(lockstep_registry_height{state="final"})) - 50'
        ),
        lasts="2m",
        severity="ticket",
        summary="A registry is behind the others and does not catch up",
        description="{{ $labels.registry }} is at height {{ $value }}.",
    ),
    Alert(
        alert="LockstepRegistrySlow",
        # One round is 0.5 s between continents; here eight of ten do not make it in 2.5 s.
        expr=(
            "histogram_quantile(0.8, sum by (registry, le) "
            "(rate(lockstep_registry_final_seconds_bucket[5m]))) > 2.5"
        ),
        lasts="10m",
        severity="ticket",
        summary="Entries of a registry take long to become final",
        description="{{ $labels.registry }}: {{ $value }} s.",
    ),
    Alert(
        alert="LockstepRegistryLogDown",
        expr="max by (registry) (lockstep_registry_log_up) == 0",
        lasts="1m",
        severity="ticket",
        summary="A registry is not connected to the log",
        description="{{ $labels.registry }} reads nothing and orders nothing.",
    ),
    Alert(
        alert="LockstepRegistryMessagesWait",
        # What was received is asked for every second; a new leader of the log takes 16 s.
        expr="max by (registry) (lockstep_registry_oldest_message_seconds) > 60",
        lasts="1m",
        severity="ticket",
        summary="Messages of a registry's members are received and not answered",
        description="{{ $labels.registry }}: the oldest waits {{ $value | humanizeDuration }}.",
    ),
)

SUPERVISORS: Final = (
    Alert(
        alert="LockstepSupervisorDivergence",
        expr='max by (kind) (lockstep_supervisor_wrong{kind=~"divergence|forgery"}) > 0',
        severity="page",
        summary="A network of registries is not what a supervisor makes of it",
        description="{{ $value }} times {{ $labels.kind }}.",
    ),
    Alert(
        alert="LockstepSupervisorEquivocation",
        expr='max(lockstep_supervisor_wrong{kind="equivocation"}) > 0',
        severity="page",
        summary="A supervisor holds proofs that a registry signed two things",
        description="{{ $value }} proofs.",
    ),
    Alert(
        alert="LockstepSupervisorSumBroken",
        expr='max(lockstep_supervisor_wrong{kind="sum"}) > 0',
        severity="page",
        summary="What registries hold of an issue is not what was issued",
        description="{{ $value }} issues of all are not whole.",
    ),
    Alert(
        alert="LockstepSupervisorStalled",
        # A block every 5 s (heartbeat_seconds). While the past is done again, heights go on.
        expr=(
            "time() - max(lockstep_supervisor_block_timestamp_seconds) > 60\n"
            'and\nmax(changes(lockstep_supervisor_height{state="read"}[2m])) == 0'
        ),
        lasts="1m",
        severity="page",
        summary="A supervisor sees no new block of its network",
        description="The last one is {{ $value | humanizeDuration }} old.",
    ),
    Alert(
        alert="LockstepSupervisorNode",
        expr='max(lockstep_supervisor_wrong{kind="node"}) > 0',
        lasts="5m",
        severity="ticket",
        summary="A supervisor cannot ask a registry, or finds it out of service",
        description="{{ $value }} nodes.",
    ),
)

WATCHING: Final = (
    Alert(
        alert="LockstepGatewayDown",
        expr='absent(up{job="gateway"} == 1)',
        lasts="1m",
        severity="page",
        summary="No gateway process answers Prometheus",
        description="Nothing is settled, unless only the scraping is broken.",
    ),
    Alert(
        alert="LockstepTargetDown",
        expr='up{job=~"gateway|ledger|registry|supervisor"} == 0',
        lasts="2m",
        severity="ticket",
        summary="A process does not answer Prometheus",
        description="{{ $labels.job }} {{ $labels.instance }}.",
    ),
    Alert(
        alert="LockstepBackupOld",
        # Of the plugin Barman Cloud; taken every night.
        expr=(
            "time() - max by (namespace)"
            " (barman_cloud_cloudnative_pg_io_last_available_backup_timestamp) > 36 * 3600"
        ),
        lasts="15m",
        severity="ticket",
        summary="The last backup of a database is older than a day and a half",
        description="{{ $labels.namespace }}: {{ $value | humanizeDuration }}.",
    ),
    Alert(
        alert="LockstepDeadMansSwitch",
        expr="vector(1)",
        severity="none",
        summary="Always fires: whoever watches the watchers pages when it stops",
        description="Route it to a service outside of this system that expects it.",
    ),
)

ALERTS: Final = (*PRINCIPAL, *PROGRESS, *LEDGERS, *REGISTRIES, *SUPERVISORS, *WATCHING)

"""For each alert a history in which it fires, and an instant before at which it must not.

One value a minute, in promtool's notation: `0x5` is 0 six times, `0+60x9` counts up by 60.
"""

import msgspec


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """Series, an instant at which the alert is silent, and one at which it fires."""

    alert: str
    series: dict[str, str]
    quiet: str
    fires: str
    times: int = 1  # how many alerts of that name are firing then


def _gauge(alert: str, series: str, *, after: str = "5m", before: str = "2m") -> Case:
    """0 for three minutes, then 1."""
    return Case(alert=alert, series={series: "0 0 0 1x60"}, quiet=before, fires=after)


REQUESTS = 'lockstep_http_requests_total{job="gateway",route="/",method="POST"'

CASES = (
    _gauge("LockstepSettlementOneLegged", 'lockstep_settlements_one_legged{instance="a"}'),
    _gauge("LockstepSettlementFrozen", 'lockstep_settlements_frozen{instance="a"}'),
    _gauge("LockstepSettlementQuarantined", 'lockstep_settlements_quarantined{instance="a"}'),
    Case(
        alert="LockstepClaimMarginLow",
        series={
            'lockstep_claim_margin_seconds{instance="a"}': "70 50 30 10",
            'lockstep_claim_margin_seconds{instance="b"}': "70x5",
        },
        quiet="2m",
        fires="3m",
    ),
    Case(
        alert="LockstepSafeDowntimeLow",
        series={'lockstep_safe_downtime_seconds{instance="a"}': "600 500 400 299"},
        quiet="2m",
        fires="3m",
    ),
    Case(
        alert="LockstepDueStalled",
        series={
            'lockstep_journal_due{instance="a"}': "5x30",
            'lockstep_settlements_total{instance="a",outcome="SETTLED"}': "0+60x9 540x30",
            'lockstep_settlement_oldest_seconds{instance="a",phase="LOCKING"}': "1x9 0+60x30",
        },
        quiet="10m",
        fires="20m",
    ),
    Case(
        alert="LockstepSettlementOld",
        series={
            'lockstep_settlement_oldest_seconds{instance="a",phase="EXECUTING"}': "0+60x30",
            'lockstep_settlement_oldest_seconds{instance="a",phase="UNWINDING"}': "0+60x30",
        },
        quiet="5m",
        fires="10m",
    ),
    Case(
        alert="LockstepJournalLag",
        series={'lockstep_journal_lag_seconds{job="gateway",instance="a"}': "0 0.1 2 6 66 126"},
        quiet="2m",
        fires="5m",
    ),
    Case(
        alert="LockstepDatabaseDown",
        series={
            'lockstep_database_up{job="gateway",instance="a"}': "1x3 0x30",
            'lockstep_database_up{job="gateway",instance="b"}': "1x30",
        },
        quiet="3m",
        fires="6m",
    ),
    Case(
        alert="LockstepReplicaLeaseOld",
        series={
            'lockstep_replica_heartbeat_timestamp_seconds{instance="a"}': "0 60 120 120 120 120"
        },
        quiet="2m",
        fires="5m",
    ),
    Case(
        alert="LockstepEventLoopLag",
        series={
            'lockstep_event_loop_lag_seconds_bucket{job="gateway",instance="a",le="0.5"}': "0x30",
            'lockstep_event_loop_lag_seconds_bucket{job="gateway",instance="a",le="1"}': "0+240x30",
            'lockstep_event_loop_lag_seconds_bucket{job="gateway",instance="a",le="+Inf"}': (
                "0+240x30"
            ),
        },
        quiet="3m",
        fires="10m",
    ),
    Case(
        alert="LockstepBusy",
        series={'lockstep_busy_total{instance="a",cause="open"}': "0x5 0+6x30"},
        quiet="5m",
        fires="15m",
    ),
    Case(
        alert="LockstepMailboxBacklog",
        series={
            f'lockstep_mailbox_backlog{{instance="{replica}",member="RHEIDEF0XXX"}}': (
                "40000x5 60000x30"
            )
            for replica in ("a", "b")
        },
        quiet="10m",
        fires="25m",
    ),
    Case(
        alert="LockstepPersonWanted",
        series={
            'lockstep_log_records_total{job="gateway",instance="a",level="critical"}': "0x5 1x30",
            'lockstep_log_records_total{job="gateway",instance="a",level="info"}': "0+9x30",
        },
        quiet="5m",
        fires="7m",
    ),
    Case(
        alert="LockstepLedgerUnreachable",
        series={
            f'lockstep_link_up{{instance="{replica}",ledger="euro"}}': "1x5 0x30"
            for replica in ("a", "b")
        },
        quiet="5m",
        fires="8m",
    ),
    Case(
        alert="LockstepLinkDown",
        series={
            'lockstep_link_up{instance="a",ledger="euro"}': "1x5 0x30",
            'lockstep_link_up{instance="b",ledger="euro"}': "1x35",
        },
        quiet="8m",
        fires="12m",
    ),
    Case(
        alert="LockstepLedgerClockSkew",
        series={'lockstep_link_clock_skew_seconds{instance="a",ledger="euro"}': "0.1x5 -0.7x30"},
        quiet="5m",
        fires="8m",
    ),
    Case(
        alert="LockstepLedgerClockHeld",
        series={'lockstep_ledger_clock_skew_seconds{instance="a",ledger="euro"}': "0x5 0.7x30"},
        quiet="5m",
        fires="8m",
    ),
    Case(
        alert="LockstepLedgerHeightStalled",
        series={
            'lockstep_ledger_queue{instance="a",ledger="euro"}': "5x30",
            'lockstep_ledger_block_height{instance="a",ledger="euro"}': "1+9x5 46x30",
        },
        quiet="6m",
        fires="12m",
    ),
    Case(
        alert="LockstepLedgerHeightWentBack",
        series={'lockstep_ledger_block_height{instance="a",ledger="euro"}': "1+9x5 30+9x30"},
        quiet="5m",
        fires="6m",
    ),
    _gauge(
        "LockstepReconciliationBreak",
        'lockstep_reconciliation_breaks{instance="a",ledger="registry"}',
    ),
    Case(
        alert="LockstepReconciliationOld",
        # Reconciled at minute 0 and never again.
        series={
            "lockstep_reconciliation_last_run_timestamp_seconds"
            '{instance="a",ledger="euro"}': "0x2000"
        },
        quiet="25h",
        fires="27h",
    ),
    Case(
        alert="LockstepLedgerOverloaded",
        series={'lockstep_ledger_overloaded_total{instance="a",ledger="euro"}': "0x5 0+60x30"},
        quiet="5m",
        fires="15m",
    ),
    _gauge("LockstepRegistryDiverged", 'lockstep_registry_diverged{registry="KG"}'),
    _gauge("LockstepRegistryStopped", 'lockstep_registry_stopped{registry="KG"}'),
    _gauge("LockstepRegistryEvidence", 'lockstep_registry_evidence_total{registry="KG"}'),
    Case(
        alert="LockstepRegistryFinalityStalled",
        series={
            'lockstep_registry_final_timestamp_seconds{registry="KG"}': "0+60x3 180x30",
            'lockstep_registry_final_timestamp_seconds{registry="KZ"}': "0+60x5 300x30",
        },
        quiet="5m",
        fires="8m",
    ),
    Case(
        alert="LockstepRegistryBehind",
        series={
            'lockstep_registry_height{registry="KG",state="final"}': "0+12x5 60x30",
            'lockstep_registry_height{registry="KZ",state="final"}': "0+12x60",
            'lockstep_registry_height{registry="KZ",state="read"}': "0+13x60",
        },
        quiet="8m",
        fires="20m",
    ),
    Case(
        alert="LockstepRegistrySlow",
        series={
            'lockstep_registry_final_seconds_bucket{registry="KG",le="2.5"}': "0+60x20 1200x60",
            'lockstep_registry_final_seconds_bucket{registry="KG",le="5.0"}': "0+60x80",
            'lockstep_registry_final_seconds_bucket{registry="KG",le="+Inf"}': "0+60x80",
        },
        quiet="20m",
        fires="50m",
    ),
    Case(
        alert="LockstepRegistryLogDown",
        series={'lockstep_registry_log_up{registry="KG"}': "1x5 0x30"},
        quiet="6m",
        fires="8m",
    ),
    Case(
        alert="LockstepRegistryMessagesWait",
        series={'lockstep_registry_oldest_message_seconds{registry="KG"}': "0x5 5x5 70+60x30"},
        quiet="10m",
        fires="14m",
    ),
    _gauge(
        "LockstepSupervisorDivergence",
        'lockstep_supervisor_wrong{instance="a",kind="divergence"}',
    ),
    _gauge(
        "LockstepSupervisorEquivocation",
        'lockstep_supervisor_wrong{instance="a",kind="equivocation"}',
    ),
    _gauge("LockstepSupervisorSumBroken", 'lockstep_supervisor_wrong{instance="a",kind="sum"}'),
    Case(
        alert="LockstepSupervisorStalled",
        series={
            # Ten minutes of blocks a year old, done again; then it is there, and nothing comes.
            'lockstep_supervisor_block_timestamp_seconds{instance="a"}': "0x10 600x30",
            'lockstep_supervisor_height{instance="a",state="read"}': "0+9x10 90x30",
        },
        quiet="10m",
        fires="14m",
    ),
    _gauge(
        "LockstepSupervisorNode",
        'lockstep_supervisor_wrong{instance="a",kind="node"}',
        before="7m",
        after="9m",
    ),
    Case(
        alert="LockstepWebhooksFailing",
        series={'lockstep_webhooks_failing{job="gateway",instance="a"}': "0x5 2x60"},
        quiet="30m",
        fires="37m",
    ),
    Case(
        alert="LockstepHistoryRangeLate",
        series={
            'lockstep_history_range_late{job="ledger",instance="a",table="postings"}': "0x5 1x90"
        },
        quiet="1h",
        fires="1h7m",
    ),
    Case(
        alert="LockstepGatewayDown",
        series={'up{job="gateway",instance="a"}': "1x5 0x30", 'up{job="ledger"}': "1x30"},
        quiet="5m",
        fires="8m",
    ),
    Case(
        alert="LockstepTargetDown",
        series={'up{job="ledger",instance="a"}': "1x5 0x30", 'up{job="gateway"}': "1x30"},
        quiet="7m",
        fires="9m",
    ),
    Case(
        alert="LockstepBackupOld",
        series={
            "barman_cloud_cloudnative_pg_io_last_available_backup_timestamp"
            '{namespace="lockstep-gateway"}': "0x2400"
        },
        quiet="36h",
        fires="37h",
    ),
    Case(
        alert="LockstepIntakeErrorBudgetBurn",
        series={
            REQUESTS + ',status="202"}': "0+100x180",
            REQUESTS + ',status="503"}': "0x60 0+20x120",
        },
        quiet="1h",
        fires="2h",
        times=4,  # all speeds: it is 16.7 % of all requests
    ),
    Case(
        alert="LockstepSettlementErrorBudgetBurn",
        series={
            'lockstep_settlements_total{outcome="SETTLED",reason="ALL_LOCKED"}': "0+100x180",
            'lockstep_settlements_total{outcome="CANCELLED",reason="REFUSED"}': "0+100x180",
            'lockstep_settlements_total{outcome="CANCELLED",reason="COMMIT_BY_PASSED"}': (
                "0x60 0+20x120"
            ),
        },
        quiet="1h",
        fires="2h",
        times=4,
    ),
    # It fires always; that it is in the output at any time is the point.
    Case(alert="LockstepDeadMansSwitch", series={"up": "1x5"}, quiet="", fires="0m"),
)

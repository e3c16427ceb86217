"""Every metric of our processes: name, type, unit, labels, and what it says.

This table is the contract with dashboards and alerts; nothing is exposed that is not in it, but for
`process_*` and `python_*`, which the client library measures. Names follow the conventions of
Prometheus: base units, `_total` for what only grows. A label has few values, all of them known from
code or configuration; no id of a settlement, message, account or security is ever one.

The objects of the system keep their own numbers, as plain integers and `Distribution`s, and are
read when Prometheus asks: `telemetry.gateway` and `telemetry.ledger` do that.
"""

from gateway.telemetry.definition import ALL as ALL
from gateway.telemetry.definition import Kind as Kind
from gateway.telemetry.definition import counter as _counter
from gateway.telemetry.definition import gauge as _gauge
from gateway.telemetry.definition import histogram as _histogram

# ------------------------------------------------------------------ every process

BUILD_INFO = _gauge(
    "lockstep_build_info",
    "Always 1; what runs (component: gateway, ledger, registry or supervisor).",
    *("component", "version", "python"),
)
READY = _gauge(
    "lockstep_ready",
    "Whether a condition of /readyz holds: 1 or 0 (conditions: started, not draining, database; "
    "of a gateway also ledgers; of a registry node, caught up; of a supervisor, looks).",
    "condition",
)
DRAINING = _gauge("lockstep_draining", "1 from SIGTERM on: no new work is taken.")
EVENT_LOOP_LAG = _histogram(
    "lockstep_event_loop_lag_seconds",
    "How much later than asked a timer of 250 ms fired: what every request waits at least.",
)
POOL_CONNECTIONS = _gauge(
    "lockstep_database_pool_connections",
    "Connections to the database that are open (state: used or idle).",
    "state",
)
POOL_CONNECTIONS_MAX = _gauge(
    "lockstep_database_pool_connections_max", "Connections that the pool may open."
)
DATABASE_UP = _gauge(
    "lockstep_database_up",
    "1 if the database has taken a write within 3 s, and no batch waits for longer.",
)
HISTORY_RANGE_LATE = _gauge(
    "lockstep_history_range_late",
    "1 if a table's next range was due at the last look and could not be made: once the last range "
    "is full, rows go into TABLE_rest.",
    "table",
)
HTTP_REQUESTS = _counter(
    "lockstep_http_requests_total",
    "Requests answered, by the template of their path (other: none of ours) and their status.",
    *("method", "route", "status"),
)
HTTP_SECONDS = _histogram(
    "lockstep_http_request_seconds",
    "From a request's head to its answer; of streams until they end.",
    "route",
)
HTTP_IN_FLIGHT = _gauge(
    "lockstep_http_requests_in_flight", "Requests being answered, streams among them."
)
LOG_RECORDS = _counter(
    "lockstep_log_records_total",
    "Lines logged, by level; critical ones ask for a person.",
    "level",
)

# ------------------------------------------------------------------ gateway: settlements

SETTLEMENTS_OPENED = _counter(
    "lockstep_settlements_opened_total",
    "Settlements opened by this replica: their agreement is in the journal.",
    *("kind", "protocol"),
)
SETTLEMENTS = _counter(
    "lockstep_settlements_total",
    "Settlements that ended, durably, on this replica. kind: dvp, pvp, other; outcome: SETTLED, "
    "CANCELLED, REJECTED (nothing was ever locked); reason: of the decision.",
    *("kind", "protocol", "outcome", "reason"),
)
SETTLEMENT_SECONDS = _histogram(
    "lockstep_settlement_duration_seconds",
    "From intake to the durable end (consent of the parties included).",
    *("kind", "outcome"),
)
PHASE_SECONDS = _histogram(
    "lockstep_settlement_phase_seconds",
    "How long settlements stayed in a phase, as this replica saw it.",
    "phase",
)
SETTLEMENTS_OPEN = _gauge(
    "lockstep_settlements_open", "Settlements that this replica works on, by phase.", "phase"
)
SETTLEMENT_OLDEST = _gauge(
    "lockstep_settlement_oldest_seconds",
    "For how long the oldest settlement of a phase has been in it.",
    "phase",
)
ONE_LEGGED = _gauge(
    "lockstep_settlements_one_legged",
    "Settlements whose legs ended differently (BROKEN). Must be 0.",
)
FROZEN = _gauge(
    "lockstep_settlements_frozen",
    "Settlements of a restored journal that wait for evidence (design rule 17).",
)
QUARANTINED = _gauge(
    "lockstep_settlements_quarantined",
    "Settlements stopped by an error of ours since the start. Must be 0.",
)

# ------------------------------------------------------------------ gateway: locks and time

OPEN_LOCKS = _gauge(
    "lockstep_open_locks",
    "Legs found locked and not ended yet, by the age of their settlement (age: 1s, 10s, 1m, 10m: "
    "younger than that; older: all others).",
    *("ledger", "age"),
)
OLDEST_LOCK = _gauge(
    "lockstep_oldest_lock_age_seconds", "Age of the oldest open lock on a ledger.", "ledger"
)
LOCKED_VALUE = _gauge(
    "lockstep_locked_value",
    "Money in open locks of this replica, in units of its currency. (Securities are counted in "
    "lockstep_open_locks: their quantities cannot be added up.)",
    *("ledger", "currency"),
)
CLAIM_MARGIN = _gauge(
    "lockstep_claim_margin_seconds",
    "Smallest time left, over open settlements with an expiry whose key is not out, until the "
    "first claim is not sent any more (expiry less margin less the ledger's time). Absent if none.",
)
SAFE_DOWNTIME = _gauge(
    "lockstep_safe_downtime_seconds",
    "Smallest outage, over settlements whose key may be out, that would cost somebody a leg: time "
    "left to the expiry of an open leg, less what its claim takes. Absent if none.",
)
AT_RISK = _gauge(
    "lockstep_settlements_at_risk",
    "Settlements whose key may be out while a leg with an expiry is not claimed yet.",
)

# ------------------------------------------------------------------ gateway: links to ledgers

LINK_UP = _gauge(
    "lockstep_link_up", "1 if the ledger answered the last request of this replica.", "ledger"
)
LINK_SECONDS = _histogram(
    "lockstep_link_request_seconds",
    "How long a ledger takes to answer a request (operation: apply or look).",
    *("ledger", "operation"),
)
LINK_BATCH = _histogram(
    "lockstep_link_batch_size",
    "Commands in one request to a ledger.",
    *("ledger", "operation"),
)
LINK_UNANSWERED = _counter(
    "lockstep_link_unanswered_total",
    "Requests to a ledger without any answer: unreachable, timed out, refused.",
    "ledger",
)
LINK_QUEUE = _gauge("lockstep_link_queue", "Commands that wait for their turn.", "ledger")
LINK_REFUSALS = _counter(
    "lockstep_link_refusals_total",
    "Answers that carry a refusal, by its code; some are facts that the protocol asks for.",
    *("ledger", "refusal"),
)
LINK_CLOCK_SKEW = _gauge(
    "lockstep_link_clock_skew_seconds",
    "The ledger's time less ours when it was last heard; its batch and the network are in it.",
    "ledger",
)
LINK_LAST_ANSWER = _gauge(
    "lockstep_link_last_answer_timestamp_seconds", "When a ledger was last heard.", "ledger"
)

# ------------------------------------------------------------------ gateway: journal and intake

JOURNAL_DUE = _gauge(
    "lockstep_journal_due",
    "Open settlements that the gateway, and not a party, has to bring on: the backlog to scale by.",
)
TURN_SECONDS = _histogram(
    "lockstep_runner_turn_seconds",
    "From the moment that something is due to the moment that all of it is decided.",
)
JOURNAL_QUEUE = _gauge("lockstep_journal_queue", "Journal entries that wait to be written.")
JOURNAL_LAG = _gauge(
    "lockstep_journal_lag_seconds",
    "For how long the batch that is being written now has been under way; 0 if none is.",
)
JOURNAL_SECONDS = _histogram(
    "lockstep_journal_append_seconds", "One transaction of the journal, until it is durable."
)
JOURNAL_BATCH = _histogram("lockstep_journal_batch_size", "Entries in one transaction.")
JOURNAL_CONFLICTS = _counter(
    "lockstep_journal_conflicts_total",
    "Entries whose place another replica had taken: loaded again and decided again.",
)
INTAKE_QUEUE = _gauge("lockstep_intake_queue", "Requests that wait to be written.")
INTAKE_LAG = _gauge(
    "lockstep_intake_lag_seconds",
    "For how long the batch of intake that is being written now has been under way; 0 if none is.",
)
INTAKE_SECONDS = _histogram(
    "lockstep_intake_write_seconds", "One transaction of intake, until it is durable."
)
INTAKE_BATCH = _histogram("lockstep_intake_batch_size", "Requests in one transaction.")
DATABASE_RETRIES = _counter(
    "lockstep_database_retries_total",
    "Batches written again because the database was away, full or busy (writer: journal, intake).",
    "writer",
)
BUSY = _counter(
    "lockstep_busy_total",
    "Requests told to come back (503). cause: draining, restore (the ledgers are being read), "
    "ledgers (one was never heard), open (too many settlements), queue, database.",
    "cause",
)

# ------------------------------------------------------------------ gateway: messages and mailboxes

MESSAGES = _counter(
    "lockstep_messages_total",
    "Messages judged at intake (verdict: accepted; refused: received, and refused for business "
    "reasons; rejected: not processable), by definition (other: none that is taken) and code.",
    *("definition", "verdict", "code"),
)
MATCHING_QUEUE = _gauge(
    "lockstep_matching_queue",
    "Accepted instructions without a match. Of the database: the same on every replica.",
)
PAYMENT_ORDERS_OPEN = _gauge(
    "lockstep_payment_orders_open",
    "Payment orders (pacs.009) that stand. Of the database: the same on every replica.",
)
PAIRS_PENDING = _gauge(
    "lockstep_pairs_pending", "Matched pairs of this replica that wait for a date or a new attempt."
)
MAILBOX_BACKLOG = _gauge(
    "lockstep_mailbox_backlog",
    "Messages that a member has not acknowledged. Of the database: the same on every replica.",
    "member",
)
WEBHOOK_DELIVERIES = _counter(
    "lockstep_webhook_deliveries_total",
    "Attempts to deliver a message to a member's webhook (verdict: delivered, failed).",
    "verdict",
)
WEBHOOKS_FAILING = _gauge(
    "lockstep_webhooks_failing",
    "Members whose webhook did not take the last message: tried again, or given up after a 410.",
)
STREAMS = _gauge("lockstep_mailbox_streams", "Open streams of mailboxes.")

# ------------------------------------------------------------------ gateway: reconciliation

RECONCILIATION_BREAKS = _gauge(
    "lockstep_reconciliation_breaks",
    "Open breaks: what a ledger tells that does not agree with what it told. Must be 0. Of the "
    "database: the same on every replica.",
    "ledger",
)
RECONCILIATION_LAST = _gauge(
    "lockstep_reconciliation_last_run_timestamp_seconds",
    "When the last reconciliation of a ledger ended. Absent before the first one.",
    "ledger",
)
RECONCILIATION_SECONDS = _gauge(
    "lockstep_reconciliation_duration_seconds",
    "How long the last reconciliation of a ledger took.",
    "ledger",
)

# ------------------------------------------------------------------ gateway: replicas

HEARTBEAT = _gauge(
    "lockstep_replica_heartbeat_timestamp_seconds",
    "When this replica last renewed its lease in the database.",
)
TAKEN_OVER = _counter(
    "lockstep_settlements_taken_over_total", "Settlements taken over from a replica that was gone."
)
RELINQUISHED = _counter(
    "lockstep_settlements_relinquished_total",
    "Settlements let go because another replica had taken them over meanwhile.",
)

# ------------------------------------------------------------------ ledger

LEDGER_HEIGHT = _gauge("lockstep_ledger_block_height", "Height of the last block.", "ledger")
LEDGER_SECONDS = _histogram(
    "lockstep_ledger_batch_seconds", "One transaction of the ledger, until it is durable.", "ledger"
)
LEDGER_BATCH = _histogram(
    "lockstep_ledger_batch_size", "Operations and questions in one transaction.", "ledger"
)
LEDGER_OPERATIONS = _counter(
    "lockstep_ledger_operations_total", "Operations and questions answered.", "ledger"
)
LEDGER_EFFECTS = _counter(
    "lockstep_ledger_effects_total", "Operations that changed the book: leaves of blocks.", "ledger"
)
LEDGER_UNKNOWN = _counter(
    "lockstep_ledger_unknown_total",
    "Operations whose outcome was not learned (the database was away).",
    "ledger",
)
LEDGER_OVERLOADED = _counter(
    "lockstep_ledger_overloaded_total", "Operations turned away: too many waited.", "ledger"
)
LEDGER_QUEUE = _gauge("lockstep_ledger_queue", "Operations that wait for their turn.", "ledger")
LEDGER_CLOCK_SKEW = _gauge(
    "lockstep_ledger_clock_skew_seconds",
    "Ledger time less the wall clock at the last batch: above 0 if the wall clock went back.",
    "ledger",
)

# ------------------------------------------------------------------ registries of a network

REGISTRY_HEIGHT = _gauge(
    "lockstep_registry_height",
    "Height of the last block (state: read, certified, final).",
    *("registry", "state"),
)
REGISTRY_FINAL_AT = _gauge(
    "lockstep_registry_final_timestamp_seconds", "Time of the last final block.", "registry"
)
REGISTRY_SECONDS = _histogram(
    "lockstep_registry_final_seconds", "From an entry of ours to its being final.", "registry"
)
REGISTRY_BUNDLE = _histogram("lockstep_registry_bundle_size", "Entries of our bundles.", "registry")
REGISTRY_WAITING = _gauge("lockstep_registry_waiting", "Entries not answered yet.", "registry")
REGISTRY_DONE = _counter(
    "lockstep_registry_total",
    "Applied since the start (kind: block, entry, ignored message; our cut, unknown outcome).",
    *("registry", "kind"),
)
REGISTRY_DIVERGED = _gauge(
    "lockstep_registry_diverged", "1 if a quorum certified another root than ours.", "registry"
)
REGISTRY_STOPPED = _gauge("lockstep_registry_stopped", "1 if it serves no more.", "registry")
REGISTRY_EVIDENCE = _counter(
    "lockstep_registry_evidence_total",
    "Convictions of a registry that signed two things of which it may sign one.",
    "registry",
)
REGISTRY_LOG_UP = _gauge("lockstep_registry_log_up", "1 if connected to the log.", "registry")
REGISTRY_LOG_ERRORS = _counter(
    "lockstep_registry_log_errors_total", "Tries of the log without an answer.", "registry"
)
REGISTRY_MESSAGES_WAITING = _gauge(
    "lockstep_registry_messages_waiting",
    "Messages of its members that are received and not answered yet.",
    "registry",
)
REGISTRY_OLDEST_MESSAGE = _gauge(
    "lockstep_registry_oldest_message_seconds", "How long the oldest of them waits.", "registry"
)

# ------------------------------------------------------------------ a network's supervisor

SUPERVISOR_WRONG = _gauge(
    "lockstep_supervisor_wrong",
    "Things wrong at the last look (kind: divergence, equivocation, sum, forgery, standstill, "
    "node). Must be 0.",
    "kind",
)
SUPERVISOR_HEIGHT = _gauge(
    "lockstep_supervisor_height",
    "Height of the last block that was done again (state: read, final).",
    "state",
)
SUPERVISOR_BLOCK_AT = _gauge(
    "lockstep_supervisor_block_timestamp_seconds", "Ledger time of the last block done again."
)
SUPERVISOR_LOOKS = _counter("lockstep_supervisor_looks_total", "Looks at the whole network.")
SUPERVISOR_LOOK_AT = _gauge(
    "lockstep_supervisor_look_timestamp_seconds",
    "When the last look ended. Absent before the first one.",
)
SUPERVISOR_ISSUES = _gauge(
    "lockstep_supervisor_issues", "Issues whose sum over all registries was compared."
)
SUPERVISOR_SIGNED = _gauge(
    "lockstep_supervisor_signed_height",
    "The last block in whose certificate a member's signature was seen; 0 for none.",
    "registry",
)

"""The network of registries, as their nodes see it, and a supervisor."""

from typing import Final

from k8s.monitoring.grafana import Dashboard, Panel, quantiles

REGISTRIES: Final = Dashboard(
    uid="lockstep-registries",
    title="Lockstep: Registry sync",
    panels=(
        Panel(
            title="Diverged or stopped",
            about="0 while the registry serves what a quorum has signed.",
            queries=(
                ("max by (registry) (lockstep_registry_diverged)", "{{registry}} diverged"),
                ("max by (registry) (lockstep_registry_stopped)", "{{registry}} stopped"),
            ),
            kind="stat",
            alarm=1,
        ),
        Panel(
            title="Evidence",
            about="Proofs that a member signed two things of which it may sign one.",
            queries=(("max by (registry) (lockstep_registry_evidence_total)", "{{registry}}"),),
            kind="stat",
            alarm=1,
        ),
        Panel(
            title="Age of the last final block",
            about="Without traffic a block every 5 s; while the log elects a leader up to 16 s.",
            queries=(
                (
                    "time() - max by (registry) (lockstep_registry_final_timestamp_seconds)",
                    "{{registry}}",
                ),
            ),
            unit="s",
        ),
        Panel(
            title="Height",
            about="Final is one behind certified while all is well.",
            queries=(
                ("max by (registry, state) (lockstep_registry_height)", "{{registry}} {{state}}"),
            ),
        ),
        Panel(
            title="Behind the others",
            about="Final blocks that the others have and this one has not.",
            queries=(
                (
                    'scalar(max(lockstep_registry_height{state="final"}))'
                    ' - max by (registry) (lockstep_registry_height{state="final"})',
                    "{{registry}}",
                ),
            ),
        ),
        Panel(
            title="From an entry to its being final",
            about="Two rounds of signatures and the log.",
            queries=quantiles("lockstep_registry_final_seconds", "registry"),
            unit="s",
        ),
        Panel(
            title="Entries, blocks, messages without effect",
            about="Per second, as each registry applies them.",
            queries=(
                (
                    "sum by (registry, kind) (rate(lockstep_registry_total[$__rate_interval]))",
                    "{{registry}} {{kind}}",
                ),
            ),
        ),
        Panel(
            title="Entries of a bundle",
            about="What arrives while one bundle is under way shares the next.",
            queries=quantiles("lockstep_registry_bundle_size", "registry"),
        ),
        Panel(
            title="Waiting entries",
            about="Asked of this registry and not final yet.",
            queries=(("max by (registry) (lockstep_registry_waiting)", "{{registry}}"),),
        ),
        Panel(
            title="Messages of members",
            about="Received and not answered yet. Mailboxes: *Settlement*.",
            queries=(("max by (registry) (lockstep_registry_messages_waiting)", "{{registry}}"),),
        ),
        Panel(
            title="Oldest message without an answer",
            about="Two rounds of signatures and the log; longer while a quorum is away.",
            queries=(
                ("max by (registry) (lockstep_registry_oldest_message_seconds)", "{{registry}}"),
            ),
            unit="s",
        ),
        Panel(
            title="Connection to the log",
            about="1 while there is one.",
            queries=(("max by (registry) (lockstep_registry_log_up)", "{{registry}}"),),
        ),
        Panel(
            title="Tries of the log without an answer",
            about="Per second.",
            queries=(
                (
                    "sum by (registry)"
                    " (rate(lockstep_registry_log_errors_total[$__rate_interval]))",
                    "{{registry}}",
                ),
            ),
        ),
        Panel(
            title="What a supervisor finds wrong",
            about="0 of each while what registries sign is what comes out when all is done again.",
            queries=(("max by (kind) (lockstep_supervisor_wrong)", "{{kind}}"),),
            kind="stat",
            alarm=1,
        ),
        Panel(
            title="A supervisor's height",
            about="Of the last block that it has done again; final is one behind.",
            queries=(("max by (state) (lockstep_supervisor_height)", "{{state}}"),),
        ),
        Panel(
            title="Members' signatures",
            about="How far behind the last certificate a supervisor has last seen each one's.",
            queries=(
                (
                    "scalar(max(lockstep_supervisor_signed_height))"
                    " - max by (registry) (lockstep_supervisor_signed_height)",
                    "{{registry}}",
                ),
            ),
        ),
    ),
)

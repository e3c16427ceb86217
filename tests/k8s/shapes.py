"""The operators' resources, strictly: the members that we use, nothing else is let through.

Names and types as in the definitions of CloudNativePG 1.28 (`Cluster`, `ScheduledBackup`), its
plugin Barman Cloud 0.11 (`ObjectStore`) and the operator of Prometheus 0.93 (`PodMonitor`,
`PrometheusRule`). A member that is misspelt, or new here, fails until it stands in this file.
"""

from typing import Annotated, Any, Literal

import msgspec

Quantity = Annotated[str, msgspec.Meta(pattern=r"^[0-9]+(m|Ki|Mi|Gi|Ti)?$")]
Seconds = Annotated[str, msgspec.Meta(pattern=r"^[0-9]+(ms|s|m|h|d)$")]
Label = Annotated[str, msgspec.Meta(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A member that is not named is refused."""


class Metadata(Strict, frozen=True, kw_only=True):
    name: str
    namespace: str
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Named(Strict, frozen=True, kw_only=True):
    name: str


class Keyed(Strict, frozen=True, kw_only=True):
    name: str
    key: str


class Resources(Strict, frozen=True, kw_only=True):
    requests: dict[Literal["cpu", "memory"], Quantity]
    limits: dict[Literal["cpu", "memory"], Quantity]


# ------------------------------------------------------------------ CloudNativePG


class InitDb(Strict, frozen=True, kw_only=True):
    database: str
    owner: str
    encoding: str
    dataChecksums: bool  # noqa: N815 - theirs


class Recovery(Strict, frozen=True, kw_only=True):
    source: str
    database: str
    owner: str


class Bootstrap(Strict, frozen=True, kw_only=True):
    initdb: InitDb | None = None
    recovery: Recovery | None = None


class Synchronous(Strict, frozen=True, kw_only=True):
    method: Literal["any", "first"]
    number: Annotated[int, msgspec.Meta(ge=1)]
    dataDurability: Literal["required", "preferred"]  # noqa: N815
    failoverQuorum: bool  # noqa: N815


class Postgresql(Strict, frozen=True, kw_only=True):
    parameters: dict[str, str]
    synchronous: Synchronous | None = None


class Storage(Strict, frozen=True, kw_only=True):
    size: Quantity


class Affinity(Strict, frozen=True, kw_only=True):
    enablePodAntiAffinity: bool  # noqa: N815
    podAntiAffinityType: Literal["preferred", "required"]  # noqa: N815
    topologyKey: str  # noqa: N815


class Plugin(Strict, frozen=True, kw_only=True):
    name: str
    isWALArchiver: bool  # noqa: N815
    parameters: dict[str, str]


class Origin(Strict, frozen=True, kw_only=True):
    name: str
    parameters: dict[str, str]


class ExternalCluster(Strict, frozen=True, kw_only=True):
    name: str
    plugin: Origin


class ClusterSpec(Strict, frozen=True, kw_only=True):
    instances: Annotated[int, msgspec.Meta(ge=1)]
    bootstrap: Bootstrap
    postgresql: Postgresql
    storage: Storage
    walStorage: Storage  # noqa: N815
    affinity: Affinity
    resources: Resources
    primaryUpdateStrategy: Literal["unsupervised", "supervised"]  # noqa: N815
    primaryUpdateMethod: Literal["restart", "switchover"]  # noqa: N815
    plugins: tuple[Plugin, ...] = ()
    externalClusters: tuple[ExternalCluster, ...] = ()  # noqa: N815


class ScheduledBackupSpec(Strict, frozen=True, kw_only=True):
    schedule: Annotated[str, msgspec.Meta(pattern=r"^(\S+ ){5}\S+$")]  # six fields: seconds first
    cluster: Named
    method: Literal["plugin"]
    pluginConfiguration: Named  # noqa: N815
    immediate: bool
    backupOwnerReference: Literal["none", "self", "cluster"]  # noqa: N815


class S3Credentials(Strict, frozen=True, kw_only=True):
    accessKeyId: Keyed  # noqa: N815
    secretAccessKey: Keyed  # noqa: N815


class Wal(Strict, frozen=True, kw_only=True):
    compression: Literal["gzip", "bzip2", "snappy", "lz4", "xz", "zstd"]
    maxParallel: Annotated[int, msgspec.Meta(ge=1)]  # noqa: N815


class Data(Strict, frozen=True, kw_only=True):
    compression: Literal["gzip", "bzip2", "snappy"]


class StoreConfiguration(Strict, frozen=True, kw_only=True):
    destinationPath: Annotated[str, msgspec.Meta(min_length=1)]  # noqa: N815
    s3Credentials: S3Credentials  # noqa: N815
    wal: Wal
    data: Data


class ObjectStoreSpec(Strict, frozen=True, kw_only=True):
    configuration: StoreConfiguration
    retentionPolicy: Annotated[str, msgspec.Meta(pattern=r"^[1-9][0-9]*[dwm]$")]  # noqa: N815


# ------------------------------------------------------------------ the operator of Prometheus


class Expression(Strict, frozen=True, kw_only=True):
    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: tuple[str, ...] = ()


class Selector(Strict, frozen=True, kw_only=True):
    matchLabels: dict[str, str] = {}  # noqa: N815
    matchExpressions: tuple[Expression, ...] = ()  # noqa: N815


class Relabeling(Strict, frozen=True, kw_only=True):
    sourceLabels: tuple[Label, ...]  # noqa: N815
    targetLabel: Label  # noqa: N815
    regex: str = "(.*)"
    replacement: str = "$1"


class Endpoint(Strict, frozen=True, kw_only=True):
    port: str
    interval: Seconds
    scrapeTimeout: Seconds = "10s"  # noqa: N815
    relabelings: tuple[Relabeling, ...] = ()


class PodMonitorSpec(Strict, frozen=True, kw_only=True):
    selector: Selector
    podMetricsEndpoints: tuple[Endpoint, ...]  # noqa: N815
    jobLabel: str = ""  # noqa: N815


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    expr: str
    record: str | None = None
    alert: str | None = None
    for_: Seconds | None = msgspec.field(default=None, name="for")
    labels: dict[Label, str] = {}
    annotations: dict[Label, str] = {}


class Group(Strict, frozen=True, kw_only=True):
    name: Annotated[str, msgspec.Meta(min_length=1)]
    rules: tuple[Rule, ...]
    interval: Seconds | None = None


class RuleSpec(Strict, frozen=True, kw_only=True):
    groups: tuple[Group, ...]


SPECS: dict[tuple[str, str], Any] = {
    ("postgresql.cnpg.io/v1", "Cluster"): ClusterSpec,
    ("postgresql.cnpg.io/v1", "ScheduledBackup"): ScheduledBackupSpec,
    ("barmancloud.cnpg.io/v1", "ObjectStore"): ObjectStoreSpec,
    ("monitoring.coreos.com/v1", "PodMonitor"): PodMonitorSpec,
    ("monitoring.coreos.com/v1", "PrometheusRule"): RuleSpec,
}


class Custom(Strict, frozen=True, kw_only=True):
    """Any of them, before its `spec` is looked at."""

    apiVersion: str  # noqa: N815
    kind: str
    metadata: Metadata
    spec: dict[str, Any]


def check(resource: dict[str, Any]) -> None:
    """Raise msgspec.ValidationError where an operator's resource is not of its shape."""
    whole = msgspec.convert(resource, Custom)
    msgspec.convert(whole.spec, SPECS[whole.apiVersion, whole.kind])

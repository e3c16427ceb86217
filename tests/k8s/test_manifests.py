"""What kustomize renders is valid, restricted, and fits together."""

import base64
import hashlib
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import msgspec
import pytest

from gateway.config import Settings, ShutdownSettings, check, read
from gateway.process.ledger import LedgerProcess
from tests.k8s import shapes
from tests.k8s.conftest import Resource, render

KUBERNETES = "1.32"
"""The oldest release that the README names; `preStop.sleep` is on by default since 1.30."""

WORKLOADS = ("StatefulSet", "Deployment", "Job")


def of(resources: list[Resource], *kinds: str) -> list[Resource]:
    """The resources of some kinds; there is at least one."""
    found = [resource for resource in resources if resource["kind"] in kinds]
    assert found, kinds
    return found


def services(resources: list[Resource]) -> list[Resource]:
    """The workloads that serve."""
    return of(resources, "StatefulSet", "Deployment")


def pod(workload: Resource) -> dict[str, Any]:
    spec: dict[str, Any] = workload["spec"]["template"]["spec"]
    return spec


def labels(workload: Resource) -> dict[str, str]:
    found: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return found


def place(resource: Resource) -> tuple[str, str, str]:
    """Kind, namespace, name: what makes it one."""
    metadata = resource["metadata"]
    return resource["kind"], metadata.get("namespace", ""), metadata["name"]


# ------------------------------------------------------------------ validity


def test_every_resource_is_of_its_schema(resources: list[Resource]) -> None:
    for resource in resources:
        if (resource["apiVersion"], resource["kind"]) in shapes.SPECS:
            shapes.check(resource)
        else:
            kubernetes_validate.validate(resource, KUBERNETES, strict=True)


@pytest.mark.parametrize("kind", ["Cluster", "PodMonitor", "PrometheusRule", "ScheduledBackup"])
def test_a_misspelt_member_of_an_operators_resource_is_found(
    kind: str, overlays: dict[str, list[Resource]]
) -> None:
    resource = of(overlays["production"], kind)[0]
    with pytest.raises(msgspec.ValidationError, match="unknown field `instanses`"):
        shapes.check(resource | {"spec": resource["spec"] | {"instanses": 3}})


def test_a_misspelt_member_of_kubernetes_own_is_found(
    overlays: dict[str, list[Resource]],
) -> None:
    resource = of(overlays["production"], "Deployment")[0]
    wrong = resource | {"spec": resource["spec"] | {"replicaz": 3}}
    with pytest.raises(kubernetes_validate.ValidationError, match="replicaz"):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


def test_nothing_is_there_twice_and_all_of_it_is_in_a_namespace(resources: list[Resource]) -> None:
    places = [place(resource) for resource in resources]
    assert len(places) == len(set(places))
    assert [p for p in places if p[0] != "Namespace" and not p[1]] == []
    namespaces = {name for kind, _, name in places if kind == "Namespace"} | {"monitoring"}
    assert {p[1] for p in places if p[1]} <= namespaces


# ------------------------------------------------------------------ policy


def test_namespaces_admit_restricted_pods_only(resources: list[Resource]) -> None:
    for namespace in of(resources, "Namespace"):
        levels = namespace["metadata"]["labels"]
        assert levels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_every_container_is_restricted(resources: list[Resource]) -> None:
    for workload in of(resources, *WORKLOADS):
        spec = pod(workload)
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & spec.keys()
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_memory_is_bounded_and_cpu_is_asked_for_but_not_throttled(
    resources: list[Resource],
) -> None:
    for workload in of(resources, *WORKLOADS):
        for container in pod(workload)["containers"]:
            asked, bound = container["resources"]["requests"], container["resources"]["limits"]
            assert set(asked) == {"cpu", "memory"}
            assert set(bound) == {"memory"}


def test_memory_is_reserved_where_it_matters(overlays: dict[str, list[Resource]]) -> None:
    for workload in of(overlays["production"], *WORKLOADS):
        for container in pod(workload)["containers"]:
            both = container["resources"]
            assert both["requests"]["memory"] == both["limits"]["memory"]


def test_images_are_of_one_named_release(resources: list[Resource]) -> None:
    images = {c["image"] for w in of(resources, *WORKLOADS) for c in pod(w)["containers"]}
    (image,) = images
    assert "@sha256:" in image or image.partition(":")[2] not in ("", "latest")


def test_what_serves_is_probed_on_its_own_port(resources: list[Resource]) -> None:
    for workload in services(resources):
        (container,) = pod(workload)["containers"]
        probes = {
            "startupProbe": "/startupz",
            "livenessProbe": "/livez",
            "readinessProbe": "/readyz",
        }
        for probe, path in probes.items():
            assert container[probe]["httpGet"] == {"path": path, "port": "metrics"}


def test_there_is_time_to_end(resources: list[Resource]) -> None:
    from gateway.process.serving import DRAIN_SECONDS

    for workload in services(resources):
        (container,) = pod(workload)["containers"]
        waits = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        grace = pod(workload)["terminationGracePeriodSeconds"]
        # What is open is finished, then the requests of both ports, one after the other.
        assert grace >= waits + ShutdownSettings().finish_seconds + 2 * DRAIN_SECONDS + 10


def test_secrets_are_files(resources: list[Resource]) -> None:
    for workload in of(resources, *WORKLOADS):
        for container in pod(workload)["containers"]:
            assert "envFrom" not in container
            for variable in container.get("env", []):
                assert "secretKeyRef" not in variable.get("valueFrom", {}), variable
            text = " ".join(container["args"]) + str(container.get("env"))
            assert "postgresql://" not in text
        mounted = [v for v in pod(workload)["volumes"] if "secret" in v or "projected" in v]
        assert mounted
        for volume in mounted:
            mode = (volume.get("secret") or volume["projected"])["defaultMode"]
            assert mode & 0o007 == 0, "others read no secret"


def selected(selector: dict[str, Any], of_pod: dict[str, str]) -> bool:
    wanted = selector.get("matchLabels", {})
    return all(of_pod.get(key) == value for key, value in wanted.items())


def test_every_pod_is_denied_by_default_and_has_arrows_of_its_own(
    resources: list[Resource],
) -> None:
    policies = of(resources, "NetworkPolicy")
    pods = [(w["metadata"]["namespace"], labels(w)) for w in of(resources, *WORKLOADS)]
    pods += [
        (c["metadata"]["namespace"], {"cnpg.io/cluster": c["metadata"]["name"]})
        for c in of(resources, "Cluster")
    ]
    for namespace, its in pods:
        ours = [p["spec"] for p in policies if p["metadata"]["namespace"] == namespace]
        denial = [p for p in ours if not p["podSelector"] and "ingress" not in p]
        assert any(set(p["policyTypes"]) == {"Ingress", "Egress"} for p in denial)
        assert any(p["podSelector"] and selected(p["podSelector"], its) for p in ours)


def test_no_arrow_comes_from_anywhere(resources: list[Resource]) -> None:
    for policy in of(resources, "NetworkPolicy"):
        for arrow in policy["spec"].get("ingress", []):
            assert arrow["from"] and arrow["ports"]
            assert all(source for source in arrow["from"])


def test_only_a_database_may_speak_to_anywhere(resources: list[Resource]) -> None:
    for policy in of(resources, "NetworkPolicy"):
        open_ended = [e for e in policy["spec"].get("egress", []) if "to" not in e]
        assert not open_ended or policy["metadata"]["name"] == "postgres"


# ------------------------------------------------------------------ how it fits together


def configuration(
    resources: list[Resource], workload: Resource, folder: Path
) -> tuple[Settings | LedgerProcess, dict[str, Any]]:
    """A service's configuration, as read by the code that reads it, and its container."""
    (container,) = pod(workload)["containers"]
    volume = next(v for v in pod(workload)["volumes"] if "configMap" in v)
    name = volume["configMap"]["name"]
    namespace = workload["metadata"]["namespace"]
    (content,) = [
        resource["data"]
        for resource in of(resources, "ConfigMap")
        if place(resource) == ("ConfigMap", namespace, name)
    ]
    place_in_pod = PurePosixPath(container["args"][container["args"].index("--config") + 1])
    mount = next(m for m in container["volumeMounts"] if m["name"] == volume["name"])
    assert str(place_in_pod.parent) == mount["mountPath"]
    file = folder / f"{namespace}.toml"
    file.write_text(content[place_in_pod.name])
    kind = {"gateway": Settings, "ledger": LedgerProcess}[container["args"][0]]
    return read(file, kind), container


def test_configurations_are_read_and_listen_where_their_pods_say(
    resources: list[Resource], tmp_path: Path
) -> None:
    for workload in services(resources):
        settings, container = configuration(resources, workload, tmp_path)
        if isinstance(settings, Settings):
            check(settings)
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert settings.listen == f"0.0.0.0:{ports['http']}"
        assert settings.metrics_listen == f"0.0.0.0:{ports['metrics']}"


def mounted_files(resources: list[Resource], workload: Resource) -> dict[str, bytes | None]:
    """The secrets' files of a pod by path; None where another one makes the content."""
    (container,) = pod(workload)["containers"]
    namespace = workload["metadata"]["namespace"]
    made = {
        place(resource): resource["data"] for resource in resources if resource["kind"] == "Secret"
    }
    files: dict[str, bytes | None] = {}
    for mount in container["volumeMounts"]:
        volume = next(v for v in pod(workload)["volumes"] if v["name"] == mount["name"])
        for source in volume.get("projected", {}).get("sources", []):
            files |= {f"{mount['mountPath']}/{i['path']}": None for i in source["secret"]["items"]}
        if "secret" in volume:
            data = made.get(("Secret", namespace, volume["secret"]["secretName"]), {})
            for key, text in data.items():
                files[f"{mount['mountPath']}/{key}"] = base64.b64decode(text)
    return files


def test_what_a_configuration_names_is_mounted(
    resources: list[Resource], overlay: str, tmp_path: Path
) -> None:
    for workload in services(resources):
        settings, container = configuration(resources, workload, tmp_path)
        files = mounted_files(resources, workload)
        assert settings.dsn.removeprefix("file:") in files
        certificates = {v["name"]: v.get("value") for v in container["env"]}["PGSSLROOTCERT"]
        assert certificates in files
        named = (
            [settings.master_file, *(a.token_file for a in settings.ledgers.values())]
            if isinstance(settings, Settings)
            else [settings.key_file]
        )
        mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
        for path in named:
            assert str(path.parent) in mounts
            # In production the secret comes from elsewhere: its keys are in the README.
            assert overlay == "production" or files[str(path)], path


def test_the_gateway_may_and_can_reach_every_ledger(
    resources: list[Resource], overlay: str, tmp_path: Path
) -> None:
    (gateway,) = of(resources, "StatefulSet")
    settings, _ = configuration(resources, gateway, tmp_path)
    assert isinstance(settings, Settings)
    files = mounted_files(resources, gateway)
    for name, access in settings.ledgers.items():
        url = urlsplit(access.url)
        assert url.hostname is not None
        service_name, namespace, _ = url.hostname.split(".")
        service = next(r for r in resources if place(r) == ("Service", namespace, service_name))
        assert service["spec"]["ports"][0]["port"] == (url.port or 80)
        ledger = next(
            w
            for w in of(resources, "Deployment")
            if w["metadata"]["namespace"] == namespace
            and service["spec"]["selector"].items() <= labels(w).items()
        )
        its, container = configuration(resources, ledger, tmp_path)
        assert isinstance(its, LedgerProcess)
        assert its.ledger == name
        port = {p["name"]: p["containerPort"] for p in container["ports"]}["http"]
        assert port in allowed_out(resources, gateway, ledger)
        if overlay != "production":
            token = files[str(access.token_file)]
            assert token is not None
            assert hashlib.sha256(token).hexdigest() in {t.sha256 for t in its.tokens}


def allowed_out(resources: list[Resource], source: Resource, target: Resource) -> set[int]:
    """Ports that a pod may reach at another one, by its own namespace's policies."""
    spaces = {n["metadata"]["name"]: n["metadata"]["labels"] for n in of(resources, "Namespace")}
    found: set[int] = set()
    for policy in of(resources, "NetworkPolicy"):
        if policy["metadata"]["namespace"] != source["metadata"]["namespace"]:
            continue
        if not selected(policy["spec"]["podSelector"], labels(source)):
            continue
        for arrow in policy["spec"].get("egress", []):
            for to in arrow.get("to", []):
                space = to.get("namespaceSelector")
                if space is None or not selected(space, spaces[target["metadata"]["namespace"]]):
                    continue
                if selected(to.get("podSelector", {}), labels(target)):
                    found |= {port["port"] for port in arrow["ports"]}
    return found


def test_migrations_are_those_of_the_institution(resources: list[Resource]) -> None:
    serving = {w["metadata"]["namespace"]: labels(w) for w in services(resources)}
    for job in of(resources, "Job"):
        what = serving[job["metadata"]["namespace"]]["app.kubernetes.io/name"]
        assert pod(job)["containers"][0]["args"][:2] == ["migrate", what]


def test_replicas_have_names_of_their_own(resources: list[Resource]) -> None:
    (gateway,) = of(resources, "StatefulSet")
    (container,) = pod(gateway)["containers"]
    names = {v["name"]: v for v in container["env"]}["LOCKSTEP_REPLICA"]
    assert names["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}


def test_production_stands_on_three_of_everything_that_decides(
    overlays: dict[str, list[Resource]],
) -> None:
    production = overlays["production"]
    (scaler,) = of(production, "HorizontalPodAutoscaler")
    (gateway,) = of(production, "StatefulSet")
    assert scaler["spec"]["minReplicas"] >= 3
    assert "replicas" not in gateway["spec"], "or an apply would undo the autoscaler"
    assert scaler["spec"]["scaleTargetRef"]["name"] == gateway["metadata"]["name"]
    for cluster in of(production, "Cluster"):
        assert cluster["spec"]["instances"] >= 3
        assert cluster["spec"]["postgresql"]["synchronous"] == {
            "method": "any",
            "number": 1,
            "dataDurability": "required",
            "failoverQuorum": True,
        }
        assert cluster["spec"]["plugins"][0]["isWALArchiver"] is True
    backed_up = {b["metadata"]["namespace"] for b in of(production, "ScheduledBackup")}
    assert backed_up == {c["metadata"]["namespace"] for c in of(production, "Cluster")}


def test_connections_of_all_replicas_fit_into_the_database(
    overlays: dict[str, list[Resource]],
) -> None:
    from gateway.engine import POOL_SIZE

    (scaler,) = of(overlays["production"], "HorizontalPodAutoscaler")
    # The pool, the listener; and twice, for those of a lost node linger at the server.
    most = 2 * scaler["spec"]["maxReplicas"] * (POOL_SIZE + 1)
    for cluster in of(overlays["production"], "Cluster"):
        assert int(cluster["spec"]["postgresql"]["parameters"]["max_connections"]) >= most + 20


def test_nothing_that_serves_in_numbers_is_without_a_disruption_budget(
    resources: list[Resource],
) -> None:
    budgets = [r for r in resources if r["kind"] == "PodDisruptionBudget"]
    for workload in services(resources):
        if workload["spec"].get("replicas", 3) == 1:
            continue
        assert any(
            b["metadata"]["namespace"] == workload["metadata"]["namespace"]
            and selected(b["spec"]["selector"], labels(workload))
            for b in budgets
        )


def test_a_restore_changes_nothing_but_where_the_database_comes_from(
    copied: Path,
) -> None:
    folder = copied / "overlays" / "production" / "gateway"
    file = folder / "kustomization.yaml"
    text = file.read_text()
    backup = "  - ../../../components/backup\n"
    assert backup in text
    file.write_text(text.replace(backup, backup + "  - ../../../components/recovery\n"))
    try:
        (cluster,) = of(render(folder), "Cluster")
    finally:
        file.write_text(text)
    shapes.check(cluster)
    before = next(c for c in of(render(folder), "Cluster") if c["metadata"] == cluster["metadata"])
    assert cluster["spec"].pop("bootstrap")["recovery"]["source"] == "origin"
    (origin,) = cluster["spec"].pop("externalClusters")
    (archiver,) = cluster["spec"]["plugins"]
    assert archiver["parameters"].pop("serverName") != origin["plugin"]["parameters"]["serverName"]
    before["spec"].pop("bootstrap")
    assert cluster == before

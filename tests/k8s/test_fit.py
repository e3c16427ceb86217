"""What kustomize renders fits together: names, ports, files, arrows, code."""

import base64
import hashlib
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from gateway.config import Settings, check, read
from gateway.process.ledger import LedgerProcess
from tests.k8s import shapes
from tests.k8s.conftest import Resource, render
from tests.k8s.resources import labels, of, place, pod, selected, services


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
    from gateway.sql import POOL_SIZE

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

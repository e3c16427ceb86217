"""What kustomize renders is valid, and restricted."""

import kubernetes_validate
import msgspec
import pytest

from gateway.config import ShutdownSettings
from tests.k8s import shapes
from tests.k8s.conftest import Resource
from tests.k8s.resources import WORKLOADS, labels, of, place, pod, selected, services

KUBERNETES = "1.32"
"""The oldest release that the README names; `preStop.sleep` is on by default since 1.30."""


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

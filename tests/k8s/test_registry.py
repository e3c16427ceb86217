"""A registry's overlay: what every manifest must be, and that it fits the code that reads it."""

import pytest

from gateway.config import read
from gateway.embedded.nats_settings import render as rendered
from gateway.icsd_node.settings import NodeProcess
from gateway.process.icsd_log import LogProcess
from k8s.arrange import OVERLAYS
from tests.k8s import test_manifests as manifests
from tests.k8s.conftest import Resource, render
from tests.k8s.resources import of, pod, services

FOLDER = OVERLAYS / "registry"

ALIKE = (
    manifests.test_every_resource_is_of_its_schema,
    manifests.test_nothing_is_there_twice_and_all_of_it_is_in_a_namespace,
    manifests.test_namespaces_admit_restricted_pods_only,
    manifests.test_every_container_is_restricted,
    manifests.test_memory_is_bounded_and_cpu_is_asked_for_but_not_throttled,
    manifests.test_images_are_of_one_named_release,
    manifests.test_secrets_are_files,
    manifests.test_every_pod_is_denied_by_default_and_has_arrows_of_its_own,
    manifests.test_no_arrow_comes_from_anywhere,
    manifests.test_only_a_database_may_speak_to_anywhere,
)


@pytest.fixture(scope="module")
def registry() -> list[Resource]:
    return render(FOLDER)


@pytest.mark.parametrize("rule", ALIKE, ids=lambda rule: rule.__name__)
def test_it_is_as_every_overlay_must_be(registry: list[Resource], rule: object) -> None:
    rule(registry)  # type: ignore[operator]


def workload(resources: list[Resource], name: str) -> Resource:
    [found] = [w for w in services(resources) if w["metadata"]["name"] == name]
    return found


def ports(resource: Resource) -> dict[str, int]:
    [container] = pod(resource)["containers"]
    return {port["name"]: port["containerPort"] for port in container["ports"]}


def test_the_nodes_configuration_is_read_and_fits_its_pod(registry: list[Resource]) -> None:
    settings = read(FOLDER / "registry.toml", NodeProcess)
    node = workload(registry, "registry")
    [container] = pod(node)["containers"]
    assert container["args"] == ["icsd-node", "--config", "/etc/lockstep/registry.toml"]
    assert settings.listen == f"0.0.0.0:{ports(node)['http']}"
    assert settings.metrics_listen == f"0.0.0.0:{ports(node)['metrics']}"
    assert settings.network().epoch.quorum == 2
    assert settings.messages is not None
    assert list(settings.correspondents(settings.messages).members.values()) == ["ALTYKZK0XXX"]
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert settings.log.tls is not None
    for path in (settings.key_file, settings.log.seed_file, settings.log.tls.certificate):
        assert str(path.parent) in mounts
    assert node["spec"]["replicas"] == 1, "one process signs"
    assert node["spec"]["strategy"] == {"type": "Recreate"}, "never two at once"


def test_the_logs_configuration_is_read_and_fits_its_pod(registry: list[Resource]) -> None:
    settings = read(FOLDER / "log.toml", LogProcess)
    log = workload(registry, "icsd-log")
    [container] = pod(log)["containers"]
    assert container["args"] == ["icsd-log", "--config", "/etc/lockstep/log.toml"]
    assert settings.server.cluster is not None
    assert settings.server.listen == f"0.0.0.0:{ports(log)['log']}"
    assert settings.server.monitor == f"0.0.0.0:{ports(log)['monitor']}"
    assert settings.server.cluster.listen == f"0.0.0.0:{ports(log)['cluster']}"
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    store = str(settings.directory)
    assert store in mounts and "readOnly" not in mounts[store]
    [claim] = log["spec"]["volumeClaimTemplates"]
    wanted = claim["spec"]["resources"]["requests"]["storage"]
    assert settings.server.store_bytes_max < int(wanted.removesuffix("Gi")) << 30
    assert '"sync_interval": "always"' in rendered(settings.server)


def test_all_servers_and_registries_are_named_alike() -> None:
    node = read(FOLDER / "registry.toml", NodeProcess)
    log = read(FOLDER / "log.toml", LogProcess)
    assert {r.name for r in node.registries} == set(log.server.registries)
    assert log.server.cluster is not None and log.stream is not None
    assert len(node.log.servers) == len(node.log.monitors) == log.stream.replicas == 3
    assert len(log.server.cluster.routes) == 2


def test_the_migrations_are_a_registrys(registry: list[Resource]) -> None:
    [job] = of(registry, "Job")
    assert pod(job)["containers"][0]["args"][:2] == ["migrate", "registry"]

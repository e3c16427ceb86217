"""A registry's overlay: what every manifest must be, and that it fits the code that reads it."""

import pytest

from gateway.cli import registry_watch
from gateway.config import read
from gateway.embedded.nats_settings import render as rendered
from gateway.icsd_node.settings import Genesis, NodeProcess
from gateway.process.icsd_log import LogProcess
from k8s.arrange import OVERLAYS
from k8s.monitoring import alerts
from ledgers.parties import Role
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
    assert settings.peers, "a node that stops asks where its book differs"
    secrets = (settings.key_file, settings.log.seed_file, settings.log.tls.certificate)
    for path in (*secrets, *(peer.token_file for peer in settings.peers)):
        assert str(path.parent) in mounts
    assert node["spec"]["replicas"] == 1, "one process signs"
    assert node["spec"]["strategy"] == {"type": "Recreate"}, "never two at once"


def test_the_supervisor_is_started_as_its_command_takes_it(registry: list[Resource]) -> None:
    supervisor = workload(registry, "supervisor")
    [container] = pod(supervisor)["containers"]
    group, name, *words = container["args"]
    assert (group, name) == ("registry", "watch")
    given = registry_watch.command.make_context("watch", words).params
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert {str(given["genesis"].parent), *(str(t.parent) for t in given["tokens"])} == set(mounts)
    volumes = {volume["name"]: volume for volume in pod(supervisor)["volumes"]}
    mounted = volumes[mounts[str(given["genesis"].parent)]]["configMap"]["name"]
    assert mounted in {place["metadata"]["name"] for place in of(registry, "ConfigMap")}
    genesis = read(FOLDER / given["genesis"].name, Genesis)
    assert len(given["urls"]) == len(genesis.network().epoch.members) == 3
    assert given["metrics_host"] == "0.0.0.0"
    assert given["metrics_port"] == ports(supervisor)["metrics"]
    assert not given["once"] and given["every"] > 0
    manifests.test_what_serves_is_probed_on_its_own_port([supervisor])
    node = read(FOLDER / "registry.toml", NodeProcess)
    assert Role.SUPERVISOR in {token.role for token in node.tokens}


def test_whoever_has_alerts_is_scraped(registry: list[Resource]) -> None:
    [monitor] = [m for m in of(registry, "PodMonitor") if m["metadata"]["name"] == "lockstep"]
    [rule] = monitor["spec"]["selector"]["matchExpressions"]
    assert monitor["spec"]["jobLabel"] == rule["key"]
    [down] = [alert for alert in alerts.WATCHING if alert.alert == "LockstepTargetDown"]
    assert f'job=~"{"|".join(rule["values"])}"' in down.expr


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

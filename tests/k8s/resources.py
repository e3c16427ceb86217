"""Looking at rendered resources."""

from typing import Any

from tests.k8s.conftest import Resource

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


def selected(selector: dict[str, Any], of_pod: dict[str, str]) -> bool:
    wanted = selector.get("matchLabels", {})
    return all(of_pod.get(key) == value for key, value in wanted.items())

"""The manifests for Kubernetes against its own schemas, and KubeRay's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from services.make_secrets import NAMES

FOLDER = Path(__file__).parents[2] / "services" / "kubernetes"
SCHEMAS = Path(__file__).parent / "kuberay"
VERSION = "1.31"


def documents() -> list[Any]:
    found = []
    for path in sorted(FOLDER.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            name = document.get("metadata", {}).get("name", "")
            found.append(pytest.param(document, id=f"{path.name}-{document['kind']}-{name}"))
    return found


def closed(schema: Any) -> Any:
    """The schema with what it does not name forbidden, as `kubectl apply` warns of it."""
    if isinstance(schema, dict):
        schema = {key: closed(value) for key, value in schema.items()}
        if "properties" in schema and "x-kubernetes-preserve-unknown-fields" not in schema:
            # Of metadata, the schema of a custom resource says nothing.
            return {**schema, "additionalProperties": schema.get("additionalProperties", False)}
    return schema


def pod_templates(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if "containers" in node.get("spec", {}):
            yield node
        for value in node.values():
            yield from pod_templates(value)
    elif isinstance(node, list):
        for value in node:
            yield from pod_templates(value)


@pytest.mark.parametrize("document", documents())
def test_every_manifest_is_valid(document: dict[str, Any]) -> None:
    if document["kind"] == "Kustomization":
        for file in document["resources"]:
            assert (FOLDER / file).exists(), file
    elif document["apiVersion"] == "ray.io/v1":
        schema = json.loads((SCHEMAS / f"{document['kind'].lower()}.json").read_text())
        jsonschema.validate(document, closed(schema))
        for template in pod_templates(document):
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, **template}
            kubernetes_validate.validate(pod, VERSION, strict=True)
    else:
        kubernetes_validate.validate(document, VERSION, strict=True)


def test_a_mistake_is_found() -> None:
    cluster = yaml.safe_load((FOLDER / "raycluster.yaml").read_text())
    cluster["spec"]["workerGroupSpecs"][0]["replica"] = 2
    with pytest.raises(jsonschema.ValidationError, match="replica"):
        test_every_manifest_is_valid(cluster)
    cluster = yaml.safe_load((FOLDER / "raycluster.yaml").read_text())
    cluster["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["envs"] = []
    with pytest.raises(kubernetes_validate.ValidationError, match="envs"):
        test_every_manifest_is_valid(cluster)


@pytest.mark.parametrize("document", documents())
def test_secrets_are_named_and_never_given(document: dict[str, Any]) -> None:
    assert document["kind"] != "Secret"
    known = {("snn-sweep", name) for name in NAMES} | {("ray-token", "auth_token")}
    for template in pod_templates(document):
        spec = template["spec"]
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            for variable in container.get("env", []):
                if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                    assert (reference["name"], reference["key"]) in known
                elif variable["name"].endswith(("PASSWORD", "TOKEN", "SECRET_KEY")):
                    pytest.fail(f"{variable['name']} is given in the manifest")
        for volume in spec.get("volumes", []):
            for item in volume.get("secret", {}).get("items", []):
                assert (volume["secret"]["secretName"], item["key"]) in known


@pytest.mark.parametrize("document", documents())
def test_what_is_ours_is_confined(document: dict[str, Any]) -> None:
    for template in pod_templates(document):
        spec = template["spec"]
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            if container["image"] == "snn-sweep":
                assert spec["securityContext"]["runAsNonRoot"] is True
                assert spec["automountServiceAccountToken"] is False
                context = container["securityContext"]
                assert context["allowPrivilegeEscalation"] is False
                assert context["capabilities"]["drop"] == ["ALL"]

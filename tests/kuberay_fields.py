"""The fields of KubeRay's resources (ray.io/v1) that our manifests may use, as JSON Schema; every other is refused.

Written after the API reference of KubeRay 1.6. Pod templates, Kubernetes' own part, are left open here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
SWITCH: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
OPEN: Schema = {"type": "object"}


def closed(fields: Mapping[str, Schema], *, required: Sequence[str] = ()) -> Schema:
    """An object with these fields and no others."""
    return {
        "type": "object",
        "properties": dict(fields),
        "required": list(required),
        "additionalProperties": False,
    }


HEAD = closed({"rayStartParams": TEXTS, "template": OPEN, "serviceType": TEXT}, required=["rayStartParams", "template"])
WORKERS = closed(
    {
        "groupName": TEXT,
        "replicas": COUNT,
        "minReplicas": COUNT,
        "maxReplicas": COUNT,
        "numOfHosts": COUNT,
        "idleTimeoutSeconds": COUNT,
        "rayStartParams": TEXTS,
        "template": OPEN,
    },
    required=["groupName", "minReplicas", "maxReplicas", "template"],
)
AUTOSCALER = closed(
    {
        "idleTimeoutSeconds": COUNT,
        "upscalingMode": {"enum": ["Default", "Aggressive", "Conservative"]},
        "version": {"enum": ["v1", "v2"]},
        "resources": OPEN,
        "securityContext": OPEN,
    }
)
CLUSTER = closed(
    {
        "rayVersion": TEXT,
        "enableInTreeAutoscaling": SWITCH,
        "autoscalerOptions": AUTOSCALER,
        "authOptions": closed({"mode": {"enum": ["disabled", "token"]}, "secretName": TEXT}),
        "headGroupSpec": HEAD,
        "workerGroupSpecs": {"type": "array", "items": WORKERS},
    },
    required=["headGroupSpec"],
)
JOB = closed(
    {
        "entrypoint": TEXT,
        "runtimeEnvYAML": TEXT,
        "backoffLimit": COUNT,
        "activeDeadlineSeconds": {"type": "integer", "minimum": 1},
        "shutdownAfterJobFinishes": SWITCH,
        "ttlSecondsAfterFinished": COUNT,
        "submissionMode": {"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
        "suspend": SWITCH,
        "rayClusterSpec": CLUSTER,
    }
)
SERVICE = closed({"serveConfigV2": TEXT, "rayClusterConfig": CLUSTER})


def resource(kind: str, spec: Schema) -> Schema:
    """A whole manifest of this kind."""
    return closed(
        {
            "apiVersion": {"const": "ray.io/v1"},
            "kind": {"const": kind},
            "metadata": closed({"name": TEXT, "namespace": TEXT, "labels": TEXTS}, required=["name", "namespace"]),
            "spec": spec,
        },
        required=["apiVersion", "kind", "metadata", "spec"],
    )


SCHEMAS: dict[str, Schema] = {
    "RayCluster": resource("RayCluster", CLUSTER),
    "RayJob": resource("RayJob", JOB),
    "RayService": resource("RayService", SERVICE),
}

"""What exporters call things. Names changed over the years and behind Prometheus; all of them are accepted."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from billing.fleet.gpu import DeviceKey

UUID: Final = ("UUID", "uuid", "gpu_uuid")
GPU_I_ID: Final = ("GPU_I_ID", "gpu_i_id")
PROFILE: Final = ("GPU_I_PROFILE", "gpu_i_profile")
MODEL: Final = ("modelName", "model_name", "model", "name")
HOST: Final = ("Hostname", "hostname", "node", "kubernetes_node")
NAMESPACE: Final = ("exported_namespace", "pod_namespace", "namespace")

_EXPORTER_POD: Final = re.compile(r"(nvidia-)?dcgm-exporter-[a-z0-9-]+")
_EXPORTER: Final = ("nvidia-dcgm-exporter", "dcgm-exporter", "exporter")
_TEXT: Final = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,252}")


def first(labels: Mapping[str, str], names: Sequence[str]) -> str:
    """The first of these labels that is set; empty when none is."""
    return next((value for name in names if (value := labels.get(name))), "")


@dataclass(frozen=True, slots=True)
class Sample:
    """Whose sample it is: the device, where it is, and the label of its holder (empty: idle)."""

    key: DeviceKey
    model: str
    host: str
    label: str


class LabelRules:
    """Turns the labels of one series into a device and its holder."""

    def __init__(self, tenant_label: str) -> None:
        """`tenant_label` is the exporter's label that says who holds a device, such as `namespace` or `hpc_job`."""
        self._holder = NAMESPACE if tenant_label == "namespace" else (f"exported_{tenant_label}", tenant_label)

    def sample(self, labels: Mapping[str, str], instance: str) -> Sample | None:
        """None when no device is named, or a name is not plain text: nothing can be billed on it."""
        uuid = first(labels, UUID)
        key = DeviceKey(uuid, first(labels, GPU_I_ID), first(labels, PROFILE))
        host = first(labels, HOST) or instance.rpartition(":")[0] or instance
        holder = self._holder_of(labels)
        texts = (uuid, host, *(text for text in (key.gpu_i_id, key.profile, holder) if text))
        if not all(_TEXT.fullmatch(text) for text in texts):
            return None
        return Sample(key, first(labels, MODEL) or "unknown", host, holder)

    def _holder_of(self, labels: Mapping[str, str]) -> str:
        """With honor_labels the target's own labels fill the gaps, so an idle GPU seems to be held by the exporter.

        Only then: an `exported_` label is always the exporter's word about a workload. Pod and container must both be the
        exporter's, for a tenant may call its container what it likes.
        """
        for name in self._holder:
            value = labels.get(name, "")
            if not value:
                continue
            pod = labels.get("pod", labels.get("pod_name", ""))
            container = labels.get("container", labels.get("container_name", ""))
            own = _EXPORTER_POD.fullmatch(pod) and container in ("", *_EXPORTER)
            return "" if own and not name.startswith("exported_") else value
        return ""

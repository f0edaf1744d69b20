"""Ray's provider of nodes that are processes of this machine, for node types that have memory."""

from __future__ import annotations

from ray.autoscaler._private.fake_multi_node.node_provider import FakeMultiNodeProvider


class LoopbackNodes(FakeMultiNodeProvider):
    """The autoscaler must see that a type has memory; Ray's provider would pass it on as a resource of one's own."""

    def _create_node_with_resources_and_labels(
        self,
        node_config: dict[str, object],
        tags: dict[str, str],
        count: int,
        resources: dict[str, float],
        labels: dict[str, str],
    ) -> None:
        without = {name: amount for name, amount in resources.items() if name != "memory"}
        create = super()._create_node_with_resources_and_labels
        create(node_config, tags, count, without, labels)  # type: ignore[no-untyped-call]

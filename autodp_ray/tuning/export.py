"""From what the workers wrote to the folder that is handed over: merged where asked for, with its model card, whole."""

from __future__ import annotations

import json

from actors.models.hub_id import hub_id
from actors.storage.storage import Storage
from actors.training.adapter_merge import merge_adapter
from autodp_ray.journal import Journal
from autodp_ray.runs.exports import exported_to, note_export
from autodp_ray.tuning.model_card import MODEL_CARD, model_card
from autodp_ray.tuning.tuned import Tuned
from autodp_ray.tuning.tuning import Tuning
from operators.contract.errors import RunError

EXPORT = "export"


def export(tuning: Tuning, tuned: Tuned, attempt: Storage) -> None:
    """Move what lies in `attempt`, with its card, to the tuning's output as a whole.

    Raises: RunError where the workers' folder cannot be seen from here.
    """
    ready = attempt.folder(EXPORT)
    if not ready.names():
        raise RunError(
            f"the workers exported the model to {ready.location}, but it is not there on this node: give --output with "
            "a path that every node mounts, or a URI"
        )
    if tuning.kind == "merged":
        ready = attempt.folder("merged")
        ready.delete()
        is_bf16 = tuning.recipe.precision == "bf16"
        merge_adapter(tuning.model, attempt.uri(EXPORT), ready.location, is_bf16=is_bf16)
    if tuning.kind == "adapter":
        _name_base(ready, tuning)
    ready.write_text(MODEL_CARD, model_card(tuned))
    journal = Journal(tuning.run.folder.storage)
    for file in exported_to(journal, tuning.output):
        tuning.output.delete(file)
    note_export(journal, tuning.output, ready.files())
    tuning.output.delete_empty_folders("")
    root, name = tuning.output.place()
    source = root.name_of(ready)
    assert source is not None, "an attempt lies beside its output"
    root.move_folder(source, name, last=MODEL_CARD)


def _name_base(adapter: Storage, tuning: Tuning) -> None:
    """Have the adapter name its base model by the hub's id, not by this machine's copy of it."""
    hub = hub_id(tuning.source)
    if hub is None:
        return
    config = json.loads(adapter.read_text("adapter_config.json"))
    revision = tuning.source.partition("@")[2] or None
    adapter.write_text(
        "adapter_config.json",
        json.dumps(config | {"base_model_name_or_path": hub, "revision": revision}, indent=2),
    )

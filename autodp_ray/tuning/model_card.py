"""The README.md of an exported model: what it was made of and how it scores. Holds no row text."""

from __future__ import annotations

import json

from actors.models.hub_id import hub_id
from autodp_ray.tuning.tuned import Tuned

MODEL_CARD = "README.md"


def model_card(tuned: Tuned) -> str:
    """The card as Markdown, with the front matter that the hub reads."""
    low, high = tuned.gain_ci95
    sections = (
        _front_matter(tuned),
        f"# {_short_name(tuned.model)}, fine-tuned on processed data",
        f"Fine-tuned from `{tuned.model}` on a dataset that AutoDP processed with the strategy `{tuned.strategy}`.",
        _loading(tuned),
        "## Base model",
        f"- name: `{tuned.model}`\n- revision: `{tuned.revision}`",
        "## Training data",
        f"- run: `{tuned.run_dir}`\n- dataset: `{tuned.dataset}`\n- strategy: `{tuned.strategy}`\n"
        f"- rows trained on: {tuned.num_rows}, of which {tuned.num_truncated} were cut to the maximum length\n"
        f"- rows left out: {_left_out(tuned)}",
        "## Score",
        f"Minus the mean negative log-likelihood of an answer's token, in nats, on {tuned.num_test_rows} held-out test "
        "rows; higher is better. It favours answers in the style of the references.",
        f"| model | score |\n|---|---|\n| untrained | {tuned.untrained_score:.4f} |\n| this one | "
        f"{tuned.test_score:.4f} |\n| gain | {tuned.gain:+.4f}, 95 % interval over the rows "
        f"[{low:+.4f}, {high:+.4f}] |",
        "## Recipe",
        f"{tuned.num_steps} optimizer steps, seed {tuned.seed}.",
        f"```json\n{json.dumps(tuned.recipe.model_dump(mode='json'), indent=2)}\n```",
    )
    return "\n\n".join(sections) + "\n"


def _front_matter(tuned: Tuned) -> str:
    lines = ["pipeline_tag: text-generation", f"library_name: {'peft' if tuned.kind == 'adapter' else 'transformers'}"]
    if hub := hub_id(tuned.model):
        relation = {"adapter": "adapter", "merged": "finetune", "full": "finetune"}[tuned.kind]
        lines += [f"base_model: {json.dumps(hub)}", f"base_model_relation: {relation}"]
    lines.append("tags: [autodp, data-processing]")
    return "\n".join(["---", *lines, "---"])


def _loading(tuned: Tuned) -> str:
    if tuned.kind != "adapter":
        return "Load the folder with `transformers.AutoModelForCausalLM.from_pretrained`."
    return "This is a LoRA adapter: load the base model, then the folder with `peft.PeftModel.from_pretrained`."


def _left_out(tuned: Tuned) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in tuned.left_out.items()) or "none"


def _short_name(model: str) -> str:
    return model.partition("@")[0].removeprefix("pkg:").rstrip("/").rpartition("/")[2]

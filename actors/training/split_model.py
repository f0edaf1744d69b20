"""A decoder cut in two: lower layers that stay as they are, and upper layers that are trained.

The lower layers' output is a pure function of a row's tokens, so it is computed once per row and remembered across
trainings. Both parts share the whole model's modules: adapters put into the whole model are the upper part's too.
"""

from __future__ import annotations

import copy
import logging
from array import array
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import torch

from actors.training.chat_rows import Example
from actors.training.packed_batch import pack

logger = logging.getLogger(__name__)

PROBE_TOLERANCE = 1e-4
"""Largest difference of logits, against their largest size, that counts as the same result."""
COARSE_TOLERANCE = 0.1
"""The same for bf16, which rounds differently at another length (0.03 seen); rows that mix differ by 0.3."""


class SplitModel:
    """The upper `num_top_layers` of a causal language model, fed with remembered outputs of the layers below.

    `max_bytes` bounds what is remembered; the rows used longest ago go first.
    """

    def __init__(self, model: Any, *, num_top_layers: int, max_bytes: int) -> None:  # noqa: ANN401 - any decoder
        num_lower = model.config.num_hidden_layers - num_top_layers
        self.upper = _part(model, first=num_lower, last=model.config.num_hidden_layers)
        self._lower = _part(model, first=0, last=num_lower).model
        self._lower.norm = torch.nn.Identity()
        self._memo: OrderedDict[bytes, torch.Tensor] = OrderedDict()
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self.num_computed = 0

    def lower_states(self, rows: Iterable[array[int]]) -> dict[bytes, torch.Tensor]:
        """Outputs of the lower layers, [T, D] for each row of T tokens, by the bytes of the tokens.

        Rows are computed one by one: in a batch, the last bits would depend on the neighbours and so on what is
        remembered already.
        """
        states: dict[bytes, torch.Tensor] = {}
        for key, tokens in {row.tobytes(): row for row in rows}.items():
            found = self._memo.get(key)
            if found is None:
                found = self._compute(tokens)
                self._remember(key, found)
            else:
                self._memo.move_to_end(key)
            states[key] = found
        return states

    @torch.no_grad()
    def _compute(self, tokens: array[int]) -> torch.Tensor:
        self.num_computed += 1
        self._lower.eval()
        device = self._lower.embed_tokens.weight.device
        found: torch.Tensor = self._lower(input_ids=torch.tensor([tokens], device=device), use_cache=False)[0][0]
        return found.cpu()

    def _remember(self, key: bytes, states: torch.Tensor) -> None:
        self._memo[key] = states
        self._num_bytes += states.nbytes
        while self._num_bytes > self._max_bytes:
            _, oldest = self._memo.popitem(last=False)
            self._num_bytes -= oldest.nbytes


def _part(model: Any, *, first: int, last: int) -> Any:  # noqa: ANN401 - any decoder
    """A model of the same class over layers [first, last), built of the whole model's own modules."""
    config = copy.deepcopy(model.config)
    config.num_hidden_layers = last - first
    if getattr(config, "layer_types", None) is not None:
        config.layer_types = config.layer_types[first:last]
    with torch.device("meta"):
        part = type(model)(config)
    for name, module in model.model.named_children():
        if name != "layers":
            setattr(part.model, name, module)
    part.model.layers = torch.nn.ModuleList(list(model.model.layers)[first:last])
    part.lm_head = model.lm_head
    return part


def split(model: Any, *, num_top_layers: int, max_bytes: int) -> SplitModel | None:  # noqa: ANN401 - any decoder
    """The model cut below its top layers, or None where the two parts would not give what the whole gives."""
    drops: float | None = getattr(model.config, "attention_dropout", None)
    if not 0 < num_top_layers < model.config.num_hidden_layers or drops:
        return None
    try:
        parts = SplitModel(model, num_top_layers=num_top_layers, max_bytes=max_bytes)
        difference = _difference(model, parts)
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:
        # A probe of an architecture that may be laid out in any way: the whole model gives the same results, slower.
        logger.info("lower layers are not remembered: %s cannot be cut (%s)", type(model).__name__, error)
        return None
    if difference > PROBE_TOLERANCE:
        logger.info("lower layers are not remembered: %s differs by %.1e when cut", type(model).__name__, difference)
        return None
    return parts


def packs(model: Any) -> bool:  # noqa: ANN401 - any decoder
    """Whether the model keeps rows apart that lie side by side in one sequence."""
    rows = _probe_rows(model.config.vocab_size)
    together = pack(rows, capacity=64, pad=0)
    apart = [pack([row], capacity=0, pad=0) for row in rows]
    alone = torch.cat([_logits(model, batch.inputs) for batch in apart], dim=1)
    return _relative(_logits(model, together.inputs), alone) <= _tolerance(model)


def _difference(model: Any, parts: SplitModel) -> float:  # noqa: ANN401 - any decoder
    row = _probe_rows(model.config.vocab_size)[0]
    states = parts.lower_states([row.tokens])
    cut = pack([row], capacity=0, pad=0, lower=states)
    whole = pack([row], capacity=0, pad=0)
    return _relative(_logits(parts.upper, cut.inputs), _logits(model, whole.inputs))


def _probe_rows(vocab_size: int) -> list[Example]:
    first = array("i", (7 * at % vocab_size for at in range(1, 13)))
    second = array("i", (11 * at % vocab_size for at in range(1, 10)))
    return [Example(row_id="a", tokens=first, num_prompt=4), Example(row_id="b", tokens=second, num_prompt=3)]


@torch.no_grad()
def _logits(model: Any, inputs: Any) -> torch.Tensor:  # noqa: ANN401 - any decoder, any inputs
    model.eval()
    device = model.lm_head.weight.device
    logits: torch.Tensor = model(**{name: value.to(device) for name, value in inputs.items()}, use_cache=False).logits
    return logits.float()


def _relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


def _tolerance(model: Any) -> float:  # noqa: ANN401 - any decoder
    return PROBE_TOLERANCE if model.dtype == torch.float32 else COARSE_TOLERANCE

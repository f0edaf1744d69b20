"""A chat model in this process: loads once, decodes a changing batch of rows, guided where asked.

Rows join and leave between two steps, so that a short reply never waits for a long one. Prompts that begin alike (an
operator's instructions and few-shots) share the computation of that beginning. Knows no HTTP, and of Ray only
whether it gave a GPU.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Sequence

import torch
import xgrammar
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from actors.cpu_engine.batch import DecodingBatch
from actors.cpu_engine.bf16_linear import use_bfloat16_linears
from actors.cpu_engine.grouped_attention import GROUPED_ATTENTION
from actors.cpu_engine.prefix import PrefixCache
from actors.cpu_engine.prompts import Prompts, PromptTooLongError
from actors.cpu_engine.row import ActiveRequest, GenerationReply, GenerationRequest, Guide
from actors.models.device import device
from actors.models.end_tokens import end_tokens

GRAMMAR_CACHE_BYTES = 256 * 2**20
PREFIX_CACHE_TOKENS = 4096
SOURCE_PLACE = re.compile(r"(?:\[[\d:]+\] )?\S+\.(?:cc|h):\d+:\s*(?:Check failed: .*? is false: )?")
"""Where xgrammar's sources noticed an error."""


class TransformersEngine:
    """A causal language model of transformers with its tokenizer, chat template and compiled grammars."""

    def __init__(
        self,
        path: str,
        *,
        dtype: str = "float32",
        max_batch_size: int = 16,
        max_model_len: int = 4096,
        num_threads: int | None = None,
        prefix_cache_tokens: int = PREFIX_CACHE_TOKENS,
    ) -> None:
        if num_threads is not None:
            torch.set_num_threads(num_threads)
        self.device = torch.device(device())
        self.tokenizer = AutoTokenizer.from_pretrained(path)
        if not self.tokenizer.chat_template:
            raise ValueError(f"the tokenizer of {path} has no chat template: only chat (instruct) models can be served")
        self.model = _load(path, dtype, self.device)
        self.max_batch_size = max_batch_size
        self.max_model_len = min(max_model_len, int(self.model.config.max_position_embeddings))
        self.end_tokens = end_tokens(self.model.generation_config.eos_token_id, self.tokenizer.eos_token_id)
        info = xgrammar.TokenizerInfo.from_huggingface(
            self.tokenizer, vocab_size=self.model.config.vocab_size, stop_token_ids=sorted(self.end_tokens)
        )
        self._control_tokens = control_tokens(info.decoded_vocab)
        self._compiler = xgrammar.GrammarCompiler(info, cache_limit_bytes=GRAMMAR_CACHE_BYTES)
        self._prompts = Prompts(self.tokenizer, max_tokens=self.max_model_len)
        self._prefixes = PrefixCache(max_tokens=prefix_cache_tokens)
        self._prepare_lock = threading.Lock()

    def prepare(self, request: GenerationRequest) -> ActiveRequest:
        """The request as a row that can join a batch; thread-safe, touches no weights.

        Raises:
            ValueError: the request cannot be served: bad schema, too long a prompt.
        """
        with self._prepare_lock:
            guide = self._guide(request)
            prompt = self._prompts.tokens(request.messages, dict(request.template_options))
        room = self.max_model_len - len(prompt)
        if room < 1:
            raise PromptTooLongError(f"has {len(prompt)} tokens", self.max_model_len)
        return ActiveRequest(
            request,
            prompt=prompt,
            max_tokens=min(request.max_tokens, room),
            tokenizer=self.tokenizer,
            end_tokens=self.end_tokens,
            guide=guide,
        )

    def new_batch(self) -> DecodingBatch:
        """An empty batch; one at a time may be stepped."""
        return DecodingBatch(self.model, prefixes=self._prefixes)

    def room(self, batch: DecodingBatch, *, num_waiting: int) -> int:
        """How many of the waiting rows join now: where many wait, several at a time, since each joining copies."""
        free = self.max_batch_size - len(batch)
        at_once = min(num_waiting, max(1, self.max_batch_size // 4))
        return min(free, num_waiting) if free >= at_once else 0

    def generate(self, requests: Sequence[GenerationRequest]) -> list[GenerationReply]:
        """One reply per request, in order.

        Raises:
            ValueError: a request cannot be served; none is run then.
        """
        rows = [self.prepare(request) for request in requests]
        waiting, batch = deque(rows), self.new_batch()
        while waiting or len(batch):
            if room := self.room(batch, num_waiting=len(waiting)):
                batch.admit([waiting.popleft() for _ in range(room)])
            if len(batch):
                batch.step()
        return [row.reply() for row in rows]

    def _guide(self, request: GenerationRequest) -> Guide | None:
        try:
            if request.json_schema is not None:
                grammar = self._compiler.compile_json_schema(request.json_schema, any_whitespace=False)
                return Guide(grammar=grammar, banned=self._control_tokens)
        except RuntimeError as error:
            reason = SOURCE_PLACE.sub("", str(error)).strip()
            raise ValueError(f"the guided decoding grammar cannot be compiled: {reason}") from error
        return None


def _load(path: str, dtype: str, device: torch.device) -> PreTrainedModel:
    """The model, ready to infer; on a CPU bfloat16 means that its linear layers multiply so."""
    on_cpu = device.type == "cpu"
    loaded = "float32" if on_cpu and dtype == "bfloat16" else dtype
    attention = GROUPED_ATTENTION if on_cpu else None
    model = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, loaded), attn_implementation=attention)
    if loaded != dtype:
        use_bfloat16_linears(model)
    return model.to(device).eval()


def control_tokens(vocabulary: Sequence[bytes]) -> torch.Tensor:
    """Ids of the tokens with a raw control character, which JSON forbids; xgrammar lets them into bounded strings."""
    return torch.tensor([index for index, token in enumerate(vocabulary) if any(byte < 0x20 for byte in token)])

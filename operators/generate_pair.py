"""The operator of the generation team that makes new pairs in the style of the dataset's own (self-instruct).

Candidates are asked for in waves, each wave in one call, and accepted in the order of their index. A candidate whose
question is a near-copy of an existing or accepted question is rejected, as is one that fails a guard.

Source: LLM-AutoDP, Table 1 (joint generation); Wang et al., Self-Instruct (2023), section 2.2.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from math import ceil
from typing import ClassVar, Literal, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from operators.contract.counts import Transformed
from operators.contract.operator import DatasetOperator, Decision, Needs
from operators.contract.resources import Completion, CompletionRequest, Language, Resources
from operators.likeness.near_copies import Signatures, closest_similarity, distinct, signatures_of, similarity
from operators.llm.prompting import Decoding, Prompt, pair_json, template_texts
from operators.llm.row_completion import PromptRow, iter_rows, mostly_ask, request_seed
from operators.replies.guards import ReplyContext, ReplyLimits, Verdict, instruction_ngrams, judge_reply
from operators.replies.parsing import fields_schema, read_fields
from operators.rows.record import RECORD_COLUMNS, lowest_hash_complete, row_hashes

_FIELDS = ("question", "answer")
_ID_PREFIX = "gen-"


class GeneratePair(DatasetOperator):
    """Adds new pairs until the dataset has grown by the target, or the waves are used up."""

    version: ClassVar[int] = 3
    needs: ClassVar[Needs] = Needs(completer=True)
    reads: ClassVar[tuple[str, ...]] = ("id", "history", "question", "answer")
    writes: ClassVar[tuple[str, ...]] = ()

    name: Literal["generate_pair"] = "generate_pair"
    target_frac: float = Field(default=0.1, ge=0.0)
    """How many new rows are wanted, as a share of the dataset."""
    target_rows: int | None = Field(default=None, ge=0)
    """How many new rows are wanted, whatever the size of the dataset; null follows `target_frac`."""
    max_rows: int = Field(default=10_000, ge=0)
    """The most new rows in any case."""
    max_waves: int = Field(default=4, ge=1)
    """How often the model is asked for the rows that are still missing."""
    num_shots: int = Field(default=3, ge=1)
    """How many rows are shown as examples."""
    shot_pool_rows: int = Field(default=64, ge=1)
    """Each candidate is shown a seeded choice of this many lowest-hash rows, so that candidates differ."""
    max_shot_chars: int = Field(default=2000, ge=1)
    """How many characters an example may have; longer rows are none."""
    near_copy_similarity: float = Field(default=0.6, gt=0.0, le=1.0)
    """The Jaccard similarity of character shingles from which on a question counts as a copy."""
    decoding: Decoding = Decoding(temperature=0.8)
    limits: ReplyLimits = ReplyLimits()

    def summary(self, language: Language) -> str:
        rows = f"{self.target_rows}" if self.target_rows is not None else f"{self.target_frac:.0%}"
        if language == "en":
            return (
                f"a language model writes additional pairs ({rows} more) in the style of rows it is shown; it copies "
                "the quality of those rows, good or bad"
            )
        return f"由语言模型参照给它看的样本编写新的问答对（增加 {rows}）；样本质量好坏，都会被它学去"

    def build(self, resources: Resources) -> PairGenerator:
        """The three parts; only `decide` asks the model."""
        prompt = Prompt(name=self.name, language=resources.language, domain=resources.domain)
        return PairGenerator(spec=self, resources=resources, prompt=prompt)

    def prompt_texts(self) -> tuple[str, ...]:
        """The templates, in all languages."""
        return template_texts(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSketch:
    """What one batch says about the dataset to be extended."""

    num_rows: int
    pool: pa.Table
    """Its complete, short enough rows with the lowest hashes; also carries the schema."""
    signatures: Signatures
    """Of its questions, each once."""
    generated_ids: frozenset[str]
    """Ids that an earlier generation used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """A pair to be asked for."""

    index: int
    id: str
    shots: tuple[PromptRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """An accepted pair."""

    id: str
    question: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PairGenerator:
    """The parts of `generate_pair`; batches pass through it unchanged."""

    spec: GeneratePair
    resources: Resources
    prompt: Prompt

    def sketch(self, batch: pa.Table) -> PairSketch:
        """Lowest-hash rows, question signatures and the count of one batch."""
        chars = pc.add(pc.utf8_length(batch["question"]), pc.utf8_length(batch["answer"]))
        short = batch.filter(pc.less_equal(chars, self.spec.max_shot_chars))
        generated = batch["id"].filter(pc.starts_with(batch["id"], _ID_PREFIX))
        return PairSketch(
            num_rows=batch.num_rows,
            pool=lowest_hash_complete(short, seed=self.spec.seed, k=self.spec.shot_pool_rows),
            signatures=distinct(signatures_of(batch["question"].drop_null().to_pylist())),
            generated_ids=frozenset(generated.to_pylist()),
        )

    def decide(self, sketches: Sequence[object]) -> Decision:
        """Asks for new pairs until the target is met or the waves are used up.

        Raises: EndpointError where the endpoint failed; then nothing is decided.
        """
        parts = cast(Sequence[PairSketch], sketches)
        if not parts:
            return Decision()
        spec = self.spec
        target = self._target(sum(part.num_rows for part in parts))
        pooled = pa.concat_tables([part.pool for part in parts], promote_options="default")
        pool = tuple(iter_rows(lowest_hash_complete(pooled, seed=spec.seed, k=spec.shot_pool_rows)))
        counts: Counter[str] = Counter()
        accepted: list[_Pair] = []
        if pool and target:
            judge = _Judge(generator=self, existing=[part.signatures for part in parts], counts=counts)
            candidates = self._candidates(pool, frozenset().union(*(part.generated_ids for part in parts)))
            for _ in range(spec.max_waves):
                wave = list(islice(candidates, target - len(accepted)))
                accepted += judge.accept(wave, self._ask(wave))
                if len(accepted) >= target:
                    break
        counts.update({"generated": len(accepted), "shortfall": target - len(accepted)})
        return Decision(appended=_as_rows(accepted, pooled.schema), counts={k: n for k, n in counts.items() if n})

    def apply(self, batch: pa.Table, decision: Decision) -> Transformed:
        """The batch as it is; the new rows stand in the decision."""
        return Transformed(table=batch)

    def _target(self, num_rows: int) -> int:
        wanted = self.spec.target_rows
        return min(self.spec.max_rows, ceil(self.spec.target_frac * num_rows) if wanted is None else wanted)

    def _candidates(self, pool: Sequence[PromptRow], used: frozenset[str]) -> Iterator[_Candidate]:
        """All candidates in the order of their index, each with its own choice of shots."""
        ids = [row.id for row in pool]
        for index in count():
            order = np.argsort(row_hashes(ids, seed=self.spec.seed, salt=f"pair-{index}"), kind="stable")
            shots = tuple(pool[position] for position in order[: self.spec.num_shots])
            key = json.dumps([[shot.id for shot in shots], index, self.spec.seed], ensure_ascii=False)
            candidate_id = _ID_PREFIX + hashlib.sha256(key.encode()).hexdigest()[:32]
            if candidate_id not in used:
                yield _Candidate(index=index, id=candidate_id, shots=shots)

    def _ask(self, wave: Sequence[_Candidate]) -> list[Completion]:
        assert self.resources.completer is not None
        return self.resources.completer.complete([self._request(candidate) for candidate in wave])

    def _request(self, candidate: _Candidate) -> CompletionRequest:
        spec = self.spec
        return CompletionRequest(
            messages=self.prompt.messages(
                {}, examples=[({}, pair_json(shot.question or "", shot.answer or "")) for shot in candidate.shots]
            ),
            max_tokens=spec.decoding.max_tokens + spec.decoding.reasoning_tokens,
            temperature=spec.decoding.temperature,
            seed=request_seed(candidate.id, seed=spec.seed, salt=spec.name),
            json_schema=fields_schema(_FIELDS),
        )


class _Judge:
    """Accepts replies wave by wave; knows what exists and what it has accepted so far."""

    def __init__(self, *, generator: PairGenerator, existing: Sequence[Signatures], counts: Counter[str]) -> None:
        self._limits = generator.spec.limits
        self._near = generator.spec.near_copy_similarity
        self._instruction = instruction_ngrams(generator.prompt.instruction())
        self._existing = existing
        self._counts = counts
        self._accepted = signatures_of([])

    def accept(self, wave: Sequence[_Candidate], replies: Sequence[Completion]) -> list[_Pair]:
        """The pairs of a wave that hold up, in the order of their index; the others are counted by reason."""
        sound: list[_Pair] = []
        for candidate, reply in zip(wave, replies, strict=True):
            pair = self._read(candidate, reply)
            if isinstance(pair, Verdict):
                self._counts[f"rejected:{pair}"] += 1
            else:
                sound.append(pair)
        signatures = signatures_of([pair.question for pair in sound])
        known = closest_similarity(signatures, self._existing) >= self._near
        return [pair for pair, mark, old in zip(sound, signatures, known, strict=True) if self._is_new(mark, old=old)]

    def _read(self, candidate: _Candidate, reply: Completion) -> _Pair | Verdict:
        fields = read_fields(reply, _FIELDS)
        if isinstance(fields, Verdict):
            return fields
        question, answer = fields["question"], fields["answer"]
        for text, sibling, withheld in ((question, answer, answer), (answer, question, "")):
            context = ReplyContext(
                limits=self._limits,
                row_text="\n".join(text for shot in candidate.shots for text in shot.texts()),
                siblings=(sibling,),
                withheld=withheld,
                asks=text is question and mostly_ask(candidate.shots),
                shown=tuple(text for shot in candidate.shots for text in shot.texts()),
                instruction=self._instruction,
            )
            if (verdict := judge_reply(text, context)) is not Verdict.ACCEPTED:
                return verdict
        return _Pair(id=candidate.id, question=question, answer=answer)

    def _is_new(self, signature: Signatures, *, old: bool) -> bool:
        if old or bool((similarity(self._accepted, signature) >= self._near).any()):
            self._counts[f"rejected:{Verdict.NEAR_COPY}"] += 1
            return False
        self._accepted = np.vstack([self._accepted, signature])
        return True


def _as_rows(pairs: Sequence[_Pair], schema: pa.Schema) -> pa.Table:
    """New rows under the dataset's schema; its extra columns are null."""
    values: dict[str, list[object]] = {
        "id": [pair.id for pair in pairs],
        "history": [[] for _ in pairs],
        "question": [pair.question for pair in pairs],
        "answer": [pair.answer for pair in pairs],
        "origin": ["generated"] * len(pairs),
    }
    columns = [
        pa.array(values[field.name], field.type) if field.name in RECORD_COLUMNS else pa.nulls(len(pairs), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)

"""Operators of the optimization team: a language model rewrites fields for accuracy, safety, fluency and concision.

Only complete rows are rewritten; a row with a missing field is for the generation team. A reply that fails a guard
(see replies/guards.py) is rejected under its reason and the original stays. Reasoning that an answer begins with is the
row's own: it stays as it is, and what follows it is rewritten.

Source: LLM-AutoDP, Table 1 (question, answer and joint optimization).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from pydantic import Field

from operators.contract.operator import Needs, RowOperator, RowTransform
from operators.contract.resources import Completer, Completion, CompletionRequest, Language, Resources
from operators.llm.prompting import Decoding, Prompt, TemplateValue, pair_json, recent_turns, template_texts
from operators.llm.row_completion import Fields, PromptRow, complete_rows, request_seed
from operators.replies.guards import ReplyContext, ReplyLimits, Verdict, asks_something, instruction_ngrams, judge_reply
from operators.replies.parsing import fields_schema, read_fields
from operators.replies.reasoning import own_reasoning


class OptimizePair(RowOperator):
    """Rewrites question and answer together; one bad field rejects both."""

    version: ClassVar[int] = 2
    needs: ClassVar[Needs] = Needs(completer=True)
    reads: ClassVar[tuple[str, ...]] = ("id", "history", "question", "answer")
    writes: ClassVar[tuple[str, ...]] = ("question", "answer", "origin")

    name: Literal["optimize_pair"] = "optimize_pair"
    decoding: Decoding = Decoding()
    limits: ReplyLimits = ReplyLimits()
    max_input_chars: int = Field(default=8000, ge=1)
    """How many characters a row may have; longer rows stay as they are."""

    def summary(self, language: Language) -> str:
        return (
            "a language model rewrites existing questions and answers so that they are more accurate, safer, more "
            "fluent and more concise; it cannot supply what is missing"
            if language == "en"
            else "由语言模型改写已有的问题和答案，使其更准确、更安全、更通顺、更简洁；缺失的内容它补不了"
        )

    def build(self, resources: Resources) -> RowTransform:
        """The function that rewrites a batch."""
        return _build(self, resources, fields=("question", "answer"))

    def prompt_texts(self) -> tuple[str, ...]:
        """The templates, in all languages."""
        return template_texts(self.name)


class OptimizeQuestion(RowOperator):
    """Rewrites the question, with the answer as context."""

    version: ClassVar[int] = 2
    needs: ClassVar[Needs] = Needs(completer=True)
    reads: ClassVar[tuple[str, ...]] = ("id", "history", "question", "answer")
    writes: ClassVar[tuple[str, ...]] = ("question", "origin")

    name: Literal["optimize_question"] = "optimize_question"
    decoding: Decoding = Decoding()
    limits: ReplyLimits = ReplyLimits()
    max_input_chars: int = Field(default=8000, ge=1)
    """How many characters a row may have; longer rows stay as they are."""

    def summary(self, language: Language) -> str:
        return (
            "a language model rewrites existing questions so that they are clearer; it cannot supply what is missing"
            if language == "en"
            else "由语言模型改写已有的问题，使其更清楚；缺失的内容它补不了"
        )

    def build(self, resources: Resources) -> RowTransform:
        """The function that rewrites a batch."""
        return _build(self, resources, fields=("question",))

    def prompt_texts(self) -> tuple[str, ...]:
        """The templates, in all languages."""
        return template_texts(self.name)


class OptimizeAnswer(RowOperator):
    """Rewrites the answer, with the question as context."""

    version: ClassVar[int] = 2
    needs: ClassVar[Needs] = Needs(completer=True)
    reads: ClassVar[tuple[str, ...]] = ("id", "history", "question", "answer")
    writes: ClassVar[tuple[str, ...]] = ("answer", "origin")

    name: Literal["optimize_answer"] = "optimize_answer"
    decoding: Decoding = Decoding()
    limits: ReplyLimits = ReplyLimits()
    max_input_chars: int = Field(default=8000, ge=1)
    """How many characters a row may have; longer rows stay as they are."""

    def summary(self, language: Language) -> str:
        return (
            "a language model rewrites existing answers so that they are more accurate, safer, more fluent and more "
            "concise; it cannot supply what is missing"
            if language == "en"
            else "由语言模型改写已有的答案，使其更准确、更安全、更通顺、更简洁；缺失的内容它补不了"
        )

    def build(self, resources: Resources) -> RowTransform:
        """The function that rewrites a batch."""
        return _build(self, resources, fields=("answer",))

    def prompt_texts(self) -> tuple[str, ...]:
        """The templates, in all languages."""
        return template_texts(self.name)


_Spec = OptimizePair | OptimizeQuestion | OptimizeAnswer
_SIBLING = {"question": "answer", "answer": "question"}


def _build(spec: _Spec, resources: Resources, *, fields: tuple[str, ...]) -> RowTransform:
    assert resources.completer is not None
    completer: Completer = resources.completer
    prompt = Prompt(name=spec.name, language=resources.language, domain=resources.domain)
    blank = ReplyContext(limits=spec.limits, instruction=instruction_ngrams(prompt.instruction()))
    task = _RewriteTask(spec=spec, fields=fields, prompt=prompt, blank=blank)
    return lambda table: complete_rows(table, task, completer=completer)


@dataclass(frozen=True, slots=True, kw_only=True)
class _RewriteTask:
    """Rewrites the named fields of a complete row."""

    spec: _Spec
    fields: tuple[str, ...]
    prompt: Prompt
    blank: ReplyContext

    @property
    def accepted(self) -> str:
        return "rewritten"

    def passes(self, row: PromptRow) -> str | None:
        if row.question is None or row.answer is None:
            return ""
        if len(row.question) + len(row.answer) > self.spec.max_input_chars:
            return "skipped:too_long"
        return None

    def request(self, row: PromptRow) -> CompletionRequest:
        question, answer = row.question or "", row.answer or ""
        history = recent_turns(row.history, max_chars=self.spec.max_input_chars)
        texts: dict[str, TemplateValue] = {
            "question": question,
            "answer": answer,
            "pair": pair_json(question, answer),
            "history": history,
        }
        rewritten = "".join(_field(row, name) for name in self.fields)
        return CompletionRequest(
            messages=self.prompt.messages(texts),
            max_tokens=self.spec.decoding.budget(rewritten, growth=self.spec.limits.max_length_ratio),
            temperature=self.spec.decoding.temperature,
            seed=request_seed(row.id, seed=self.spec.seed, salt=self.spec.name),
            json_schema=fields_schema(self.fields),
        )

    def read(self, row: PromptRow, reply: Completion) -> Fields | Verdict:
        own = {name: own_reasoning(_field(row, name)) for name in self.fields}
        texts = read_fields(reply, self.fields, originals={name: text for name, (_, text) in own.items()})
        if isinstance(texts, Verdict):
            return texts
        for name, text in texts.items():
            sibling = _SIBLING[name]
            context = replace(
                self.blank,
                original=own[name][1],
                row_text="\n".join(row.texts()),
                siblings=(_field(row, sibling), texts.get(sibling, "")),
                withheld=_field(row, "answer") if name == "question" else "",
                asks=name == "question" and asks_something(_field(row, name)),
            )
            if (verdict := judge_reply(text, context)) is not Verdict.ACCEPTED:
                return verdict
        texts = {name: own[name][0] + text for name, text in texts.items()}
        return {} if all(text == _field(row, name) for name, text in texts.items()) else texts


def _field(row: PromptRow, name: str) -> str:
    return (row.question if name == "question" else row.answer) or ""

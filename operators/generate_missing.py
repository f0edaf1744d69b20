"""Operators of the generation team that fill a missing field from the other one, with few-shots of the same dataset.

A rejected reply leaves the field missing and is counted under its reason. Without shots the model works from the
instruction alone.

Source: LLM-AutoDP, Table 1 (question and answer generation).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from pydantic import Field

from operators.contract.operator import Needs, RowOperator, RowTransform
from operators.contract.resources import Completion, CompletionRequest, Language, Resources
from operators.llm.prompting import Decoding, Prompt, TemplateValue, fields_json, recent_turns, template_texts
from operators.llm.row_completion import Fields, PromptRow, complete_rows, mostly_ask, request_seed, usable_shots
from operators.replies.guards import ReplyContext, ReplyLimits, Verdict, instruction_ngrams, judge_reply
from operators.replies.parsing import fields_schema, read_fields

MAX_SHOTS = 8
"""How many shots the worker supplies; an operator shows the first `num_shots` of them that are short enough."""


class GenerateQuestion(RowOperator):
    """Writes the missing question of an answer."""

    version: ClassVar[int] = 2
    needs: ClassVar[Needs] = Needs(completer=True, shots=MAX_SHOTS)
    reads: ClassVar[tuple[str, ...]] = ("id", "history", "question", "answer")
    writes: ClassVar[tuple[str, ...]] = ("question", "origin")

    name: Literal["generate_question"] = "generate_question"
    num_shots: int = Field(default=3, ge=0, le=MAX_SHOTS)
    """How many complete rows of the dataset are shown as examples."""
    max_shot_chars: int = Field(default=2000, ge=1)
    """How many characters an example may have; longer rows are none."""
    decoding: Decoding = Decoding(max_tokens=256)
    limits: ReplyLimits = ReplyLimits()
    max_input_chars: int = Field(default=8000, ge=1)
    """How many characters a row may have; longer rows stay as they are."""

    def summary(self, language: Language) -> str:
        return "a language model fills in missing questions" if language == "en" else "由语言模型补全缺失的问题"

    def build(self, resources: Resources) -> RowTransform:
        """The function that fills questions in a batch."""
        return _build(self, resources, given="answer", wanted="question")

    def prompt_texts(self) -> tuple[str, ...]:
        """The templates, in all languages."""
        return template_texts(self.name)


class GenerateAnswer(RowOperator):
    """Writes the missing answer to a question."""

    version: ClassVar[int] = 2
    needs: ClassVar[Needs] = Needs(completer=True, shots=MAX_SHOTS)
    reads: ClassVar[tuple[str, ...]] = ("id", "history", "question", "answer")
    writes: ClassVar[tuple[str, ...]] = ("answer", "origin")

    name: Literal["generate_answer"] = "generate_answer"
    num_shots: int = Field(default=3, ge=0, le=MAX_SHOTS)
    """How many complete rows of the dataset are shown as examples."""
    max_shot_chars: int = Field(default=2000, ge=1)
    """How many characters an example may have; longer rows are none."""
    decoding: Decoding = Decoding()
    limits: ReplyLimits = ReplyLimits()
    max_input_chars: int = Field(default=8000, ge=1)
    """How many characters a row may have; longer rows stay as they are."""

    def summary(self, language: Language) -> str:
        return "a language model fills in missing answers" if language == "en" else "由语言模型补全缺失的答案"

    def build(self, resources: Resources) -> RowTransform:
        """The function that fills answers in a batch."""
        return _build(self, resources, given="question", wanted="answer")

    def prompt_texts(self) -> tuple[str, ...]:
        """The templates, in all languages."""
        return template_texts(self.name)


_Spec = GenerateQuestion | GenerateAnswer
_Field = Literal["question", "answer"]


def _build(spec: _Spec, resources: Resources, *, given: _Field, wanted: _Field) -> RowTransform:
    assert resources.completer is not None
    completer = resources.completer
    prompt = Prompt(name=spec.name, language=resources.language, domain=resources.domain)
    shots = tuple(usable_shots(resources.shots, k=spec.num_shots, max_chars=spec.max_shot_chars))
    blank = ReplyContext(
        limits=spec.limits,
        instruction=instruction_ngrams(prompt.instruction()),
        shown=tuple(_field(shot, wanted) for shot in shots),
        asks=wanted == "question" and mostly_ask(shots),
    )
    task = _FillTask(spec=spec, given=given, wanted=wanted, prompt=prompt, shots=shots, blank=blank)
    return lambda table: complete_rows(table, task, completer=completer)


@dataclass(frozen=True, slots=True, kw_only=True)
class _FillTask:
    """Fills one field of a row that has the other one."""

    spec: _Spec
    given: _Field
    wanted: _Field
    prompt: Prompt
    shots: tuple[PromptRow, ...]
    blank: ReplyContext

    @property
    def in_json(self) -> bool:
        """Questions are written as JSON: as a chat, a small model would talk to the answer. Answers may be long."""
        return self.wanted == "question"

    @property
    def accepted(self) -> str:
        return "filled"

    def passes(self, row: PromptRow) -> str | None:
        if getattr(row, self.wanted) is not None or (self.wanted == "answer" and row.answers_by_call):
            return ""
        if row.answers_by_call:
            return "skipped:tool_call"
        if getattr(row, self.given) is None:
            return "skipped:both_missing"
        return "skipped:too_long" if len(_field(row, self.given)) > self.spec.max_input_chars else None

    def request(self, row: PromptRow) -> CompletionRequest:
        return CompletionRequest(
            messages=self.prompt.messages(
                self._values(row), examples=[(self._values(shot), self._reply(shot)) for shot in self.shots]
            ),
            max_tokens=self.spec.decoding.max_tokens + self.spec.decoding.reasoning_tokens,
            temperature=self.spec.decoding.temperature,
            seed=request_seed(row.id, seed=self.spec.seed, salt=self.spec.name),
            json_schema=fields_schema((self.wanted,)) if self.in_json else None,
        )

    def read(self, row: PromptRow, reply: Completion) -> Fields | Verdict:
        fields = read_fields(reply, (self.wanted,))
        if isinstance(fields, Verdict):
            return fields
        given = _field(row, self.given)
        context = replace(
            self.blank,
            row_text=given,
            siblings=(given,),
            withheld=given if self.wanted == "question" else "",
        )
        verdict = judge_reply(fields[self.wanted], context)
        return fields if verdict is Verdict.ACCEPTED else verdict

    def _reply(self, shot: PromptRow) -> str:
        text = _field(shot, self.wanted)
        return fields_json({self.wanted: text}) if self.in_json else text

    def _values(self, row: PromptRow) -> Mapping[str, TemplateValue]:
        history = recent_turns(row.history, max_chars=self.spec.max_input_chars)
        given = _field(row, self.given)
        return {self.given: given, "given": fields_json({self.given: given}), "history": history}


def _field(row: PromptRow, name: _Field) -> str:
    return getattr(row, name) or ""

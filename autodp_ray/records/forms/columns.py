"""Named columns: a question and an answer in any two columns, named by the config or known by their names."""

from __future__ import annotations

from autodp_ray.records.forms.flat import FlatForm, pair_support
from autodp_ray.records.forms.found import Found
from autodp_ray.records.forms.names import CHOSEN
from autodp_ray.records.spelling.layout import FormKeys
from operators.contract.errors import InputError


class Columns(FlatForm):
    """A pair that need not be named, or the one that `dataset.columns` names."""

    name = "columns"
    accepted = "columns named by dataset.columns (question and answer, or turns)"
    takes_columns = True
    pairs = (
        ("question", "answer"),
        ("prompt", "completion"),
        ("prompt", "response"),
        ("query", "response"),
        ("input", "output"),
        ("instruction", "response"),
        ("instruction", "target"),
        ("instruction", "answer"),
        ("instruction", "completion"),
        ("question", "response"),
        ("question", "output"),
        ("query", "answer"),
        ("prompt", "answer"),
        ("prompt", "output"),
        ("problem", "solution"),
        ("input", "target"),
        ("inputs", "targets"),
    )

    def pair(self, found: Found) -> tuple[str, str]:
        question, answer = found.config.columns.question, found.config.columns.answer
        pairs = dict.fromkeys((question or pair[0], answer or pair[1]) for pair in self.pairs)
        support = {pair: pair_support(pair, found) for pair in pairs if found.has(*pair) and pair[0] != pair[1]}
        for pair, num in support.items():
            if 2 * num >= max(support.values()):
                return pair
        lacking = "question" if question is None else "answer"
        raise InputError(
            f"which column of {found.where} holds the {lacking}? Its columns are {found.listed()}; "
            f"name it with dataset.columns.{lacking}"
        )

    def chosen_keys(self, found: Found) -> FormKeys | None:
        if found.evidence.is_surely_turns(CHOSEN) or not found.evidence.is_mostly_text(CHOSEN):
            return None
        columns = found.config.columns
        names = dict.fromkeys(("instruction", *(question for question, _ in self.pairs)))
        question = columns.question or found.text_key(names, {columns.id})
        return None if question is None else self.keys_of((question, CHOSEN), found)

"""Takes phone numbers out of answers: an operator that changes texts, and needs no model."""

from __future__ import annotations

from typing import ClassVar, Literal

import pyarrow as pa
import pyarrow.compute as pc

from operators.contract.counts import Transformed
from operators.contract.operator import Needs, RowOperator, RowTransform
from operators.contract.resources import Language, Resources

_PHONE = r"\+?\d[\d ()/-]{6,}\d"


class PhoneMask(RowOperator):
    """Puts `mask` in the place of phone numbers, and counts the answers that changed as `masked:answer`."""

    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs()
    reads: ClassVar[tuple[str, ...]] = ("answer",)
    writes: ClassVar[tuple[str, ...]] = ("answer",)

    name: Literal["phone_mask"] = "phone_mask"
    mask: str = "[phone]"
    """What stands where the number stood."""

    def summary(self, language: Language) -> str:
        return "hides phone numbers in answers" if language == "en" else "隐去回答中的电话号码"

    def build(self, resources: Resources) -> RowTransform:
        def masked(table: pa.Table) -> Transformed:
            answers = pc.replace_substring_regex(table["answer"], pattern=_PHONE, replacement=self.mask)
            num_changed = pc.sum(pc.not_equal(answers, table["answer"])).as_py() or 0
            at = table.schema.get_field_index("answer")
            changed = table.set_column(at, table.schema.field(at), answers)
            return Transformed(table=changed, counts={"masked:answer": num_changed})

        return masked

"""Drops rows whose answers a model rates low."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from operators.contract.counts import Transformed, keep_rows
from operators.contract.operator import Needs, RowOperator, RowTransform
from operators.contract.resources import Language, Resources
from quality_filter.model import QualityModel


class QualityFilter(RowOperator):
    """Keeps rows whose answer is rated at least `min_quality`."""

    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs(own_model=True)
    reads: ClassVar[tuple[str, ...]] = ("answer",)
    writes: ClassVar[tuple[str, ...]] = ()

    name: Literal["quality_filter"] = "quality_filter"
    min_quality: float = Field(default=0.5, ge=0, le=1)
    """Least rate of an answer that stays."""

    def summary(self, language: Language) -> str:
        if language == "en":
            return f"drops rows whose answers a quality model rates under {self.min_quality:g}"
        return f"删除质量模型评分低于 {self.min_quality:g} 的样本"

    def build(self, resources: Resources) -> RowTransform:
        model = QualityModel()  # here and not at import: a worker loads it, the driver does not

        def keep_good(table: pa.Table) -> Transformed:
            rates = np.array([model.rate(text or "") for text in table["answer"].to_pylist()], dtype=np.float64)
            return keep_rows(table, {"low_quality": rates < self.min_quality})

        return keep_good

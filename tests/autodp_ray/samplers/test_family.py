"""Samplers are a family: settings name one by its word, a new one needs its class alone, and seeds keep their rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pytest

from autodp_ray.config.run_config import Config
from autodp_ray.config.sampling_config import SamplingConfig
from autodp_ray.doctor.needs import model_sources
from autodp_ray.doctor.packages import needed_packages
from autodp_ray.samplers.base import Bucket, Sampler
from autodp_ray.samplers.embedding_matrix import EmbeddingMatrix, Int64
from autodp_ray.samplers.registry import SAMPLERS
from autodp_ray.sampling.sampler import draw_sample
from autodp_ray.sampling.search_sample import draw_search_sample
from operators.contract.errors import InputError
from tests.autodp_ray.preparation.stored_rows import train_rows
from tests.autodp_ray.run_fakes import NO_MODELS, make_config, records

GOLDEN = json.loads((Path(__file__).parent / "golden_samples.json").read_text())


class FirstSampler(Sampler):
    """The first rows of each bucket, every `step`-th of them."""

    needs_embeddings: ClassVar[bool] = False
    packages: ClassVar[tuple[str, ...]] = ("vllm",)  # what doctor looks for; () where it needs none

    name: Literal["first"] = "first"
    step: int = 1

    def draw(self, bucket: Bucket) -> Int64:
        first: Int64 = bucket.rows[:: self.step][: bucket.quota]
        return first


def with_sampler(sampler: Sampler, **sections: object) -> Config:
    config = make_config("data.jsonl", **sections)
    return config.model_copy(update={"sampling": config.sampling.model_copy(update={"method": sampler})})


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_word_and_a_section_name_the_same_sampler_which_is_written_as_its_word(name: str) -> None:
    word = SamplingConfig.model_validate({"method": name})
    assert word == SamplingConfig.model_validate({"method": {"name": name}})
    assert word.method == SAMPLERS[name].model_validate({})
    assert word.model_dump()["method"] == name
    assert SamplingConfig.model_validate_json(word.model_dump_json()) == word


def test_a_wrong_sampler_is_refused_by_its_key() -> None:
    with pytest.raises(InputError, match=r"sampling\.method: unknown name 'herd'; did you mean herding\?"):
        make_config("d", sampling={"method": "herd"})


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: f"{case['method']}-{case['whole_groups']}")
def test_the_same_seed_draws_the_same_rows_as_ever(case: dict[str, object]) -> None:
    rng = np.random.default_rng(7)
    labels = np.repeat(np.arange(4), [60, 40, 15, 5])
    rows = (3 * rng.normal(size=(4, 8))[labels] + 0.3 * rng.normal(size=(120, 8))).astype(np.float32)
    groups = np.arange(120)
    groups[10:16], groups[60:90], groups[100:102] = 10, 60, 100
    drawn = draw_sample(
        [f"row-{at}" for at in range(120)],
        groups,
        SamplingConfig.model_validate({"method": case["method"], "whole_groups": case["whole_groups"], "seed": 11}),
        embeddings=EmbeddingMatrix.of_array(rows),
        strata=np.arange(120) % 5 == 0,
    )
    assert " ".join(map(str, drawn.tolist())) == case["rows"]


def test_a_new_sampler_draws_for_a_search_and_is_known_to_doctor_from_its_class_alone() -> None:
    config = with_sampler(FirstSampler(step=2))
    sample = draw_search_sample(train_rows(records([f"text {at} of its own" for at in range(20)])), config, NO_MODELS)
    assert sample.table["id"].to_pylist() == [f"r{at}" for at in range(0, 20, 2)]
    assert sample.embedded is None
    assert [(need.module, need.setting) for need in needed_packages(config, {})] == [("vllm", "sampling.method first")]
    assert config.sampling.embedder not in model_sources(config, {})
    assert isinstance(sample.table, pa.Table)


@pytest.mark.parametrize("sections", [{"sampling": {"method": "herding"}}, {"evaluation": {"evaluator": "reference"}}])
def test_doctor_looks_for_the_embedder_that_a_sampler_or_an_evaluator_needs(sections: dict[str, object]) -> None:
    config = make_config("d", **sections)
    assert config.sampling.embedder in model_sources(config, {})

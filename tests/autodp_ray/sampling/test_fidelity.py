"""What is said of a sample's fidelity is so; the default-to-be beats chance by the margin that is asked of it."""

from __future__ import annotations

import html.parser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from actors.data.embedded_text import row_texts
from actors.models.embedder import SentenceEmbedder
from actors.models.source import DEFAULT_EMBEDDER
from autodp_ray.config.sampling_config import SamplingConfig
from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.quarantine import ReasonCounts
from autodp_ray.records.reader import read_records
from autodp_ray.records.row_groups import row_groups
from autodp_ray.samplers.embedding_matrix import EmbeddingMatrix, unit
from autodp_ray.samplers.registry import SAMPLERS
from autodp_ray.sampling.fidelity import (
    FidelityMeter,
    RandomFeatures,
    duplicate_rate,
    mean_fidelity,
    num_lost,
    total_variation,
)
from autodp_ray.sampling.principal_plane import principal_plane
from autodp_ray.sampling.sample_report import RANDOM_DRAWS, EmbeddedRows, SampleReport, report_sample

LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2])


def _rows(count: int = 600, dim: int = 16, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = 2 * rng.normal(size=(15, dim))
    return (centres[rng.choice(15, size=count, p=rng.dirichlet(np.ones(15)))] + rng.normal(size=(count, dim))).astype(
        np.float32
    )


@pytest.mark.parametrize(
    ("sample", "variation", "lost"), [([0, 1, 4, 5, 8], 0.0, 0), ([0, 1, 4, 5], 0.2, 1), ([8], 0.8, 2)]
)
def test_total_variation_and_lost_clusters_are_as_computed_by_hand(
    sample: list[int], variation: float, lost: int
) -> None:
    assert total_variation(LABELS, np.array(sample)) == pytest.approx(variation)
    assert num_lost(LABELS, np.array(sample)) == lost


def test_a_cluster_whose_share_is_under_one_row_is_not_due() -> None:
    labels = np.repeat([0, 1, 2], [80, 12, 8])
    sample = np.arange(10)
    assert num_lost(labels, sample) == 2
    assert num_lost(labels, sample, min_due=1.0) == 1


def test_duplicates_are_the_rows_beyond_the_first_of_their_group() -> None:
    assert duplicate_rate(np.array([1, 1, 1, 2, 3])) == pytest.approx(0.4)
    assert duplicate_rate(np.array([1, 2])) == duplicate_rate(np.array([])) == 0.0


def test_random_features_agree_with_the_exact_kernel_distance() -> None:
    rows = _rows(300)
    vectors, sample = unit(rows), np.arange(40)
    matrix = EmbeddingMatrix.of_array(rows)
    features = RandomFeatures.of(matrix)
    gamma = float((features.directions**2).mean()) / 2  # directions have the variance 2 gamma
    kernel = np.exp(-gamma * ((vectors[:, None] - vectors[None]) ** 2).sum(axis=-1))
    exact = np.sqrt(kernel.mean() - 2 * kernel[sample].mean() + kernel[np.ix_(sample, sample)].mean())
    gap = features.mean(EmbeddingMatrix.of_array(rows[sample])) - features.mean(matrix)
    assert np.linalg.norm(gap) == pytest.approx(exact, rel=0.1)


def test_the_whole_is_true_to_itself() -> None:
    rows = _rows(200)
    meter = FidelityMeter.of(EmbeddingMatrix.of_array(rows), np.arange(200) // 2)
    whole = meter.measure(np.arange(200))
    assert [mix.total_variation for mix in whole.mixes] == [0.0, 0.0]
    assert [mix.num_clusters for mix in whole.mixes] == [10, 20]
    assert whole.mmd == pytest.approx(0.0, abs=1e-9)
    assert whole.duplicate_rate == whole.duplicate_rate_of_whole == 0.5
    assert mean_fidelity([whole, whole]) == whole


def test_stratified_is_far_truer_than_chance_and_the_paper_far_less() -> None:
    rows = _rows()
    ids, groups = [f"{at}" for at in range(len(rows))], np.arange(len(rows))
    found = {
        method: report_sample(
            EmbeddedRows(matrix=EmbeddingMatrix.of_array(rows), ids=ids, groups=groups),
            sampling=SamplingConfig.model_validate({"method": method}),
            path="rows",
            embedder_revision="test",
        )
        for method in ("stratified", "paper")
    }
    for ours, chance in zip(found["stratified"].fidelity.mixes, found["stratified"].random.mixes, strict=True):
        assert ours.total_variation <= 0.8 * chance.total_variation
        assert ours.lost_clusters <= chance.lost_clusters
    for paper, chance in zip(found["paper"].fidelity.mixes, found["paper"].random.mixes, strict=True):
        assert paper.total_variation > 2 * chance.total_variation


@pytest.mark.slow
def test_on_real_conversations_stratified_meets_every_bar(tmp_path: Path) -> None:
    config = DatasetConfig(path="pkg:chatterbot_corpus/english")
    table = pa.concat_tables(list(read_records(config, on_quarantine=ReasonCounts())))
    embedded = SentenceEmbedder.of(DEFAULT_EMBEDDER).embed_matrix(row_texts(table))
    report = report_sample(
        EmbeddedRows(matrix=EmbeddingMatrix.of_array(embedded), ids=table["id"].to_pylist(), groups=row_groups(table)),
        sampling=SamplingConfig.model_validate({"method": "stratified"}),
        path=config.path,
        embedder_revision="test",
    )
    for ours, chance in zip(report.fidelity.mixes, report.random.mixes, strict=True):
        assert ours.total_variation <= 0.8 * chance.total_variation
        assert ours.lost_due_clusters == 0
    whole = report.fidelity.duplicate_rate_of_whole
    assert report.fidelity.duplicate_rate == pytest.approx(whole, rel=0.2)


def test_the_plane_is_that_of_the_singular_vectors() -> None:
    rows = _rows(300)
    centred = unit(rows) - unit(rows).mean(axis=0)
    _, values, directions = np.linalg.svd(centred, full_matrices=False)
    plane = principal_plane(EmbeddingMatrix.of_array(rows))
    assert np.abs(np.sum(plane.axes * directions[:2].T, axis=0)) == pytest.approx([1, 1])
    assert plane.variance_fracs == pytest.approx((values[:2] ** 2 / (values**2).sum()).tolist())
    places = np.array(plane.points(EmbeddingMatrix.of_array(rows), np.arange(5)))
    assert places == pytest.approx((centred @ plane.axes)[:5], abs=1e-3)


def test_a_plane_of_one_dimension_is_a_line() -> None:
    rows = np.array([[1.0], [-1.0], [1.0]], dtype=np.float32)
    plane = principal_plane(EmbeddingMatrix.of_array(rows))
    assert plane.variance_fracs == (1.0, 0.0)
    assert {y for _, y in plane.points(EmbeddingMatrix.of_array(rows), np.arange(3))} == {0.0}


class _Page(html.parser.HTMLParser):
    """Counts tags, and what would be loaded from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loaded += [name for name, _ in attrs if name in ("src", "href")]


def _report(path: str = "pets & <b>co</b>", *, noisy: np.ndarray | None = None) -> SampleReport:
    rows = EmbeddedRows(
        matrix=EmbeddingMatrix.of_array(_rows(150)),
        ids=[f"{at}" for at in range(150)],
        groups=np.arange(150),
        noisy=noisy,
    )
    return report_sample(
        rows,
        sampling=SamplingConfig(method=SAMPLERS["herding"].model_validate({})),
        path=path,
        embedder_revision="test",
    )


def test_the_page_draws_every_row_and_loads_nothing(tmp_path: Path) -> None:
    page = _Page()
    text = _report().html()
    page.feed(text)
    assert page.tags.count("circle") == 150 + 30
    assert page.loaded == []
    assert "script" not in page.tags
    assert "<b>co" not in text


def test_the_text_compares_the_sample_with_chance() -> None:
    report = _report()
    lines = report.text().splitlines()
    assert lines[0] == f"30 of 150 rows by herding (20.0%), against {RANDOM_DRAWS} random draws"
    assert f"{report.fidelity.mixes[0].total_variation:.3f}" in lines[2]
    assert SampleReport.model_validate_json(report.model_dump_json()) == report


def test_a_bucket_is_measured_against_its_own_rows() -> None:
    rows, groups = _rows(300), np.arange(300) // 2
    within = np.flatnonzero(np.arange(300) % 3 > 0)
    meter = FidelityMeter.of(EmbeddingMatrix.of_array(rows), groups)
    whole = meter.measure(within, within=within)
    assert [(mix.total_variation, mix.lost_clusters) for mix in whole.mixes] == [(0.0, 0.0)] * 2
    assert whole.mmd == pytest.approx(0.0, abs=1e-9)
    assert whole.duplicate_rate == whole.duplicate_rate_of_whole == duplicate_rate(groups[within])
    found = meter.measure(within[:40], within=within)
    by_hand = [total_variation(labels[within], np.arange(40)) for count, labels in meter.clusterings if count == 10]
    assert found.mixes[0].total_variation == pytest.approx(np.mean(by_hand))
    assert found.mixes[0] != meter.measure(within[:40]).mixes[0]


def test_clean_and_noisy_rows_are_reported_apart() -> None:
    report = _report(noisy=np.arange(150) % 5 == 0)
    assert [(one.name, one.num_rows, one.num_sampled) for one in report.buckets] == [
        ("clean", 120, 24),
        ("noisy", 30, 6),
    ]
    assert all(one.fidelity is not None and one.fidelity.mixes for one in report.buckets)
    assert "6 of 30 noisy rows" in report.text()
    assert "6 of 30 noisy rows" in report.html()
    assert SampleReport.model_validate_json(report.model_dump_json()) == report


def test_an_empty_bucket_has_no_fidelity() -> None:
    clean, noisy = _report(noisy=np.zeros(150, dtype=bool)).buckets
    assert (clean.num_sampled, noisy.num_sampled, noisy.fidelity) == (30, 0, None)
    assert _report().buckets == ()

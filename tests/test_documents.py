"""README and docs: what can run here runs as it stands there, configs are valid, and every link leads somewhere."""

from __future__ import annotations

import functools
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from autodp_ray.applying import engine
from autodp_ray.applying import process as process_module
from autodp_ray.cli.main import app
from autodp_ray.cluster.ray import Cluster
from autodp_ray.config.run_config import build_config
from autodp_ray.strategies.processing import Processor
from docs_generator.errors import MEANING, PASSED_ON, WORDED_IN, messages, unworded
from docs_generator.site import NAVIGATION, source_of, write_sources
from tests.autodp_ray.run_fakes import FakeRecipe, config_values
from tests.command_lines import params_of
from tests.fenced_blocks import DOCUMENTS, NOTEBOOK, ROOT, Block, blocks, command_lines, notebook_code

KINDS = {
    "console",  # runs here
    "console cloud",  # needs a cluster, a network or GPUs
    "console long",  # takes minutes, or files of the reader
    "python",  # runs here
    "python ray",  # runs here, on Ray
    "yaml",  # a part of a config
    "text",  # what is shown, not run
    "{eval-rst}",  # for the site
}
LINKS = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PROSE = (ROOT / "README.md", *(path for path in DOCUMENTS if "decisions" not in path.parts))
PROGRAMS = {"bash": "bash", "python": sys.executable, "ray": str(Path(sys.executable).with_name("ray"))}


def test_every_block_says_what_it_is_and_where_it_can_run() -> None:
    assert {block.kind for block in blocks()} == KINDS


@pytest.mark.parametrize("line", command_lines("console"))
def test_a_command_that_needs_nothing_runs(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    program, *arguments = shlex.split(line)
    if program == "autodp":
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        return
    run = subprocess.run([PROGRAMS[program], *arguments], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    "line",
    [line for line in command_lines("console cloud", "console long") if re.match(r"(autodp|submit) (?!-)", line)],
)
def test_other_commands_of_ours_have_options_that_exist_and_configs_that_are_there(line: str) -> None:
    params = params_of(line.replace("$SETS", "--set storage=s3://b --set dataset.path=s3://b/d.jsonl"))
    config = params.get("config")
    is_readers_own = config is not None and "/" not in config
    assert config is None or is_readers_own or (ROOT / config).is_file()


def test_a_command_may_be_broken_into_lines() -> None:
    assert [line for line in command_lines("console long") if line.endswith("\\") or line.startswith("--")] == []
    assert any(line.startswith("autodp compare configs/paper") and "--output" in line for line in command_lines())


def test_a_misspelt_option_would_be_seen() -> None:
    with pytest.raises(Exception, match="No such option"):
        params_of("autodp run configs/quickstart.yaml --run-dri runs/first")


@pytest.mark.parametrize("block", blocks("yaml"), ids=lambda block: block.file)
def test_every_part_of_a_config_is_valid(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "custom_operator"))
    part, whole = yaml.safe_load(block.text), config_values("data.jsonl")
    for section, values in part.items():
        known = whole.get(section, {})
        assert isinstance(known, Mapping)
        whole[section] = {**known, **values}
    build_config(whole)


def test_a_wrong_part_of_a_config_would_be_seen() -> None:
    with pytest.raises(Exception, match=r"unknown key training\.epoch"):
        build_config(config_values("data.jsonl", training={"epoch": 1}))


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block.file)
def test_python_runs(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    exec(compile(block.text, block.file, "exec"), {})


@pytest.fixture
def stand_in_for_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Operators do nothing, in this process; reading, accounting and writing are real."""

    @contextmanager
    def connected() -> Iterator[Cluster]:
        yield Cluster(is_own=False, num_nodes=1, num_cpus=2, num_gpus=0, hosts=frozenset())

    monkeypatch.setattr(process_module, "connected", connected)
    monkeypatch.setattr(engine, "Processor", functools.partial(Processor, apply_recipe=FakeRecipe()))
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("stand_in_for_ray")
@pytest.mark.parametrize("block", blocks("python ray"), ids=lambda block: block.file)
def test_python_on_ray_runs(block: Block) -> None:
    exec(compile(block.text, block.file, "exec"), {})


@pytest.mark.usefixtures("stand_in_for_ray")
def test_the_notebook_runs(tmp_path: Path) -> None:
    names: dict[str, object] = {}
    for code in notebook_code(long=False):
        exec(compile(code, NOTEBOOK.name, "exec"), names)
    assert (tmp_path / "cleaned.jsonl").is_file()
    for code in notebook_code(long=True):
        compile(code, NOTEBOOK.name, "exec")


def _anchors(text: str) -> set[str]:
    """The anchors that GitHub and the site give to headings."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", [*DOCUMENTS, *ROOT.glob("*.md")], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_to_a_file_or_heading_of_ours_leads_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    dead = []
    for target in LINKS.findall(re.sub(r"`[^`\n]*`", "", text)):
        if ":" in target:
            continue
        file, _, anchor = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        is_made = found.parent == ROOT / "docs" / "reference" and found.stem in {"cli", "config", "result", "errors"}
        if not is_made and not (found.exists() and (not anchor or anchor in _anchors(found.read_text("utf-8")))):
            dead.append(target)
    assert dead == []


def test_every_file_that_a_page_names_is_there() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    named = {*re.findall(r"\b(?:configs|deploy|serve_configs|examples|tests)/[\w./-]*\w|constraints-\w+\.txt", text)}
    named |= {*re.findall(r"`((?:operators|actors|autodp_ray|benchmarks)/[\w./]*\w)`", text)}
    assert len(named) > 40
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_sentences_can_be_read_at_once() -> None:
    long = [
        sentence
        for path in PROSE
        for sentence in _sentences(path.read_text(encoding="utf-8"))
        if len(sentence.split()) > 40
    ]
    assert long == []


def _sentences(markdown: str) -> list[str]:
    text = re.sub(r"^```.*?^```$|^\|.*$|^#.*$|<!--.*?-->", "\n", markdown, flags=re.M | re.S)
    blocks_of_text = re.split(r"\n\s*\n|\n(?=- |\d+\. )", text)
    return [part for block in blocks_of_text for part in re.split(r"(?<=[.?:;])\s+", " ".join(block.split())) if part]


def test_every_benchmark_that_a_page_names_exists() -> None:
    from benchmarks.protocol import NAMES

    text = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    named = {*re.findall(r"python -m benchmarks run (\w+)", " ".join(text.split()))}
    assert named
    assert named <= {*NAMES}


def test_every_page_is_in_the_navigation_and_its_links_and_code_are_resolved(tmp_path: Path) -> None:
    write_sources(tmp_path / "site")
    pages = {
        path.relative_to(tmp_path / "site").with_suffix("").as_posix() for path in (tmp_path / "site").rglob("*.md")
    }
    named = {page for group in NAVIGATION.values() for page in group}
    assert pages - named == {"index"} | {page for page in pages if page.startswith("decisions/")} - {"decisions/index"}
    assert named <= pages
    extend = (tmp_path / "site" / "how-to" / "extend.md").read_text(encoding="utf-8")
    assert "class BrevityEvaluator(Evaluator):" in extend
    assert "<!-- code" not in extend
    with pytest.raises(ValueError, match=r"has no Nothing, which a page of docs/ shows"):
        source_of("tests/test_documents.py", ["Nothing"])


def test_every_event_of_a_journal_has_its_line() -> None:
    page = (ROOT / "docs" / "reference" / "journal.md").read_text(encoding="utf-8")
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "autodp_ray").rglob("*.py"))
    constants = {*re.findall(r"(?:journal\.(?:once|append)|Steps)\((?:event=)?([A-Z_]+),", source)}
    names = {*re.findall(r"^| `(\w+)` |", page, re.M)}
    assert constants >= {"ATTEMPT", "TRAINING", "PROPOSAL"}
    assert {constant.lower() for constant in constants} - names - {""} == set()


def _messages_quoted(page: str) -> list[str]:
    """What the first columns of a page quote of errors; fewer words are names of settings and results."""
    cells = re.findall(r"^\| (.*?) \|", (ROOT / page).read_text(encoding="utf-8"), re.M)
    return [quote for cell in cells for quote in re.findall("`(.*?)`", cell) if len(quote.split()) > 3]


def test_every_message_that_a_page_quotes_is_raised() -> None:
    quotes = [*_messages_quoted("docs/troubleshooting.md"), *_messages_quoted("docs/cluster.md")]
    texts = [message.text for message in messages()]
    assert len(quotes) > 15
    unknown = [quote for quote in quotes if not any(_part_of(quote, text) for text in texts)]
    assert unknown == []
    assert not any(_part_of("the run holds ... but never this", text) for text in texts)


def _part_of(quote: str, text: str) -> bool:
    return re.search(".*?".join(map(re.escape, quote.split("..."))), text) is not None


def test_every_message_of_an_error_is_listed() -> None:
    assert unworded() <= {*WORDED_IN} | PASSED_ON, "say in docs_generator/errors.py where the message is worded"
    assert {message.kind for message in messages()} == {*MEANING}


@pytest.mark.parametrize(
    "arguments",
    [
        ["init", "nowhere.jsonl"],
        ["init", "README.md"],
        ["init", "examples/data/preference.jsonl"],
        ["plan", "configs/quickstart.yaml", "--set", "training.epoch=1"],
        ["plan", "configs/quickstart.yaml", "--set", "training.epochs"],
        ["plan", "configs/quickstart.yaml", "--strategies", "cleaning>cleaning"],
        ["run", "--resume", "runs/nowhere"],
        ["apply", "runs/nowhere"],
        ["cache", "prune", "--max-size", "much"],
        ["process", "README.md", "--strategy", "polishing", "--output", "out"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_the_message_of_a_failed_command_is_found_in_the_list(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2, done.output
    said = " ".join(done.output.split())
    templates = [one.text for one in messages() if len(one.text.replace("...", "").split()) > 2]
    assert [text for text in templates if re.search(".*?".join(map(re.escape, text.split("..."))), said)], said

"""Configs as people, editors and attackers leave them: a Config or one line of bounded length, soon."""

from __future__ import annotations

import copy
import random
import time
from pathlib import Path

import yaml
from typer.testing import CliRunner

from autodp_ray.cli.main import app
from autodp_ray.config.run_config import Config, build_config, load_config
from operators.contract.errors import InputError

QUICKSTART = Path(__file__).parents[2] / "configs" / "quickstart.yaml"
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
MAX_LINE = 8000
MAX_S = 5.0
SCALARS: tuple[object, ...] = (
    None,
    True,
    0,
    -1,
    10**30,
    1.5,
    float("nan"),
    float("inf"),
    -float("inf"),
    1e308,
    "",
    "x" * 10_000,
    "2024-13-45",
    "\U0001f600",
    "../../etc/passwd",
    "s3://KEY:SECRET@bucket",
    "[z-a]",
    [],
    {},
    [[]],
    {"name": "strip_markpu"},
    {"name": "x" * 10_000},
    [{"name": None}],
)
TEXTS = (
    "a: 2024-13-45",
    "a: !!int abc",
    "a: !!bool x",
    "a: !!float x",
    "a: !!timestamp x",
    "a: !!binary '@'",
    "a: !!python/object/apply:os.system ['true']",
    "a: !!set {x, y}",
    f"seed: {'9' * 5000}",
    f"seed: 0x{'f' * 5000}",
    f"seed: 1{':59' * 3000}",
    f"a: {'[' * 3000}",
    f"a: {'{x: ' * 3000}",
    "- " * 3000,
    "a: &x [*x]",
    "a: &x {b: {c: *x}}",
    "<<: *missing",
    "a: &x {}\n<<: [*x, 3]",
    "a: 1\na: 2",
    "? [1, 2]\n: 3",
    "? {a: b}\n: 3",
    "1: 2\nnull: 3\ntrue: 4",
    "\0",
    "a: \x07",
    "%YAML 9.9\n---\na: 1",
    "--- a\n--- b",
    "dataset: {path: 'data/[z-a].jsonl'}",
    "\n".join(["a0: &a0 [x]", *(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]" for n in range(11))]),
)
DEBRIS = (b"&a ", b"*a", b"!!int ", b"\t", b"- ", b"{", b"]", b": ", b"\xff", b"|\n", b"? ")


def outcome(config: Path) -> Config | str:
    """What the loader makes of a file, within its time and one bounded line."""
    start = time.process_time()
    try:
        found: Config | str = load_config(str(config))
    except InputError as error:
        found = str(error)
    assert isinstance(found, Config) or ("\n" not in found and 0 < len(found) <= MAX_LINE)
    assert time.process_time() - start < MAX_S
    return found


def mutated(tree: object, case: random.Random) -> object:
    """One value somewhere in the tree is replaced, removed, doubled or renamed."""
    if isinstance(tree, dict) and tree and case.random() < 0.8:
        key = case.choice(sorted(tree, key=str))
        how = case.random()
        if how < 0.6:
            tree[key] = mutated(tree[key], case)
        elif how < 0.75:
            del tree[key]
        elif how < 0.9:
            tree[case.choice(["x", key[:-1] or "y", key.upper(), "q" * 5_000])] = tree.pop(key)
        else:
            tree[key] = {key: tree[key]}
        return tree
    if isinstance(tree, list) and tree and case.random() < 0.7:
        at = case.randrange(len(tree))
        tree[at] = mutated(tree[at], case)
        return tree
    return copy.deepcopy(case.choice(SCALARS))


def test_a_changed_quickstart_is_a_config_or_one_line(cases: list[random.Random], tmp_path: Path) -> None:
    whole = yaml.safe_load(QUICKSTART.read_text("utf-8"))
    for case in cases:
        tree = copy.deepcopy(whole)
        for _ in range(case.randint(1, 3)):
            tree = mutated(tree, case)
        path = tmp_path / "config.yaml"
        path.write_text(yaml.dump(tree, Dumper=DUMPER, allow_unicode=True), encoding="utf-8")
        outcome(path)


def test_bytes_that_were_a_config_are_one_or_one_line(cases: list[random.Random], tmp_path: Path) -> None:
    whole = QUICKSTART.read_bytes()
    for case in cases:
        data = bytearray(whole)
        for _ in range(case.randint(1, 8)):
            at = case.randrange(len(data))
            how = case.random()
            if how < 0.4:
                data[at] = case.randrange(256)
            elif how < 0.7:
                data[at:at] = case.choice(DEBRIS)
            else:
                del data[at : at + case.randint(1, 200)]
        path = tmp_path / "config.yaml"
        path.write_bytes(bytes(data))
        outcome(path)


def test_hostile_yaml_ends_the_command_with_code_2_and_one_line(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    for text in (*TEXTS, "", "- a\n- b", "just text"):
        path.write_text(text, encoding="utf-8", newline="")
        assert isinstance(outcome(path), str), text[:80]
        result = CliRunner().invoke(app, ["plan", str(path)])
        assert result.exit_code == 2, text[:80]
        assert result.stderr.count("\n") == 1


def test_paths_that_are_no_config_end_with_code_2_and_one_line(tmp_path: Path) -> None:
    for place in (str(tmp_path), "x" * 5000, "/".join("x" * 250 for _ in range(30)), "a\0b", "", "/dev/zero"):
        result = CliRunner().invoke(app, ["plan", place])
        assert result.exit_code == 2, place[:80]
        assert result.stderr.count("\n") == 1
        assert len(result.stderr) < MAX_LINE


def test_overrides_are_settings_or_one_line(cases: list[random.Random]) -> None:
    whole = yaml.safe_load(QUICKSTART.read_text("utf-8"))
    keys = [f"{section}.{name}" for section, body in whole.items() if isinstance(body, dict) for name in body]
    texts = [*TEXTS, *(str(each) for each in SCALARS), "[", "{a: ", "&a [*a]", "!!int x", ".nan", "-.inf"]
    for case in cases:
        value = case.choice(texts)
        key = case.choice([*keys, "seed", "a." * 500 + "b", "", ".", "x" * 10_000])
        said = ""
        try:
            build_config(copy.deepcopy(whole), [f"{key}={value}"])
        except InputError as error:
            said = str(error)
        assert len(said) <= MAX_LINE

"""Settings that hold for every test (no hub, loopback only), and the tiny model that tests share."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from actors.storage.storage import Storage

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads of one test process starve the others

# How long an example or its making takes depends on what else the machine does; pytest-timeout bounds a test.
_SLOW = [hypothesis.HealthCheck.too_slow]
hypothesis.settings.register_profile("house", deadline=None, suppress_health_check=_SLOW)
# The same examples every time: what a change did not touch does not fail it. pytest by itself draws others each time.
hypothesis.settings.register_profile(
    "check", parent=hypothesis.settings.get_profile("house"), max_examples=25, derandomize=True
)
hypothesis.settings.load_profile(os.environ.get("AUTODP_HYPOTHESIS", "house"))

FIXTURES_OF_RAY = {"local_ray", "make_sandbox"}
"""Whoever asks for one starts Ray, in this process or in a command's."""
WARNINGS_OF_LARGE_PARTS = (
    "default",
    "ignore::ResourceWarning",
    "error::pytest.PytestUnhandledThreadExceptionWarning",
    r"error:::(operators|actors|autodp_ray|benchmarks|tests)\b",
)
"""Where Ray, DeepSpeed or vllm run: of our code every warning is an error, of theirs it is shown."""
FIXTURES_OF_MODELS_AND_SERVERS = {"tiny_model", "tiny_encoder", "s3_bucket"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts Ray, loads or trains models, or asks a server of S3, by the fixtures that it asks for."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if fixtures & FIXTURES_OF_RAY:
            item.add_marker(pytest.mark.ray)
        if any(item.get_closest_marker(name) for name in ("ray", "slow", "vllm")):
            item.add_marker(pytest.mark.filterwarnings(*WARNINGS_OF_LARGE_PARTS), append=False)
        if fixtures & FIXTURES_OF_MODELS_AND_SERVERS or "s3" in _parameters(item):
            item.add_marker(pytest.mark.heavy)


def _parameters(item: pytest.Item) -> list[object]:
    call = getattr(item, "callspec", None)
    return [] if call is None else [value for value in call.params.values() if isinstance(value, str)]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a two-layer random chat model with tokenizer, template and safetensors weights."""
    from tests.tiny_model import make_tiny_model  # torch: only for the tests that want the model

    return make_tiny_model(tmp_path_factory.mktemp("tiny_model") / "model")


@pytest.fixture(scope="session")
def s3_bucket() -> Iterator[Storage]:
    """An S3 bucket that a server on loopback keeps in memory."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "tests",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="autodp")
        yield Storage.at("s3://autodp")
    server.stop()


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a two-layer random sentence encoder with tokenizer and safetensors weights."""
    from tests.tiny_encoder import make_tiny_encoder  # torch: only for the tests that want the model

    return make_tiny_encoder(tmp_path_factory.mktemp("tiny_encoder") / "encoder")


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """One local Ray for the whole session, on loopback."""
    import ray  # for the tests that want it

    ray.init(
        address="local",  # and not the Ray of somebody else on this machine
        num_cpus=4,
        object_store_memory=512 * 1024**2,
        include_dashboard=False,
        log_to_driver=False,
        namespace="autodp-tests",
    )
    yield
    ray.shutdown()

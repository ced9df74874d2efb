"""The litellm proxy as a process in front of this server: its providers, called over HTTP and with cohere's SDK."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cohere
import httpx
import pytest

from clients.cases import DOCUMENTS, QUERY, expect
from clients.harness import Harness
from clients.recording_proxy import RecordingProxy
from clients.setups import ClientSetup, client_setup

pytestmark = pytest.mark.timeout(600)  # on a busy machine, the proxy needs minutes for its imports
MASTER_KEY = "sk-proxy"
PROVIDERS = {
    "together_ai": "/v1",
    "cohere": "",
    "jina_ai": "",
    "hosted_vllm": "",
    "infinity": "/infinity",
    "huggingface": "",
    "voyage": "/v1",
    "azure_ai": "/providers/cohere/v2",
    "fireworks_ai": "",
}
"""Path behind the root URL of the server, by provider."""


@client_setup(
    "litellm proxy", package="litellm", dialect="all of litellm's", note="set the same `api_base` as in litellm's SDK"
)
def over_http(H: str, k: str, M: str) -> Any:
    return partial(httpx.post, H + "/rerank", headers={"Authorization": "Bearer " + k})


@client_setup("litellm proxy", package="litellm", dialect="all of litellm's")
def by_cohere_v1(H: str, k: str, M: str) -> cohere.Client:
    return cohere.Client(api_key=k, base_url=H)


@client_setup("litellm proxy", package="litellm", dialect="all of litellm's")
def by_cohere_v2(H: str, k: str, M: str) -> cohere.ClientV2:
    return cohere.ClientV2(api_key=k, base_url=H)


@pytest.fixture(scope="module")
def proxy(recorder: RecordingProxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start the proxy and yield its root URL."""
    config = tmp_path_factory.mktemp("proxy") / "config.json"
    models = [
        {
            "model_name": provider,
            "litellm_params": {
                "model": f"{provider}/starter",
                "api_base": recorder.url + below,
                "api_key": os.environ["CLIENTS_KEY"],
            },
        }
        for provider, below in PROVIDERS.items()
    ]
    config.write_text(json.dumps({"model_list": models, "general_settings": {"master_key": MASTER_KEY}}))
    port = _free_port()
    command = [str(Path(sys.executable).parent / "litellm"), "--config", str(config), "--port", str(port)]
    with subprocess.Popen(
        [*command, "--host", "127.0.0.1"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield _running(process, port)
        finally:
            process.kill()


def _free_port() -> int:
    """Return a free port: the proxy cannot choose one itself."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _running(process: subprocess.Popen[str], port: int) -> str:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Uvicorn running" in line:
            return f"http://127.0.0.1:{port}"
    raise AssertionError("".join(lines))


@pytest.mark.parametrize("provider", PROVIDERS)
def test_it_ranks_by_every_provider(harness: Harness, proxy: str, provider: str) -> None:
    """Rank over plain HTTP."""
    call = harness.at(over_http, H=proxy, k=MASTER_KEY)
    response = call(json={"model": provider, "query": QUERY, "documents": DOCUMENTS, "top_n": 3}, timeout=60)
    assert response.status_code == 200, response.text
    expect((result["index"], result["relevance_score"]) for result in response.json()["results"])


@pytest.mark.parametrize("made", [by_cohere_v1, by_cohere_v2], ids=str)
def test_it_ranks_for_cohere(harness: Harness, proxy: str, made: ClientSetup[Any]) -> None:
    """Rank with the SDK, over `/v1/rerank` and `/v2/rerank` of the proxy."""
    client = harness.at(made, H=proxy, k=MASTER_KEY)
    response = client.rerank(model="cohere", query=QUERY, documents=DOCUMENTS, top_n=2)
    expect([(result.index, result.relevance_score) for result in response.results], top_n=2)

"""The blocks in the pages of the repository that no test runs, each with its reason. All of them are parsed.

A block that needs more than a started server, the bundled model and the packages of the tests belongs here. A block
or a command that no page has any more is an error.
"""

PROGRAMS = {
    "apt-get": "installs packages of the machine",
    "buf": "is a program of its own; make test-clients runs it",
    "docker": "needs a container engine",
    "git": "gets files from the network",
    "grpcurl": "is a program of its own; tests/service/api/grpc tests reflection",
    "haproxy": "tests/e2e/test_proxies.py checks the file",
    "kubectl": "needs a cluster",
    "make": "installs, measures or serves; targets and variables are checked",
    "nginx": "tests/e2e/test_proxies.py checks the file",
    "opentelemetry-instrument": "needs a receiver of traces",
    "pip": "installs packages",
    "pipx": "installs packages",
    "pre-commit": "installs hooks of git",
    "protoc": "needs the plugin of a language",
    "rclone": "needs storage",
    "sudo": "changes the machine",
    "systemd-run": "needs systemd",
}
"""Programs that are not run. The list is general: an entry may fit no block."""

OPTIONAL = ("curl", "jq")
"""Programs that are run where they are installed."""

COMMANDS = {
    "rerank admin": "needs a server with admin keys; tests/e2e/test_admin.py runs them",
    "rerank bench": "measures for a minute; tests/e2e/test_bench.py runs it",
    "rerank doctor": "fails if this machine has a fault; tests/service/tools/doctor runs its checks",
    "rerank export": "needs torch; make export-test runs it",
    "rerank serve": "serves until it is stopped",
    "rerank batch pairs.parquet scored.parquet --ray": "needs a Ray cluster; make test-ray runs one",
    "rerank models --server localhost:50051 --tls-ca": "needs a server with TLS; tests/e2e/test_tls.py runs one",
    "python -m bench.chart": "needs a file of `make bench`",
    "source .venv/bin/activate": "the tests run in this environment",
}
"""Beginnings of commands that are not run."""

PYTHON = {
    ("docs/admin.md", "AdminClient"): "needs a server with admin keys; tests/e2e/test_admin.py has one",
    ("docs/batch.md", "import ray"): "needs Ray; make test-ray runs the same class",
    ("docs/engines.md", "from pymilvus"): "needs Milvus",
    ("docs/how-to/move.md", "import voyageai"): "make test-clients runs this client",
    ("docs/how-to/search-engines.md", "import psycopg"): "needs PostgreSQL with pgvector",
    ("docs/python.md", "tls_ca="): "needs a server with TLS; tests/e2e/test_tls.py runs one",
    ("docs/how-to/search-engines.md", "from qdrant_client"): "needs Qdrant",
}
"""Blocks of Python that are not run: the page, and a part of the block."""

PAGES = {
    "docs/reference/cli.md": "examples of --help: their files are those of the reader",
}
"""Pages whose blocks are not run."""

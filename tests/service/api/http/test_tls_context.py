"""Memory of a TLS connection to the REST server."""

from asyncio.sslproto import SSLProtocol
from pathlib import Path

import httpx
import trustme

from support.running import Running
from support.tls import tls_served, write_pems


async def test_buffer_is_small_and_large_bodies_arrive(core: Running, tmp_path: Path) -> None:
    """asyncio allocates 256 KiB for each connection, also for one whose handshake never ends."""
    pems = write_pems(tmp_path / "tls", trustme.CA())
    async with tls_served(core, pems.files()) as served, httpx.AsyncClient(verify=False, timeout=60) as http:
        assert SSLProtocol.max_size == 32 * 1024
        body = {"query": "0", "documents": ["1 " * 300_000, "2"]}
        response = await http.post(f"{served.rest_url}/v2/rerank", json=body)
        assert response.status_code == 200
        assert len(response.json()["results"]) == 2

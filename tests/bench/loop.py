"""One event loop for all of a run: grpc's own threads call back to the loop of a client after that has ended."""

import asyncio

run = asyncio.Runner().run
"""As asyncio.run, on that loop."""

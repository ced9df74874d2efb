"""One event loop for a whole benchmark: threads of grpc call back to a client's loop after the client has closed."""

import asyncio

run = asyncio.Runner().run
"""Run a coroutine, like asyncio.run, on the shared loop."""

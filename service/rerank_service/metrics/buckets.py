"""Upper bounds of histograms. The first two are those that other servers have, so that one query compares all."""

GRPC_SECONDS = (
    *(0.0, 0.00001, 0.00005, 0.0001, 0.0003, 0.0006, 0.0008, 0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008),
    *(0.01, 0.013, 0.016, 0.02, 0.025, 0.03, 0.04, 0.05, 0.065, 0.08),
    *(0.1, 0.13, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0),
)
"""Latency in seconds. Source: gRFC A66, Units."""
GRPC_BYTES = (0, 1024, 2048, 4096, 16384, 65536, 262144, *(4**power * 1024**2 for power in range(7)))
"""Size in bytes. Source: gRFC A66, Units."""
HTTP_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Latency in seconds. Source: OpenTelemetry semantic conventions, http.server.request.duration."""
PART_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Time of a part of a request, in seconds."""

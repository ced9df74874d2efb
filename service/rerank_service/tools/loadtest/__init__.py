"""Load test of a running server: `rerank bench`. `make bench` measures served peers with it too.

    workload       requests of a test; the same seed gives the same requests
    target         protocols that a server under load implements; grpc_target, http_target and dialects implement them
    generator      closed-loop and open-loop load
    summary        outcomes of calls -> throughput, latency and errors
    load_report    JSON report; latency_plot draws it

Rule: a failed call is an outcome. It is counted by its kind and never retried.
"""

"""Load on a running server, and what came of it: `rerank bench`, and what `make bench` measures served contestants by.

    workload     which requests: the same ones for the same seed
    target       a server as its clients see it; grpc_target, http_target and dialects speak to it
    generator    clients that wait for their answers, or arrivals that do not
    summary      outcomes -> figures; picture draws them

Rule: a call that fails is an outcome like any other. It is counted by its kind, and never tried again.
"""

"""The gRPC services rerank.v1 and tei.v1, with health checks and reflection on one port."""

"""The protocols that clients speak, gRPC and REST: decode a request, call the reranker, encode the answer."""

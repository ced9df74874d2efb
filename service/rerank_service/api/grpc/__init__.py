"""The gRPC protocols, rerank.v1 and tei.v1: messages in, messages out."""

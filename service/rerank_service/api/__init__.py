"""gRPC and REST: convert requests to the core's types, and rankings to responses."""

"""Parts grpc and admin: all methods of the gRPC server."""

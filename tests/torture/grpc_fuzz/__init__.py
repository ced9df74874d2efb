"""Parts grpc and admin: all methods of the gRPC server, with any messages, metadata, streams and HTTP/2 frames.

methods     all methods of a port, by reflection
messages    valid messages of any type
damage      changes of the bytes of a message
case        an input: a call, or frames, as it is kept in files
calls       random calls, and how they are made
plain       valid calls
frames      random HTTP/2 frames
part        the parts
"""

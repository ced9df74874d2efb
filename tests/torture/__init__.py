"""`make torture`: a long campaign that tries to break the started server, and checks that it stays whole.

A campaign consists of parts. A part tries numbered inputs: the input is a function of the part, the seed and the
number, so each one can be tried again alone. Read in this order:

    __main__      command line
    part          contract of a part, outcomes and failures
    parts         all parts. To add one, add a module with a `PART`, and name it there
    campaign      order of the parts, time, summary
    part_run      the inputs of one part: concurrency, checks after each block, progress
    blocks        inputs in blocks, several at a time
    progress      files in out/torture, with which an interrupted campaign continues
    server        the started server, and the checks that it is whole: ready, same score, clean log
    steady        small requests beside the part, which must always be answered correctly
    resources     memory, threads and file descriptors of a process, and their growth by regression
    summary       tables
    corpus        inputs that found a fault, each with the expected outcome; replayed first
    wire          an input of bytes for a socket, and what came back
    values        values and texts that break programs, and a writer of invalid JSON
    mutations     changes of JSON values and of bytes
    http_fuzz/    part http: all paths of the REST server
    grpc_fuzz/    parts grpc and admin: all methods of the gRPC server
    file_fuzz/    part files: input files and models, read by the commands

Rule: an input that fails is written to out/torture/failures, and printed with the command that repeats it.
"""

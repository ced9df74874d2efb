"""Random-weight models of the shapes that people serve, and what serving them costs beside a peer (`make bench-shapes`).

One module per architecture describes its shapes and builds them; catalog.py lists the modules. build.py writes a shape as
a folder of the Hugging Face hub, exports it, and writes the graphs of the peers. The rest measures and writes the table.

Rule: only `build` functions and build.py import torch, so that everything else runs in the server's environment.
"""

"""One file a contestant that runs in a process of its own; each is run by its own environment's Python and imports
nothing of ours but `lines`, which needs nothing but the standard library."""

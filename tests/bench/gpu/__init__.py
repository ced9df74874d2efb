"""Models with random weights on a GPU, beside sentence-transformers on the same GPU (`make bench-gpu`).

systems.py lists the systems, measure.py takes the figures of one model, and page.py writes them.
"""

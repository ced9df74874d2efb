"""Graphs made from a bundle's own, for engines that need another one.

int8.py      products with weights in 8 bits, each row of a batch with a scale of its own
cache.py     where they are kept between starts
derive.py    a bundle and an engine in, the graph to run out
"""

"""Graphs made from a bundle's own, for engines that need another one.

int8.py      products with weights in 8 bits, each row of a batch with a scale of its own
fused.py     attention, norms and activations as one operator each, compared with what was there
packing.py   padding taken out
fp16.py      both, in fp16, for a GPU
cache.py     where they are kept between starts
recipes.py   their names
derive.py    a bundle and an engine in, the graph to run out
"""

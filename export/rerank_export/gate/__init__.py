"""The gate: each graph of a bundle is compared with PyTorch, and a graph outside its tolerance ends the export.

verification.py      the steps, and the message if a graph fails
gate_options.py      options of the user
torch_reference.py   the logits that transformers computes in fp32
edge_pairs.py        built-in pairs at the edges of a model's input
parity_set.py        the queries that graphs are compared on: the built-in set, or the user's own
graph_checker.py     all comparisons of one graph; graph_finding.py holds their result
drift.py             the difference between two scorings of the parity set
invariance.py        the change of a logit with padding, neighbours and order
speed.py             pairs per second, measured in turn
tolerance.py         the limits per precision, with reasons
report_json.py       report.json
"""

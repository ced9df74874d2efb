"""Whether the graphs of a bundle score as the model does that they were made of.

parity_set.py   what they are compared on: the built-in set, or the user's own
tolerance.py    how far each precision may be off, and why
drift.py        how unlike two scorings of the set are
invariance.py   whether a pair's logit depends on padding, neighbours or order
speed.py        pairs a second, in turn
judge.py        all of it for each graph of a bundle
report.py       report.json
"""

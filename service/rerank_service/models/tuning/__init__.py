"""What this machine runs best: measured, gated by rank agreement with fp32, remembered.

parity.py    the parity set, and how alike two rankings of it are
gate.py      whether an engine ranks as fp32 does
measure.py   tokens a second
record.py    what was found, as it is kept
select.py    at start: what was asked for, what is remembered, what is sure
short.py     in the background after a first start, seconds
full.py      `rerank tune`, minutes
"""

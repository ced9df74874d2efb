"""What this machine runs best: measured, gated by rank agreement with fp32, remembered.

parity.py    the parity set, and how alike two rankings of it are
gate.py      whether an engine ranks as fp32 does
measure.py   tokens a second
candidates.py  the engines that are measured, loaded one at a time
memory.py    what an engine would take, and whether that is left
cgroup.py    the memory limits of this process
code.py      the version of the code that a measurement depends on
trials.py    speeds beside fp32, and the verdict on each engine
record.py    what was found, as it is kept
select.py    at start: what was asked for, what is remembered, what is sure
short.py     in the background after a first start, seconds
full.py      `rerank tune`, minutes
"""

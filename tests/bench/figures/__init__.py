"""Measurements, one file for each figure. performance_targets.py has the comparisons and bounds."""

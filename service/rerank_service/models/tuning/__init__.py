"""Tuning: measure which engine is the fastest on this machine whose ranking matches fp32, and keep the result."""

"""Passes over a graph: each keeps the logits and lowers the cost, or leaves the graph unchanged and says why."""

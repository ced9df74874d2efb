"""The edges: what clients speak, turned into the core's types and back."""

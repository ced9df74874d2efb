"""Equivalence: each answer under load equals the answer of the same request alone."""

"""Admission, and who runs next: deadlines, the fair queue, batches, lanes, shared scores."""

"""Admission, deadlines, the fair queue, batches, lanes, and scores that requests share."""

"""Hugging Face model to bundle: optimum's export, checked against the model itself. torch lives only here."""

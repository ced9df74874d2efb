"""The model's files: a local folder, or a download from the Hugging Face hub."""

"""Documents become token pairs: text of objects, tokenizer, template, windows, duplicates."""

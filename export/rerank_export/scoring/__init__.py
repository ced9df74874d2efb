"""The scoring of a pair: head, template, answer tokens, activation.

Rule: a value comes from an option, the model's files, or the recipe of its family. It is never guessed.
"""

"""The catalog: the models that a server has, from a models file or a folder of bundles."""

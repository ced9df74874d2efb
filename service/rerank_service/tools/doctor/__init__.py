"""`rerank doctor`: checks of this machine and of the settings, one file per group."""

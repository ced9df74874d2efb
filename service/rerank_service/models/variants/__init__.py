"""Variants: graphs derived from the graph of a bundle, for engines that need another one."""

"""Configs, one file an experiment; `get_config()` only."""

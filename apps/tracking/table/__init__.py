"""The table of a project's runs: what is asked for, what is found, the groups, the keys to choose from."""

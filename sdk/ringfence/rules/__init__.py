"""The rules: what a rulebook is, and the French one."""

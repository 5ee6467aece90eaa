"""Decide inside the dialer, from memory, whether a call may be placed, and prove it later."""

__all__: list[str] = []

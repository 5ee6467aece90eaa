"""Asterisk: a FastAGI server in front of a gate."""

from ringfence_adapters.agi.server import serve

__all__ = ["serve"]

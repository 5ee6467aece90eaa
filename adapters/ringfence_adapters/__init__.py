"""Dialers and switches in front of a gate: one package an adapter, none knows another."""

__all__: list[str] = []

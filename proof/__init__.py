"""Proof by force: what the invariants promise, attacked and counted."""

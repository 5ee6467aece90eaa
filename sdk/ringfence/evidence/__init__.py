"""The proof of every decision: a hash-chained log on disk, and what can be asked of it later."""

"""The authority: stores events, folds them into rows, numbers and publishes the changes."""

"""A text model as a SavedModel, and what can be proven about it."""

"""Word vectors trained on texts."""

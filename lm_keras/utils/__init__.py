"""What every part of the package may use: it knows nothing of texts or models."""

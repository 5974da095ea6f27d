"""What a set of texts is like, and what should not be in it."""

"""The page on a set of texts."""

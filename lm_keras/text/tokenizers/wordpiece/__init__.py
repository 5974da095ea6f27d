"""BERT's pieces of words."""

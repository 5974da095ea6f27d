"""How good word vectors are."""

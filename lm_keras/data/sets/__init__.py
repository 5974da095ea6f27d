"""The named corpora, one file for each kind: how a file of the set becomes records, and the set's entry."""

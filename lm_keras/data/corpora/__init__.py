"""The named sets: where they are, how they are fetched, and how their files become records."""

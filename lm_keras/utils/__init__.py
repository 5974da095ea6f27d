"""What all packages use, and what belongs to none of them."""

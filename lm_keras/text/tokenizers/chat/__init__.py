"""Templates of chats: rendered in a sandbox, and cut into texts and marks."""

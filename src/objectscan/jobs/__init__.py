"""Jobs that are never lost: the database row is the truth, workers claim it, messages only wake them."""

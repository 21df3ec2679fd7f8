"""A generated object, refined against the photos where they show it."""

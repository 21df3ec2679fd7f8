"""Photo sets made in code: good ones, and bad ones with the verdict to expect."""

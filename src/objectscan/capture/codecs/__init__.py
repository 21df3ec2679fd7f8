"""Container checks that look at a picture file before a decoder touches it."""

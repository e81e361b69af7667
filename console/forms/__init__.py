"""One module an area; `base` is what they share."""

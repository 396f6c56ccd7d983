"""What stays float: by name, because it is faster, or because accuracy asks for it."""

"""Scripts that run inside other tools' environments; they import nothing of this package."""

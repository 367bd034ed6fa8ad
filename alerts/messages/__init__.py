"""Messages: what people read, in Chinese."""

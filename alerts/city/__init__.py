"""City: everything of which there is one in a city, worked on in turn by one thread of `underfoot alerts`."""

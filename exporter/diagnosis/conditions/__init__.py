"""The conditions of the causes, by what they speak of."""

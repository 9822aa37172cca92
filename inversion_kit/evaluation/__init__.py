"""What pictures of class tokens are worth, and what of the real pictures they show."""

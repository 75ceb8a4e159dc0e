"""The dry run: what both sides hold (`inventory`), what the work takes (`estimate`), and how an operator reads it (`screen`)."""

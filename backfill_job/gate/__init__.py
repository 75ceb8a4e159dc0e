"""The cutover gate: GO or NO-GO, each check with its evidence."""

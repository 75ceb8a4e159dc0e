"""The scanner of consumer code: who still reads the legacy path, and who mixes the two."""

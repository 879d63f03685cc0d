"""Files by their format: what is in one, whatever a source makes of it."""

"""The edge: one outside thing per file; its errors are translated here."""

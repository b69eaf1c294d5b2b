"""Files in general: confined paths, safe opening, fingerprints, moving."""

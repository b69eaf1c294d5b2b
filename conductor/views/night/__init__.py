"""The report of a night: figures out of the record alone, drawn as one file, and worked out again by whoever
doubts."""

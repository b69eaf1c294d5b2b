"""A Redis that fails over: Sentinels say which server is the master now."""

"""What APIs allow: budgets, pacing, learned limits, endpoints that are not well."""

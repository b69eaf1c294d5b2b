"""The budgets of APIs, as they are counted in the ledger."""

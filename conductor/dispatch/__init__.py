"""Manifests into the ledger."""

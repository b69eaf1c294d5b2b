"""A host: probes itself, publishes its report, supervises its workers. The entry is `run_node` in `run`."""

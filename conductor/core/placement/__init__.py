"""Where a job is put: packing, affinity, several devices."""

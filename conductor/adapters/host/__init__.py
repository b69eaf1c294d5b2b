"""This host: devices, disks, memory, processes, signals, clock."""

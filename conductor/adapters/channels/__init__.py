"""Ways to reach people, and the dead-man's switch that notices when nobody says anything."""

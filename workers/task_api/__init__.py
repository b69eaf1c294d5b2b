"""What a task's author meets: the registry, the context, programs, failure causes."""

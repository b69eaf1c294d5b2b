"""What a worker does next, decided without I/O: events go in as calls, `WorkerMachine.next` gives the next
action.
"""

"""What every `plan.py` needs: a job with its content id, a list of input files, models and stores by name,
and the command around the plan.
"""

from conductor.planning.command import note, planned, run_plan
from conductor.planning.input_files import input_files, input_of, inputs_by
from conductor.planning.jobs import job, rounded_up
from conductor.planning.model_files import NamedModel, named_model
from conductor.planning.stores import open_store

__all__ = [
    "NamedModel",
    "input_files",
    "input_of",
    "inputs_by",
    "job",
    "named_model",
    "note",
    "open_store",
    "planned",
    "rounded_up",
    "run_plan",
]

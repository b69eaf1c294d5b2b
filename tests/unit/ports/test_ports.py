"""Ports stay narrow: who takes one knows what it may ask."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import conductor.ports

MOST_METHODS = 7
PROTOCOLS = [
    node
    for file in sorted(Path(conductor.ports.__file__).parent.glob("*.py"))
    for node in ast.parse(file.read_text()).body
    if isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "Protocol" for base in node.bases)
]


@pytest.mark.parametrize("port", PROTOCOLS, ids=lambda port: port.name)
def test_no_port_has_more_than_seven_methods(port: ast.ClassDef) -> None:
    assert [ast.unparse(base) for base in port.bases] == ["Protocol"], "ports are not built of ports"

    methods = [node.name for node in port.body if isinstance(node, ast.FunctionDef)]

    assert 0 < len(methods) <= MOST_METHODS, f"{port.name}: split it by who calls what"

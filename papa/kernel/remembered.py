"""Requests and records as the ledger keeps them: of what JSON knows, and back."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from zope.interface import implementer

from papa.interfaces import ILedger

__all__ = ["Forgetful", "from_ledger", "to_ledger"]

_Record = TypeVar("_Record")


def to_ledger(record: Any) -> dict[str, object]:
    """The fields of a dataclass that differ from their defaults."""
    fields = {}
    for name, default in _defaults(record.__class__):
        value = getattr(record, name)
        if value != default:
            fields[name] = dict(value) if isinstance(value, Mapping) else value
    return fields


@functools.cache
def _defaults(cls: type[Any]) -> Sequence[tuple[str, object]]:
    """The fields of a dataclass with their defaults, or with what equals nothing."""
    return [
        (field.name, field.default_factory() if callable(field.default_factory) else field.default)
        for field in dataclasses.fields(cls)
    ]


def from_ledger(cls: type[_Record], fields: Mapping[str, Any]) -> _Record:
    """The dataclass again."""
    return cls(**{name: _frozen(value) for name, value in fields.items()})


def _frozen(value: Any) -> Any:
    """JSON has lists only."""
    if isinstance(value, list):
        return tuple(_frozen(each) for each in value)
    if isinstance(value, dict):
        return {name: _frozen(each) for name, each in value.items()}
    return value


@implementer(ILedger)
class Forgetful:
    """The ledger of a kernel that no other will go on from."""

    keeps = False

    def put(self, kind: str, name: str, value: object) -> None:
        """Remember nothing."""

    def remove(self, kind: str, name: str) -> None:
        """There is nothing to remove."""

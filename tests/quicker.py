"""Makes dlt quicker where tests import it; what runs stays the same.

dlt finds out anew what a type hint means whenever it resolves a setting, some thousand times in a
run: a quarter of a small run's CPU, and of the whole suite's. What these functions return depends
on their arguments alone, so it is kept, by the arguments' identity. `test_package`, the examples
for engines and `make demo` run dlt as it is.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import yaml
from dlt.common import typing, validation
from dlt.common.configuration.providers import EnvironProvider
from dlt.common.configuration.specs import base_configuration

READ_HINTS: list[Callable[..., Any]] = [
    base_configuration.extract_inner_hint,
    base_configuration.get_config_if_union_hint,
    base_configuration.is_hint_not_resolvable,
    base_configuration.is_secret_hint,
    base_configuration.is_valid_hint,
    typing.extract_inner_type,
    typing.is_literal_type,
    typing.is_optional_type,
    typing.is_subclass,
    typing.is_typeddict,
    typing.is_union_type,
    validation.get_type_hints,  # type: ignore[attr-defined]
]


def remembering(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that is called once for the same objects."""
    known: dict[Any, tuple[Any, ...]] = {}

    def remembered(*arguments: Any, **options: Any) -> Any:
        key: tuple[Any, ...] = tuple(map(id, arguments))
        if options:
            key += tuple((name, id(value)) for name, value in options.items())
        if key not in known:
            # Held with what it was called with, whose ids no other object can have then.
            known[key] = function(*arguments, **options), arguments, options
        return known[key][0]

    return remembered


def replace(function: Callable[..., Any], instead: Callable[..., Any]) -> None:
    """Put a function in place of another, wherever dlt imported that."""
    for module in [module for name, module in sys.modules.items() if name.startswith("dlt.")]:
        for name in [name for name, value in vars(module).items() if value is function]:
            setattr(module, name, instead)


for read_hint in READ_HINTS:
    replace(read_hint, remembering(read_hint))

fields_of = vars(base_configuration.BaseConfiguration)["get_resolvable_fields"].__func__
resolvable_fields = remembering(fields_of)
base_configuration.BaseConfiguration.get_resolvable_fields = classmethod(  # type: ignore[method-assign,assignment]
    lambda cls: dict(resolvable_fields(cls))
)

EnvironProvider.get_key_name = staticmethod(  # type: ignore[method-assign]
    cache(EnvironProvider.get_key_name)
)

if yaml.__with_libyaml__:
    yaml.dump.__defaults__ = None, yaml.CDumper

gc.freeze()  # what is imported stays, so the collector need not go through it each time
gc.set_threshold(50_000, 20, 20)  # by Python's own it takes a twelfth of the suite's CPU time

"""Arrow types: how a column's values travel through the operators, and how they become the source's type again.

Some types have no kernels for taking rows (views, runs), and a column of nulls may meet values; so such columns travel
as a plain type that holds the same values.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from operators.contract.errors import InputError


def travelling_type(kind: pa.DataType) -> pa.DataType:
    """A type with the same values that every operator can handle."""
    if pa.types.is_null(kind):
        return pa.string()
    return _without_views(decoded_type(kind))


def decoded_type(kind: pa.DataType) -> pa.DataType:
    """The type of the values of a dictionary or of runs; any other type as it is."""
    return kind.value_type if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind) else kind


def _without_views(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_binary_view(kind):
        return pa.large_binary()
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_without_views(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_without_views(kind.value_type)))
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_without_views(kind.value_type)))
    return kind


def converted(column: pa.Array, kind: pa.DataType, *, key: str) -> pa.Array:
    """The same values as another type. Raises: InputError that names the column where the type cannot hold them."""
    if column.type == kind:
        return column
    if pa.types.is_null(column.type) or (pa.types.is_null(kind) and column.null_count == len(column)):
        return pa.nulls(len(column), kind)
    try:
        if pa.types.is_run_end_encoded(column.type):
            return converted(pc.run_end_decode(column), kind, key=key)
        if pa.types.is_run_end_encoded(kind):
            return pc.run_end_encode(converted(column, kind.value_type, key=key), run_end_type=kind.run_end_type)
        if pa.types.is_dictionary(kind):
            values = converted(column, kind.value_type, key=key).dictionary_encode()
            indices = values.indices.cast(kind.index_type)
            return pa.DictionaryArray.from_arrays(indices, values.dictionary, ordered=kind.ordered)
        return column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(
            f"the column {key!r} is {column.type} here and {kind} elsewhere, which cannot hold its values; "
            "give it one type in all files"
        ) from error


def united_type(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """The type that holds the values of both; None where there is none."""
    if one == other:
        return one
    schemas = [pa.schema({"x": decoded_type(kind)}) for kind in (one, other)]
    try:
        kind = pa.unify_schemas(schemas, promote_options="permissive").field("x").type
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return None
    return kind if all(_is_castable(decoded_type(each), kind) for each in (one, other)) else None


def _is_castable(kind: pa.DataType, target: pa.DataType) -> bool:
    try:
        converted(pa.nulls(1, kind), target, key="")
    except InputError:
        return False
    return True


def json_like(kind: pa.DataType) -> pa.DataType:
    """The type with texts where JSON has no such value: times and decimals.

    Raises: ValueError that names a type which no text stands for (bytes, durations).
    """
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(json_like(field.type)) for field in kind])
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        item = kind.value_field.with_type(json_like(kind.value_type))
        return pa.list_(item) if pa.types.is_list(kind) else pa.large_list(item)
    if _is_binary(kind) or pa.types.is_duration(kind) or pa.types.is_interval(kind):
        raise ValueError(f"{kind}")
    return pa.string() if pa.types.is_decimal(kind) or pa.types.is_temporal(kind) else kind


def as_json_like(column: pa.Array, *, key: str) -> pa.Array:
    """A column of turns whose values JSON has."""
    return converted(column, json_like(column.type), key=key)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    )

"""Where each field of a .tflite table stands. Made from schema/tflite.fbs by tools/make_layout.py."""

from __future__ import annotations

from typing import Final, NamedTuple


class Field(NamedTuple):
    """One field: `slot` in the vtable, `kind`, `size` of its item in bytes, and the table or union it leads to."""

    name: str
    slot: int
    kind: str
    size: int
    target: str


TABLES: Final[dict[str, tuple[Field, ...]]] = {
    "Model": (
        Field("version", 0, "scalar", 4, ""),
        Field("operator_codes", 1, "tables", 4, "OperatorCode"),
        Field("subgraphs", 2, "tables", 4, "SubGraph"),
        Field("description", 3, "string", 1, ""),
        Field("buffers", 4, "tables", 4, "Buffer"),
        Field("metadata_buffer", 5, "vector", 4, ""),
        Field("metadata", 6, "tables", 4, "Metadata"),
        Field("signature_defs", 7, "tables", 4, "SignatureDef"),
        Field("external_buffer_groups", 8, "tables", 4, "ExternalBufferGroup"),
        Field("external_buffers", 9, "tables", 4, "ExternalBuffer"),
    ),
    "OperatorCode": (
        Field("deprecated_builtin_code", 0, "scalar", 1, ""),
        Field("custom_code", 1, "string", 1, ""),
        Field("version", 2, "scalar", 4, ""),
        Field("builtin_code", 3, "scalar", 4, ""),
    ),
    "SubGraph": (
        Field("tensors", 0, "tables", 4, "Tensor"),
        Field("inputs", 1, "vector", 4, ""),
        Field("outputs", 2, "vector", 4, ""),
        Field("operators", 3, "tables", 4, "Operator"),
        Field("name", 4, "string", 1, ""),
        Field("debug_metadata_index", 5, "scalar", 4, ""),
    ),
    "Tensor": (
        Field("shape", 0, "vector", 4, ""),
        Field("type", 1, "scalar", 1, ""),
        Field("buffer", 2, "scalar", 4, ""),
        Field("name", 3, "string", 1, ""),
        Field("quantization", 4, "table", 4, "QuantizationParameters"),
        Field("is_variable", 5, "scalar", 1, ""),
        Field("sparsity", 6, "table", 4, "SparsityParameters"),
        Field("shape_signature", 7, "vector", 4, ""),
        Field("has_rank", 8, "scalar", 1, ""),
        Field("variant_tensors", 9, "tables", 4, "VariantSubType"),
        Field("external_buffer", 10, "scalar", 4, ""),
    ),
    "VariantSubType": (
        Field("shape", 0, "vector", 4, ""),
        Field("type", 1, "scalar", 1, ""),
        Field("has_rank", 2, "scalar", 1, ""),
    ),
    "QuantizationParameters": (
        Field("min", 0, "vector", 4, ""),
        Field("max", 1, "vector", 4, ""),
        Field("scale", 2, "vector", 4, ""),
        Field("zero_point", 3, "vector", 8, ""),
        Field("details", 5, "union", 4, "QuantizationDetails"),
        Field("quantized_dimension", 6, "scalar", 4, ""),
    ),
    "CustomQuantization": (
        Field("custom", 0, "vector", 1, ""),
    ),
    "BlockwiseQuantization": (
        Field("scales", 0, "scalar", 4, ""),
        Field("zero_points", 1, "scalar", 4, ""),
        Field("block_size", 2, "scalar", 4, ""),
        Field("block_shape", 3, "vector", 4, ""),
    ),
    "SparsityParameters": (
        Field("traversal_order", 0, "vector", 4, ""),
        Field("block_map", 1, "vector", 4, ""),
        Field("dim_metadata", 2, "tables", 4, "DimensionMetadata"),
    ),
    "DimensionMetadata": (
        Field("format", 0, "scalar", 1, ""),
        Field("dense_size", 1, "scalar", 4, ""),
        Field("array_segments", 3, "union", 4, "SparseIndexVector"),
        Field("array_indices", 5, "union", 4, "SparseIndexVector"),
    ),
    "Int32Vector": (
        Field("values", 0, "vector", 4, ""),
    ),
    "Uint16Vector": (
        Field("values", 0, "vector", 2, ""),
    ),
    "Uint8Vector": (
        Field("values", 0, "vector", 1, ""),
    ),
    "Operator": (
        Field("opcode_index", 0, "scalar", 4, ""),
        Field("inputs", 1, "vector", 4, ""),
        Field("outputs", 2, "vector", 4, ""),
        Field("builtin_options", 4, "union", 4, "BuiltinOptions"),
        Field("custom_options", 5, "vector", 1, ""),
        Field("custom_options_format", 6, "scalar", 1, ""),
        Field("mutating_variable_inputs", 7, "vector", 1, ""),
        Field("intermediates", 8, "vector", 4, ""),
        Field("large_custom_options_offset", 9, "scalar", 8, ""),
        Field("large_custom_options_size", 10, "scalar", 8, ""),
        Field("builtin_options_2", 12, "union", 4, "BuiltinOptions2"),
        Field("debug_metadata_index", 13, "scalar", 4, ""),
    ),
    "Conv2DOptions": (
        Field("padding", 0, "scalar", 1, ""),
        Field("stride_w", 1, "scalar", 4, ""),
        Field("stride_h", 2, "scalar", 4, ""),
        Field("fused_activation_function", 3, "scalar", 1, ""),
        Field("dilation_w_factor", 4, "scalar", 4, ""),
        Field("dilation_h_factor", 5, "scalar", 4, ""),
    ),
    "Pool2DOptions": (
        Field("padding", 0, "scalar", 1, ""),
        Field("stride_w", 1, "scalar", 4, ""),
        Field("stride_h", 2, "scalar", 4, ""),
        Field("filter_width", 3, "scalar", 4, ""),
        Field("filter_height", 4, "scalar", 4, ""),
        Field("fused_activation_function", 5, "scalar", 1, ""),
    ),
    "SoftmaxOptions": (
        Field("beta", 0, "scalar", 4, ""),
    ),
    "ConcatenationOptions": (
        Field("axis", 0, "scalar", 4, ""),
        Field("fused_activation_function", 1, "scalar", 1, ""),
    ),
    "AddOptions": (
        Field("fused_activation_function", 0, "scalar", 1, ""),
        Field("pot_scale_int16", 1, "scalar", 1, ""),
    ),
    "MulOptions": (
        Field("fused_activation_function", 0, "scalar", 1, ""),
    ),
    "SubOptions": (
        Field("fused_activation_function", 0, "scalar", 1, ""),
        Field("pot_scale_int16", 1, "scalar", 1, ""),
    ),
    "LeakyReluOptions": (
        Field("alpha", 0, "scalar", 4, ""),
    ),
    "DepthwiseConv2DOptions": (
        Field("padding", 0, "scalar", 1, ""),
        Field("stride_w", 1, "scalar", 4, ""),
        Field("stride_h", 2, "scalar", 4, ""),
        Field("depth_multiplier", 3, "scalar", 4, ""),
        Field("fused_activation_function", 4, "scalar", 1, ""),
        Field("dilation_w_factor", 5, "scalar", 4, ""),
        Field("dilation_h_factor", 6, "scalar", 4, ""),
    ),
    "FullyConnectedOptions": (
        Field("fused_activation_function", 0, "scalar", 1, ""),
        Field("weights_format", 1, "scalar", 1, ""),
        Field("keep_num_dims", 2, "scalar", 1, ""),
    ),
    "GatherOptions": (
        Field("axis", 0, "scalar", 4, ""),
        Field("batch_dims", 1, "scalar", 4, ""),
    ),
    "SequenceRNNOptions": (
        Field("time_major", 0, "scalar", 1, ""),
        Field("fused_activation_function", 1, "scalar", 1, ""),
        Field("asymmetric_quantize_inputs", 2, "scalar", 1, ""),
    ),
    "TransposeConvOptions": (
        Field("padding", 0, "scalar", 1, ""),
        Field("stride_w", 1, "scalar", 4, ""),
        Field("stride_h", 2, "scalar", 4, ""),
    ),
    "BidirectionalSequenceLSTMOptions": (
        Field("fused_activation_function", 0, "scalar", 1, ""),
        Field("cell_clip", 1, "scalar", 4, ""),
        Field("proj_clip", 2, "scalar", 4, ""),
        Field("merge_outputs", 3, "scalar", 1, ""),
        Field("time_major", 4, "scalar", 1, ""),
        Field("asymmetric_quantize_inputs", 5, "scalar", 1, ""),
    ),
    "BidirectionalSequenceRNNOptions": (
        Field("time_major", 0, "scalar", 1, ""),
        Field("fused_activation_function", 1, "scalar", 1, ""),
        Field("merge_outputs", 2, "scalar", 1, ""),
        Field("asymmetric_quantize_inputs", 3, "scalar", 1, ""),
    ),
    "UnidirectionalSequenceLSTMOptions": (
        Field("fused_activation_function", 0, "scalar", 1, ""),
        Field("cell_clip", 1, "scalar", 4, ""),
        Field("proj_clip", 2, "scalar", 4, ""),
        Field("time_major", 3, "scalar", 1, ""),
        Field("asymmetric_quantize_inputs", 4, "scalar", 1, ""),
        Field("diagonal_recurrent_tensors", 5, "scalar", 1, ""),
    ),
    "BatchMatMulOptions": (
        Field("adj_x", 0, "scalar", 1, ""),
        Field("adj_y", 1, "scalar", 1, ""),
    ),
    "Conv3DOptions": (
        Field("padding", 0, "scalar", 1, ""),
        Field("stride_d", 1, "scalar", 4, ""),
        Field("stride_w", 2, "scalar", 4, ""),
        Field("stride_h", 3, "scalar", 4, ""),
        Field("fused_activation_function", 4, "scalar", 1, ""),
        Field("dilation_d_factor", 5, "scalar", 4, ""),
        Field("dilation_w_factor", 6, "scalar", 4, ""),
        Field("dilation_h_factor", 7, "scalar", 4, ""),
    ),
    "Buffer": (
        Field("data", 0, "vector", 1, ""),
        Field("offset", 1, "scalar", 8, ""),
        Field("size", 2, "scalar", 8, ""),
    ),
    "ExternalBufferGroup": (
        Field("name", 0, "string", 1, ""),
    ),
    "ExternalBuffer": (
        Field("id", 0, "scalar", 4, ""),
        Field("group", 1, "scalar", 4, ""),
        Field("offset", 2, "scalar", 8, ""),
        Field("length", 3, "scalar", 8, ""),
        Field("packing", 4, "string", 1, ""),
    ),
    "Metadata": (
        Field("name", 0, "string", 1, ""),
        Field("buffer", 1, "scalar", 4, ""),
    ),
    "SignatureDef": (
        Field("inputs", 0, "tables", 4, "TensorMap"),
        Field("outputs", 1, "tables", 4, "TensorMap"),
        Field("signature_key", 2, "string", 1, ""),
        Field("deprecated_tag", 3, "string", 1, ""),
        Field("subgraph_index", 4, "scalar", 4, ""),
    ),
    "TensorMap": (
        Field("name", 0, "string", 1, ""),
        Field("tensor_index", 1, "scalar", 4, ""),
    ),
}

UNIONS: Final[dict[str, dict[int, str]]] = {
    "QuantizationDetails": {
        1: "CustomQuantization",
        2: "BlockwiseQuantization",
    },
    "SparseIndexVector": {
        1: "Int32Vector",
        2: "Uint16Vector",
        3: "Uint8Vector",
    },
    "BuiltinOptions2": {
    },
    "BuiltinOptions": {
        1: "Conv2DOptions",
        2: "DepthwiseConv2DOptions",
        5: "Pool2DOptions",
        8: "FullyConnectedOptions",
        9: "SoftmaxOptions",
        10: "ConcatenationOptions",
        11: "AddOptions",
        21: "MulOptions",
        23: "GatherOptions",
        28: "SubOptions",
        31: "SequenceRNNOptions",
        49: "TransposeConvOptions",
        69: "BidirectionalSequenceLSTMOptions",
        70: "BidirectionalSequenceRNNOptions",
        71: "UnidirectionalSequenceLSTMOptions",
        75: "LeakyReluOptions",
        101: "BatchMatMulOptions",
        106: "Conv3DOptions",
    },
}

ROOT: Final = "Model"
IDENTIFIER: Final = b"TFL3"

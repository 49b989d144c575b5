"""Write the trained reader as an ONNX graph with int8 weights (`ragqa/assets/reader.onnx`). Needs `onnx`.

    python benchmarks/reader_export.py --work DIR … --out FILE [--form dynamic|weights|float]

Of several folders the mean of their last checkpoints is written (Wortsman et al. 2022, arXiv:2203.05482).

The graph takes word vectors (the base install's all-MiniLM-L6-v2 has them), so that the file holds positions,
segments, layers and head alone. No mask: windows are read one by one, which on a CPU costs no more.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

HEADS, WIDTH, LAYERS = 12, 384, 6
FROZEN_LAYERS = 2
PER_HEAD = WIDTH // HEADS
OPSET = 17


class Graph:
    """Nodes and constants as they are added; each call returns the name of what it made."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants[name] = np.asarray(value, order="C")
        return name

    def add(self, kind: str, *inputs: str, **attributes) -> str:
        out = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], name=out, **attributes))
        return out

    def linear(self, name: str, x: str, weight: np.ndarray, bias: np.ndarray) -> str:
        """x W' + b; `weight` is (out, in), as torch keeps it."""
        product = self.add("MatMul", x, self.constant(f"{name}.weight", weight.T))
        return self.add("Add", product, self.constant(f"{name}.bias", bias))

    def norm(self, name: str, x: str, weights: dict[str, np.ndarray]) -> str:
        scale = self.constant(f"{name}.scale", weights[f"{name}.weight"])
        shift = self.constant(f"{name}.shift", weights[f"{name}.bias"])
        return self.add("LayerNormalization", x, scale, shift, axis=-1, epsilon=1e-12)


def build(weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    """BERT (Devlin et al., 2019) from word vectors on; out come `tokens` (batch, n) and `none` (batch, 1)."""
    graph = Graph()
    x = embedded(graph, weights)
    for number in range(LAYERS):
        if number == FROZEN_LAYERS:
            kinds = graph.constant("match", weights["match.weight"])
            x = graph.add("Add", x, graph.add("Gather", kinds, "matches", axis=0))
        x = layer(graph, f"encoder.layer.{number}", x, weights)
    first = graph.add("Gather", x, graph.constant("first", np.int64(0)), axis=1)
    tokens = graph.linear("token", x, weights["token.weight"], weights["token.bias"])
    tokens = graph.add("Add", tokens, likeness(graph, x, weights["question"]))
    graph.nodes.append(
        helper.make_node("Squeeze", [tokens, graph.constant("last", np.int64([-1]))], ["tokens"])
    )
    none = graph.linear("null", first, weights["null.weight"], weights["null.bias"])
    graph.nodes.append(helper.make_node("Identity", [none], ["none"]))
    return model_of(graph)


def likeness(graph: Graph, x: str, weight: np.ndarray) -> str:
    """Each token times the mean of the question's tokens, weighted by dimension: shape (batch, n, 1)."""
    passage = graph.add("Unsqueeze", "segments", graph.constant("end", np.int64([2])))
    asked = graph.add("Sub", one(graph), graph.add("Cast", passage, to=TensorProto.FLOAT))
    row = graph.constant("row", np.int64([1]))
    total = graph.add("ReduceSum", graph.add("Mul", x, asked), row, keepdims=1)
    mean = graph.add("Div", total, graph.add("ReduceSum", asked, row, keepdims=1))
    weighted = graph.add("Mul", mean, graph.constant("question", weight))
    return graph.add(
        "ReduceSum", graph.add("Mul", x, weighted), graph.constant("end", np.int64([2])), keepdims=1
    )


def one(graph: Graph) -> str:
    return graph.constant("one", np.float32([1]))


def embedded(graph: Graph, weights: dict[str, np.ndarray]) -> str:
    """Word vectors plus those of position and segment, normalised."""
    places = weights["embeddings.position_embeddings.weight"][:256]
    ones = graph.add(
        "Unsqueeze", graph.add("Shape", "segments", start=1, end=2), graph.constant("zero", np.int64([0]))
    )
    length = graph.add("Squeeze", ones, graph.constant("zero", np.int64([0])))
    place = graph.add(
        "Slice", graph.constant("places", places), graph.constant("begin", np.int64([0])), length,
        graph.constant("axis", np.int64([0])),
    )  # fmt: skip
    kinds = graph.constant("kinds", weights["embeddings.token_type_embeddings.weight"])
    total = graph.add("Add", graph.add("Add", "words", place), graph.add("Gather", kinds, "segments", axis=0))
    return graph.norm("embeddings.LayerNorm", total, weights)


def layer(graph: Graph, name: str, x: str, weights: dict[str, np.ndarray]) -> str:
    def linear(part: str, value: str) -> str:
        key = f"{name}.{part}"
        return graph.linear(key, value, weights[f"{key}.weight"], weights[f"{key}.bias"])

    split = graph.constant("split", np.int64([0, 0, HEADS, PER_HEAD]))
    joined = graph.constant("joined", np.int64([0, 0, WIDTH]))

    def heads(part: str, order: tuple[int, ...]) -> str:
        return graph.add("Transpose", graph.add("Reshape", linear(part, x), split), perm=order)

    query, key, value = (
        heads(f"attention.self.{part}", order)
        for part, order in (("query", (0, 2, 1, 3)), ("key", (0, 2, 3, 1)), ("value", (0, 2, 1, 3)))
    )
    scale = graph.constant("scale", np.float32([PER_HEAD**-0.5]))
    logits = graph.add("Mul", graph.add("MatMul", query, key), scale)
    mixed = graph.add("MatMul", graph.add("Softmax", logits, axis=-1), value)
    mixed = graph.add("Reshape", graph.add("Transpose", mixed, perm=(0, 2, 1, 3)), joined)
    x = graph.norm(
        f"{name}.attention.output.LayerNorm",
        graph.add("Add", linear("attention.output.dense", mixed), x),
        weights,
    )
    inner = gelu(graph, linear("intermediate.dense", x))
    return graph.norm(f"{name}.output.LayerNorm", graph.add("Add", linear("output.dense", inner), x), weights)


def gelu(graph: Graph, x: str) -> str:
    """x (1 + erf(x / sqrt 2)) / 2, in the order that onnxruntime fuses."""
    half = graph.constant("half", np.float32([0.5]))
    root = graph.constant("root", np.float32([2**0.5]))
    bent = graph.add("Add", graph.add("Erf", graph.add("Div", x, root)), one(graph))
    return graph.add("Mul", graph.add("Mul", x, bent), half)


def model_of(graph: Graph) -> onnx.ModelProto:
    shape = ["batch", "length"]
    inputs = [
        helper.make_tensor_value_info("words", TensorProto.FLOAT, [*shape, WIDTH]),
        helper.make_tensor_value_info("segments", TensorProto.INT64, shape),
        helper.make_tensor_value_info("matches", TensorProto.INT64, shape),
    ]
    outputs = [
        helper.make_tensor_value_info("tokens", TensorProto.FLOAT, shape),
        helper.make_tensor_value_info("none", TensorProto.FLOAT, ["batch", 1]),
    ]
    constants = [numpy_helper.from_array(value, name) for name, value in graph.constants.items()]
    made = helper.make_graph(graph.nodes, "reader", inputs, outputs, constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="ragqa")
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model


def weights_only(model: onnx.ModelProto) -> onnx.ModelProto:
    """Linear weights as int8 with a scale for each column, made floats again when the session starts."""
    nodes, kept = [], []
    for tensor in model.graph.initializer:
        value = numpy_helper.to_array(tensor)
        if value.ndim != 2 or value.size < 10_000:
            kept.append(tensor)
            continue
        axis = 1 if tensor.name == "places" else 0
        scale = np.maximum(np.abs(value).max(axis=axis, keepdims=True) / 127, 1e-12).astype(np.float32)
        small = np.clip(np.rint(value / scale), -127, 127).astype(np.int8)
        kept += [
            numpy_helper.from_array(small, f"{tensor.name}_int8"),
            numpy_helper.from_array(scale, f"{tensor.name}_scale"),
        ]
        cast = f"{tensor.name}_float"
        nodes += [
            helper.make_node("Cast", [f"{tensor.name}_int8"], [cast], to=TensorProto.FLOAT),
            helper.make_node("Mul", [cast, f"{tensor.name}_scale"], [tensor.name]),
        ]
    whole = [*nodes, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(whole)
    onnx.checker.check_model(model)
    return model


def quantized(model: onnx.ModelProto, out: Path) -> None:
    """onnxruntime's dynamic quantization: int8 weights of 7 bits, a scale a column; activations as they come.

    Seven bits, since processors without VNNI saturate the sums of eight.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    whole = out.with_suffix(".float.onnx")
    onnx.save(model, whole)
    quantize_dynamic(
        whole, out, op_types_to_quantize=["MatMul"], per_channel=True, reduce_range=True,
        weight_type=QuantType.QInt8, nodes_to_exclude=small_ones(model),
    )  # fmt: skip
    whole.unlink()


def small_ones(model: onnx.ModelProto) -> list[str]:
    return [node.name for node in model.graph.node if {"token.weight", "null.weight"} & set(node.input)]


def trained(works: Sequence[Path]) -> dict[str, np.ndarray]:
    """The mean of the last checkpoints' weights, by name, without the word vectors."""
    nets = [torch.load(work / "state-marginal.pt", weights_only=True)["net"] for work in works]
    return {
        name.removeprefix("body."): np.mean([net[name].float().numpy() for net in nets], axis=0)
        for name in nets[0]
        if "word_embeddings" not in name
    }


def shipped(path: Path) -> dict[str, np.ndarray]:
    """The weights of an exported file, by the names that training has: int8 ones as floats, which costs what
    rounding to them cost. The inverse of `build` and `quantized`.
    """
    found = {one.name: numpy_helper.to_array(one) for one in onnx.load(path).graph.initializer}
    renamed = {
        "places": "embeddings.position_embeddings.weight",
        "kinds": "embeddings.token_type_embeddings.weight",
        "match": "match.weight",
        "question": "question",
    }
    out = {name: found[own] for own, name in renamed.items()}
    for name, value in found.items():
        if name.endswith("LayerNorm.scale"):
            out[name.removesuffix("scale") + "weight"] = value
            out[name.removesuffix("scale") + "bias"] = found[name.removesuffix("scale") + "shift"]
        elif name.endswith(".weight_quantized"):
            bare = name.removesuffix("_quantized")
            out[bare] = ((value.astype(np.float32) - found[f"{bare}_zero_point"]) * found[f"{bare}_scale"]).T
        elif name in ("token.weight", "null.weight"):
            out[name] = value.T
        elif name.endswith(".bias"):
            out[name] = value
    return out


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--form", choices=("dynamic", "weights", "float"), default="dynamic")
    given = parser.parse_args()
    model = build(trained(given.work))
    if given.form == "dynamic":
        quantized(model, given.out)
    else:
        onnx.save(weights_only(model) if given.form == "weights" else model, given.out)


if __name__ == "__main__":
    main()

"""ONNX files of one input, or of a batch of fixed length, and what onnxruntime says of each row."""

import copy

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


def weight(*shape, seed=0):
    return np.random.RandomState(seed).randn(*shape)


def file_of(nodes, inputs, output, opset=17, kind=TensorProto.DOUBLE, **constants):
    """A file with inputs of the given shapes, one `x` or several `x0`, `x1` and so on."""
    shapes = inputs if isinstance(inputs[0], tuple) else [inputs]
    for k, one in enumerate(nodes := [*map(copy.deepcopy, nodes)]):
        one.name = f"{one.op_type} {k}"
    names = ["x"] if len(shapes) == 1 else [f"x{k}" for k in range(len(shapes))]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in zip(names, shapes, strict=True)],
        [helper.make_tensor_value_info(nodes[-1].output[0], kind, output)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def session_of(content):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options)


def one_by_one(content, rows):
    """What onnxruntime says of each row alone, in the shape that the file has, ``(n, classes)``."""
    session, results = session_of(content), []
    inputs = session.get_inputs()
    for row in rows:
        given = {}
        for k, one in enumerate(inputs):
            number = row.reshape(-1)[k] if len(inputs) > 1 else row
            sizes = [size if isinstance(size, int) else -1 for size in one.shape]
            given[one.name] = np.asarray(number, dtype=np.float32 if "float" in one.type else np.float64).reshape(sizes)
        results.append(session.run(None, given)[0].reshape(-1))
    return np.array(results)

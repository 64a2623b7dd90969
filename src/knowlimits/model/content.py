"""What a model was read from, where that was a file: it can be written again, and means the same."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class FileContent:
    """A file of one model, in a format without code.

    Attributes:
        form: the usual ending of such files, as ".onnx".
        content: of the file.
        output: which of its values is the classifier, by its name; None where that is told from the file.
        outputs: what the model in it returns, as `knowlimits.read` has it; None where that is told from it.
        input_shape: of one input, as `knowlimits.read` has it; None where the file states it, or it is a row of a table.
    """

    form: str
    content: bytes = field(repr=False)
    output: str | None = None
    outputs: str | None = None
    input_shape: tuple[int, ...] | None = None

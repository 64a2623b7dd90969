"""ONNX operators that are not converted, and why.

Every operator of ONNX and ai.onnx.ml is either in the table or here; one of another domain is in neither.
"""

from collections.abc import Mapping

from knowlimits.files.onnx.graph import ML, Key

# By the reason, which is a part of a sentence, operators of ONNX.
_REASONS = {
    "products of numbers that all grow along a ray have no far field that is followed": "Attention FlexAttention "
    "LinearAttention RotaryEmbedding SwiGLU CausalConvWithState TensorScatter CumProd Det LRN",
    "recurrent layers are read from torch alone, whose modules are followed": "LSTM GRU RNN",
    "it puts numbers in order, which jumps again and again": "TopK MaxUnpool MaxRoiPool Unique NonMaxSuppression",
    "how many numbers it gives, or which, hangs on the numbers that it gets": "NonZero Compress ReverseSequence",
    "the places that it looks at hang on numbers": "GatherElements GatherND Scatter ScatterElements ScatterND GridSample "
    "AffineGrid RoiAlign DeformConv",
    "it draws random numbers": "RandomNormal RandomNormalLike RandomUniform RandomUniformLike Bernoulli Multinomial",
    "a model that loops or branches is not one function of its input": "Loop If Scan SequenceMap",
    "it handles lists of tensors, or what may be left out": "SequenceAt SequenceConstruct SequenceEmpty SequenceErase "
    "SequenceInsert SequenceLength SplitToSequence ConcatFromSequence Optional OptionalGetElement OptionalHasElement",
    "it handles texts, whose columns no ray moves": "StringConcat StringNormalizer StringSplit RegexFullMatch TfIdfVectorizer",
    "it works on the bits of whole numbers": "BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BitCast",
    "it is of signals or pictures, which are prepared outside of classifiers": "BlackmanWindow HammingWindow HannWindow DFT "
    "STFT MelWeightMatrix ImageDecoder CenterCropPad Col2Im",
    "it is of training": "NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss",
}
_REASONS_OF_ML = {
    "it is a regression, and no classifier": "LinearRegressor SVMRegressor",
    "it handles texts or maps, which are to be made into numbers before": "CastMap CategoryMapper DictVectorizer",
    "of trees those as TreeEnsembleClassifier lists them are read: export with ai.onnx.ml of version 3": "TreeEnsemble",
    "maps of labels are taken at the end of a model alone": "ZipMap",
}
REFUSED: Mapping[Key, str] = {
    (domain, name): reason
    for domain, reasons in (("", _REASONS), (ML, _REASONS_OF_ML))
    for reason, names in reasons.items()
    for name in names.split()
}

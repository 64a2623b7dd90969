"""The cells of a small ReLU network on the plane, in rational arithmetic, by clipping cones with half-planes.

Unlike the library it starts from the four quadrants, computes every unit's affine form from the cell's pattern, never from
values at vertices, and knows nothing of edges that cells share.
"""

from fractions import Fraction


def cells(weights, biases):
    """From the pattern of every cell to whether it is unbounded; `weights` and `biases` are nested lists of floats."""
    layers = [
        ([[Fraction(v) for v in row] for row in w], [Fraction(v) for v in b])
        for w, b in zip(weights[:-1], biases[:-1], strict=True)
    ]
    zero, one = Fraction(0), Fraction(1)
    origin = (zero, zero, one)
    ways = [(one, zero, zero), (zero, one, zero), (-one, zero, zero), (zero, -one, zero)]
    result = {}
    for k in range(4):
        cone = [origin, ways[k], ways[(k + 1) % 4]]
        # The units of the input: x and y as affine forms in (x, y, w).
        stack = [(cone, 0, [(one, zero, zero), (zero, one, zero)], ())]
        while stack:
            polygon, layer, inputs, pattern = stack.pop()
            if layer == len(layers):
                unbounded = any(w == 0 for _, _, w in polygon)
                result[pattern] = result.get(pattern, False) or unbounded
                continue
            w, b = layers[layer]
            forms = [
                tuple(
                    sum((c * form[axis] for c, form in zip(row, inputs, strict=True)), start=shift if axis == 2 else zero)
                    for axis in range(3)
                )
                for row, shift in zip(w, b, strict=True)
            ]
            pieces = [(polygon, ())]
            for form in forms:
                pieces = [part for piece, bits in pieces for part in halves(piece, form, bits)]
            for piece, bits in pieces:
                kept = [form if bit else (zero, zero, zero) for form, bit in zip(forms, bits, strict=True)]
                stack.append((piece, layer + 1, kept, pattern + bits))
    return result


def affine_map(weights, biases, pattern):
    """The map from (x, y, 1) to the outputs under a pattern, as rows of fractions."""
    zero, one = Fraction(0), Fraction(1)
    forms = [(one, zero, zero), (zero, one, zero)]
    bits = iter(pattern)
    for k, (w, b) in enumerate(zip(weights, biases, strict=True)):
        forms = [
            tuple(
                sum((Fraction(c) * form[axis] for c, form in zip(row, forms, strict=True)), start=Fraction(shift) * (axis == 2))
                for axis in range(3)
            )
            for row, shift in zip(w, b, strict=True)
        ]
        if k < len(weights) - 1:
            forms = [form if next(bits) else (zero, zero, zero) for form in forms]
    return forms


def halves(polygon, form, bits):
    """A polygon split where a form changes its sign."""
    values = [sum(f * p for f, p in zip(form, point, strict=True)) for point in polygon]
    if not any(v > 0 for v in values):
        return [(polygon, (*bits, False))]
    if not any(v < 0 for v in values):
        return [(polygon, (*bits, True))]
    above, below = [], []
    for i, (point, value) in enumerate(zip(polygon, values, strict=True)):
        following, next_value = polygon[(i + 1) % len(polygon)], values[(i + 1) % len(polygon)]
        if value >= 0:
            above.append(point)
        if value <= 0:
            below.append(point)
        if value * next_value < 0:
            crossing = tuple(abs(next_value) * p + abs(value) * q for p, q in zip(point, following, strict=True))
            above.append(crossing)
            below.append(crossing)
    return [(above, (*bits, True)), (below, (*bits, False))]

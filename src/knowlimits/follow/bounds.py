"""What the bounds on rounding errors rest on; docs/proven.md says it to users.

A sum of n products in floats is off by at most n units of rounding times the sum of the products' sizes (Higham, "Accuracy and
Stability of Numerical Algorithms", 2002, section 3.1), a unit being half of `EPS`.
"""

#: The distance from 1 to the next float.
EPS = 2.0**-52
#: A sum of more terms is taken to be off as one of so many: assumed, as products of matrices add up inside of blocks and then
#: the blocks, so that no number passes through more additions than this.
MOST_TERMS = 4096
#: Torch's smooth functions are taken to be off by so much of one plus the size of their argument, times their steepness, and of
#: their result: measured, as the largest error of 2,200 numbers of each function against 60 digits is less than half of it. The
#: one is there for ELU, which torch 2.6 computes as a difference from 1.
SMOOTH = 16 * EPS
#: Where numbers only tend to a limit, one as near to a jump is refused, as rounding may have put it on the other side. A share
#: of one plus the sizes of what is compared; a heuristic, as errors are not bounded unless asked for.
NEAR = 2.0**-40

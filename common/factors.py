"""What the two clips of a pair share: the ids and names that every part uses."""

DYNAMIC, STATIC, DIFFERENT, SAME = range(4)
FACTORS = ("dynamic", "static", "different", "same")


def scored_factors(n_factors: int, residual_index: int) -> tuple[int, ...]:
    """Ids of the factors that have a score of their pairs: all but the residual.

    >>> scored_factors(3, 2)
    (0, 1)
    """
    return tuple(k for k in range(n_factors) if k != residual_index)


def factor_names(n_factors: int, residual_index: int) -> tuple[str, ...]:
    """Names of the factors in order of their ids; the residual has a score of 1 and no pairs.

    >>> factor_names(3, 2)
    ('dynamic', 'static', 'residual')
    >>> factor_names(4, -1)
    ('dynamic', 'static', 'different', 'same')
    """
    names = [*FACTORS, *(f"factor {k}" for k in range(len(FACTORS), n_factors))][:n_factors]
    return tuple("residual" if k == residual_index else name for k, name in enumerate(names))

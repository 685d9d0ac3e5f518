"""Optimal one-to-one assignment (Hungarian algorithm)."""

import math

from torch import Tensor


def best_assignment(gain: Tensor) -> list[tuple[int, int]]:
    """The pairs (row, column), each used once, with the largest sum of ``gain`` (N, M): min(N, M) pairs by row.

    The Hungarian method with potentials (Kuhn 1955, in its shortest augmenting path form), exact.
    """
    if gain.shape[0] > gain.shape[1]:
        return sorted((i, j) for j, i in best_assignment(gain.T))
    cost = (-gain).tolist()
    columns = gain.shape[1]
    owner = [-1] * columns
    row_price, column_price = [0.0] * len(cost), [0.0] * columns
    for row in range(len(cost)):
        _augment(cost, row, owner, row_price, column_price)
    return sorted((i, j) for j, i in enumerate(owner) if i >= 0)


def _augment(
    cost: list[list[float]], row: int, owner: list[int], row_price: list[float], column_price: list[float]
) -> None:
    """Give ``row`` a column along the cheapest path of exchanges; changes owners and prices."""
    columns = len(owner)
    least, came_from, done = [math.inf] * columns, [-1] * columns, [False] * columns
    current, column = row, -1
    while True:
        for j in range(columns):
            reduced = cost[current][j] - row_price[current] - column_price[j]
            if not done[j] and reduced < least[j]:
                least[j], came_from[j] = reduced, column
        nearest = min((j for j in range(columns) if not done[j]), key=lambda j: least[j])
        step = least[nearest]
        row_price[row] += step
        for j in range(columns):
            if done[j]:
                row_price[owner[j]] += step
                column_price[j] -= step
            else:
                least[j] -= step
        done[nearest], column = True, nearest
        if owner[column] < 0:
            break
        current = owner[column]
    while column >= 0:
        previous = came_from[column]
        owner[column] = owner[previous] if previous >= 0 else row
        column = previous

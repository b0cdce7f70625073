"""Three loops in JAX, each with new uniform points for each step and Adam.

jaxpi    as in jaxpi (Wang, Sankaran, Wang & Perdikaris 2023): reverse mode nested by `grad`, points drawn by one
         compiled function and a step taken by another
jit      forward mode nested by `jvp`, points and step in one compiled function
scan     the same, 50 steps in one compiled function
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
from cases import Case, Face

SCAN = 50
RATE, FIRST, SECOND, EPSILON = 1e-3, 0.9, 0.999, 1e-8  # of Adam


def network(parameters: Any, x: jax.Array) -> jax.Array:
    """The fields (F,) at one point x (2,)."""
    *hidden, (W, b) = parameters
    for V, a in hidden:
        x = jnp.tanh(x @ V + a)
    return x @ W + b


def forward(parameters: Any, x: jax.Array) -> Callable[..., jax.Array]:
    """d(field, *axes) at one point by nested forward mode; what is computed twice, the compiler merges."""

    def d(field: int, *axes: int) -> jax.Array:
        f = partial(network, parameters)
        for axis in axes:
            f = partial(lambda f, e, x: jax.jvp(f, (x,), (e,))[1], f, jnp.eye(2, dtype=x.dtype)[axis])
        return f(x)[field]

    return d


def reverse(parameters: Any, x: jax.Array) -> Callable[..., jax.Array]:
    """d(field, *axes) at one point by nested reverse mode."""

    def d(field: int, *axes: int) -> jax.Array:
        def f(*x: jax.Array) -> jax.Array:
            return network(parameters, jnp.stack(x))[field]

        for axis in axes:
            f = jax.grad(f, axis)
        return f(*x)

    return d


def loop(case: Case, points: int, face: int, width: int, depth: int, dtype: str, kind: str) -> Callable[[int], None]:
    """Takes a number of whole training steps; `kind` is jaxpi, jit or scan."""
    jax.config.update("jax_enable_x64", dtype == "float64")
    derivatives = reverse if kind == "jaxpi" else forward
    low, high = (jnp.array(ends, dtype) for ends in (case.low, case.high))

    def draw(key: jax.Array) -> list[jax.Array]:
        keys = jax.random.split(key, 1 + len(case.faces))
        return [uniform(keys[0], points), *(on(k, where) for k, where in zip(keys[1:], case.faces, strict=True))]

    def uniform(key: jax.Array, n: int) -> jax.Array:
        return low + (high - low) * jax.random.uniform(key, (n, 2), dtype)

    def on(key: jax.Array, where: Face) -> jax.Array:
        X = uniform(key, face * len(where.sides))
        for k, (axis, end) in enumerate(where.sides):
            X = X.at[k * face : (k + 1) * face, axis].set(end)
        return X

    def loss(parameters: Any, batch: list[jax.Array]) -> jax.Array:
        def equations(x: jax.Array) -> jax.Array:
            d = derivatives(parameters, x)
            return jnp.stack([equation(jnp, x, d) for equation in case.equations])

        def conditions(where: Face, x: jax.Array) -> jax.Array:
            d = derivatives(parameters, x)
            return jnp.stack([d(c.field, *c.axes) - c.target(jnp, x) for c in where.conditions])

        total = (jax.vmap(equations)(batch[0]) ** 2).mean(0).sum()
        for where, X in zip(case.faces, batch[1:], strict=True):
            total += (jax.vmap(partial(conditions, where))(X) ** 2).mean(0).sum()
        if case.pin is not None:
            total += network(parameters, low)[case.pin] ** 2
        return total

    def update(state: Any, batch: list[jax.Array]) -> Any:
        parameters, m, v, t = state
        g = jax.grad(loss)(parameters, batch)
        t = t + 1
        m = jax.tree.map(lambda m, g: FIRST * m + (1 - FIRST) * g, m, g)
        v = jax.tree.map(lambda v, g: SECOND * v + (1 - SECOND) * g * g, v, g)
        a, b = 1 - FIRST**t, 1 - SECOND**t
        new = jax.tree.map(lambda p, m, v: p - RATE * (m / a) / (jnp.sqrt(v / b) + EPSILON), parameters, m, v)
        return new, m, v, t

    @jax.jit
    def one(state: Any, key: jax.Array) -> Any:
        key, drawn = jax.random.split(key)
        return update(state, draw(drawn)), key

    @jax.jit
    def many(state: Any, key: jax.Array) -> Any:
        return jax.lax.scan(lambda carry, _: (one(*carry), None), (state, key), length=SCAN)[0]

    sizes = [2, *[width] * depth, case.fields]
    keys = jax.random.split(jax.random.key(0), len(sizes))
    glorot = jax.nn.initializers.glorot_normal()
    shapes = pairwise(sizes)
    parameters = [(glorot(k, (a, b), dtype), jnp.zeros(b, dtype)) for k, (a, b) in zip(keys, shapes, strict=False)]
    none = jax.tree.map(jnp.zeros_like, parameters)
    held = [(parameters, none, none, jnp.zeros((), dtype)), jax.random.key(1)]
    drawn, stepped = jax.jit(lambda key: (lambda k: (k[0], draw(k[1])))(jax.random.split(key))), jax.jit(update)

    def steps(count: int) -> None:
        state, key = held
        if kind == "scan":
            for _ in range(count // SCAN):
                state, key = many(state, key)
        elif kind == "jit":
            for _ in range(count):
                state, key = one(state, key)
        else:
            for _ in range(count):
                key, batch = drawn(key)
                state = stepped(state, batch)
        held[:] = jax.block_until_ready(state), key

    return steps

"""JAX's settings that change numbers: fixed for all that bcjax computes.

They come from the environment (JAX_ENABLE_X64=1) or from `jax.config`, and a process may need them
for its own work. Whatever they are, a run trains, resumes and answers with the same numbers.
"""

import contextlib
import functools
import logging
from collections.abc import Iterator
from typing import Any

log = logging.getLogger("bcjax")

# Each setting and its value in bcjax. A version of JAX may lack some of them.
FIXED: dict[str, Any] = {
    # The width of numbers, and which dtype two of them have together.
    "jax_enable_x64": False,
    "jax_explicit_x64_dtypes": "warn",
    "jax_numpy_dtype_promotion": "standard",
    "jax_numpy_rank_promotion": "allow",
    # Random numbers.
    "jax_default_prng_impl": "threefry2x32",
    "jax_threefry_partitionable": True,
    "jax_random_seed_offset": 0,
    "jax_high_dynamic_range_gumbel": False,
    # How a sum or a product is rounded.
    "jax_default_matmul_precision": None,
    "jax_allow_f16_reductions": True,
    # How a function is differentiated, and which program is made of it.
    "jax_softmax_custom_jvp": False,
    "jax_use_direct_linearize": True,
    "jax_disable_jit": False,
    "eager_constant_folding": False,
    "jax_compiler_enable_remat_pass": True,
    "jax_use_shardy_partitioner": True,
    "jax_optimization_level": "UNKNOWN",
    "jax_exec_time_optimization_effort": 0.0,
    "jax_memory_fitting_level": "O2",
    "jax_memory_fitting_effort": 0.0,
    # These compute again, without compilation, what is not finite, and raise errors of their own.
    "jax_debug_nans": False,
    "jax_debug_infs": False,
}  # fmt: skip


@contextlib.contextmanager
def fixed() -> Iterator[None]:
    """Computes with `FIXED` inside the block, or the decorated function, in this thread alone.

    JAX is imported when the block begins. Other threads and the code after the block have the
    process's own settings.
    """
    # JAX exports a third of these contexts; all of them are here.
    from jax._src.config import config_states

    with contextlib.ExitStack() as stack:
        for name, value in FIXED.items():
            state = config_states.get(name)
            if state is None:
                continue
            own, context = state.value, state(value)
            if own != context.new_val:
                _say(name, own, value)
                stack.enter_context(context)
        yield


@functools.cache  # once in a process
def _say(name: str, own: Any, value: Any) -> None:
    log.info("%s is %s here; bcjax computes with %s, as everywhere.", name, own, value)

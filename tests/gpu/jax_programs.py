# SPDX-License-Identifier: Apache-2.0
"""JAX under a quota: its pool, out of memory, and work after it; prints one `key=value` a line."""

import jax
import jax.numpy as jnp

device = jax.devices("gpu")[0]
product = jnp.ones((1024, 1024)) @ jnp.ones((1024, 1024))
print(f"product={int(product[0, 0])}")
print(f"pool={(device.memory_stats() or {}).get('bytes_limit', 0) >> 20}")
kept = []
try:
    while len(kept) < 1000:
        kept.append(jnp.ones(64 << 20, dtype=jnp.float32).block_until_ready())  # 256 MiB
except jax.errors.JaxRuntimeError as error:
    print(f"error={str(error).split(':')[0]}")
print(f"allocated={256 * len(kept)}")
del kept[-8:]  # room for the sum's own buffers, wherever the pool puts them
print(f"sum_after={int(jnp.ones(64 << 20, dtype=jnp.float32).astype(jnp.int32).sum())}")

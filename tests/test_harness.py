"""The conditions that conftest.py promises to every test."""

import importlib
import os
import sys
import textwrap

import jax
import jax.numpy as jnp
import pytest
from jaxtyping import TypeCheckError, install_import_hook

REFUSED = "refused in its own words"


@pytest.fixture
def annotated(tmp_path, monkeypatch):
    """A module under the hook that the package is under."""
    (tmp_path / "annotated_sample.py").write_text(
        textwrap.dedent(
            f"""
            import equinox as eqx
            from jaxtyping import Array, Float

            def silent(x: Float[Array, "time channels"]) -> Float[Array, " time"]:
                return x.sum(-1)

            def wrong_result(x: Float[Array, "time channels"]) -> Float[Array, " time"]:
                return x.sum(0)

            def refuses(x: Float[Array, "time channels"], **rest: int) -> Float[Array, " time"]:
                if x.ndim != 2:
                    raise ValueError("{REFUSED}")
                return x.sum(-1)

            class Neuron(eqx.Module):
                tau: float

                def __call__(self, x: Float[Array, "*shape"], **rest: int) -> Float[Array, "*shape"]:
                    return self.tau * x

            class Careful(eqx.Module):
                tau: float
                steps: int = 1

                def __check_init__(self):
                    if isinstance(self.tau, str):
                        raise ValueError("{REFUSED}")
            """
        )
    )
    monkeypatch.syspath_prepend(tmp_path)
    with install_import_hook("annotated_sample", "typechecker.after_return"):
        yield importlib.import_module("annotated_sample")
    sys.modules.pop("annotated_sample")


def test_a_wrong_argument_that_is_taken_without_a_word_fails(annotated):
    assert annotated.silent(jnp.ones((3, 2))).shape == (3,)
    with pytest.raises(TypeCheckError, match="silent"):
        annotated.silent(jnp.ones((5, 3, 2)))


def test_a_wrong_result_fails(annotated):
    with pytest.raises(TypeCheckError, match="wrong_result"):
        annotated.wrong_result(jnp.ones((3, 2)))


def test_a_refusal_in_the_functions_own_words_is_heard(annotated):
    with pytest.raises(ValueError, match=REFUSED):
        annotated.refuses(jnp.ones(3))
    with pytest.raises(TypeCheckError, match="refuses"):
        annotated.refuses(jnp.ones((3, 2)), extra="not a number")


def test_modules_are_checked_and_an_int_is_a_float(annotated):
    neuron = annotated.Neuron(2)
    assert jax.jit(neuron.__call__)(jnp.ones(3)).shape == (3,)
    assert jax.vmap(neuron)(jnp.ones((4, 3))).shape == (4, 3)
    with pytest.raises(TypeCheckError, match="Neuron"):
        annotated.Neuron("2")
    with pytest.raises(TypeCheckError, match="__call__"):
        neuron(jnp.ones(3), extra="not a number")
    with pytest.raises(TypeCheckError, match="__call__"):
        neuron(jnp.ones(3, dtype=int))


def test_a_refusal_of_a_module_in_its_own_words_is_heard(annotated):
    with pytest.raises(ValueError, match=REFUSED):
        annotated.Careful("2")
    with pytest.raises(TypeCheckError, match="Careful"):
        annotated.Careful(2.0, steps="3")


@pytest.mark.skipif(os.environ.get("SNNX_TEST_TYPES") == "0", reason="the annotation checks are switched off")
def test_the_package_is_under_the_hook():
    import snnx

    assert type(snnx.__spec__.loader).__name__ == "_JaxtypingLoader"


def test_ranks_do_not_broadcast_silently():
    with pytest.raises(ValueError, match="rank_promotion"):
        jnp.ones((2, 3)) + jnp.ones(3)


def test_x64_holds_within_a_test_that_asks_for_it(x64):
    assert jnp.ones(1).dtype == jnp.float64
    assert jax.jit(lambda x: x * 2.0)(jnp.ones(1)).dtype == jnp.float64


def test_x64_is_off_otherwise():
    assert jnp.ones(1).dtype == jnp.float32

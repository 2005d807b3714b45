"""The command line's recurrent network, and its two gradients: surrogate and EventProp."""

import dataclasses
import json
import shlex

import equinox as eqx
import jax
import jax.numpy as jnp
import made_recordings as made
import numpy as np
import pytest
from command_line import call

import snnx
from snnx.augment import Blend, ChannelShift
from snnx.cli import _train as cli_train
from snnx.cli._arguments import read_arguments
from snnx.cli._networks import recurrent
from snnx.cli._recipes import make_task
from snnx.cli._run_folder import new_folder, read_config
from snnx.cli._settings import DATA_SETS, as_command
from snnx.train import AbstractCallback, Checkpoint, load_checkpoint, read_meta

SOUNDS = ("shd", "ssc", "fsdd", "audio")
CASES = [(name, gradient) for name in SOUNDS for gradient in ("surrogate", "eventprop")]
QUICK = ("--quiet", "--no-pictures")
SMALL = ("--hidden", 12, "--channels", 70, "--channel-shift", 4, "--dt", 0.02, "--batch-size", 9)


pytestmark = pytest.mark.usefixtures("cache_settings")


def config_of(name, gradient, **settings):
    (found,) = (
        choice for choice in DATA_SETS[name].choices if (choice.network, choice.gradient) == ("recurrent", gradient)
    )
    return dataclasses.replace(found, **settings)


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """A small SHD: 30 recordings to train, 10 to test."""
    root = tmp_path_factory.mktemp("words")
    made.write_shd(root, splits=(("train", 6), ("test", 2)))
    return root


@pytest.fixture(scope="module")
def runs(words, tmp_path_factory):
    """A run of two epochs with each gradient: its folder, and what was said."""
    folders = {}
    for flags in (("--gradient", "eventprop"), ("--network", "recurrent")):
        folder = tmp_path_factory.mktemp("runs") / "run"
        said = call("train", "shd", "--root", words, *flags, *SMALL, "--epochs", 2, *QUICK, "--run", folder)
        folders["eventprop" if "eventprop" in flags else "surrogate"] = folder, said
    return folders


# Runs


@pytest.mark.slow
@pytest.mark.parametrize("gradient", ["surrogate", "eventprop"])
def test_a_run_has_the_gradient_that_was_asked_for(gradient, runs):
    folder, (code, out, err) = runs[gradient]
    assert (code, err) == (0, "")
    stored = json.loads((folder / "config.json").read_text())
    assert (stored["network"], stored["gradient"]) == ("recurrent", gradient)
    assert ("surrogate" in stored) == (gradient == "surrogate")
    assert "neuron" not in stored
    task = make_task(read_config(folder, None))
    neuron = task.model.layers[1].neuron
    assert type(neuron.gradient) is (snnx.EventProp if gradient == "eventprop" else type(None))
    assert task.augment == (ChannelShift(4), Blend())
    assert f"70 channels x {task.train.num_steps} steps of 0.02 s, channels shifted by up to 4, blended, seed 0" in out


@pytest.mark.slow
@pytest.mark.parametrize("gradient", ["surrogate", "eventprop"])
def test_training_moves_the_weights_of_every_layer(gradient, runs):
    folder, _ = runs[gradient]
    task = make_task(read_config(folder, None))
    trained = load_checkpoint(folder / "model.npz", eqx.nn.inference_mode(task.model))
    for where in (lambda m: m.layers[0], lambda m: m.layers[1].feedback, lambda m: m.layers[2]):
        moved = np.abs(np.asarray(where(trained).weight) - np.asarray(where(task.model).weight))
        assert moved.max() > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("gradient", ["surrogate", "eventprop"])
def test_a_finished_run_is_scored_again(gradient, runs):
    folder, _ = runs[gradient]
    code, out, err = call("evaluate", folder)
    assert (code, err) == (0, "")
    scores = json.loads((folder / "test.json").read_text())
    assert out.startswith(f"test accuracy {100 * scores['accuracy']:.2f} % (")
    code, out, err = call("train", "--resume", folder, *QUICK)
    assert (code, err) == (0, "")
    assert f"{folder}: already finished: 2 of 2 epochs" in out


class Interrupt(AbstractCallback):
    def after_epoch(self, run):
        if len(run.history) == 1:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_stopped_run_goes_on_with_its_gradient(words, runs, tmp_path, monkeypatch):
    whole, folder = runs["eventprop"][0], tmp_path / "run"
    flags = ("shd", "--root", words, "--gradient", "eventprop", *SMALL, "--epochs", 2, *QUICK)
    fit = cli_train.fit
    with monkeypatch.context() as patch:
        patch.setattr(cli_train, "Checkpoint", lambda path, every: Checkpoint(path, every=0.0))  # after every epoch
        patch.setattr(
            cli_train, "fit", lambda *args, callbacks, **kw: fit(*args, callbacks=[*callbacks, Interrupt()], **kw)
        )
        assert call("train", *flags, "--run", folder)[0] == 130
    assert len(read_meta(folder / "checkpoint.npz")["history"]) == 1
    assert call("train", "--resume", folder, *QUICK)[0] == 0
    assert len(read_meta(folder / "checkpoint.npz")["history"]) == 2
    assert (folder / "test.json").read_text() == (whole / "test.json").read_text()


@pytest.mark.slow
def test_the_outputs_of_given_weights_are_those_of_either_gradient(runs):
    """A run's model, scored with the other gradient: the same loss and spikes, to the last bit."""
    folder, _ = runs["eventprop"]
    one = make_task(read_config(folder, None))
    model = load_checkpoint(folder / "model.npz", eqx.nn.inference_mode(one.model))
    models = [model, snnx.with_gradient(model, None)]
    assert [type(m.layers[1].neuron.gradient) for m in models] == [snnx.EventProp, type(None)]
    (ys, _, spikes), (others, _, of_other) = (
        snnx.simulate(model, one.test.example(0), record=["1.neuron"]) for model in models
    )
    assert spikes["1.neuron"].sum() > 0
    np.testing.assert_array_equal(ys, others)
    np.testing.assert_array_equal(spikes["1.neuron"], of_other["1.neuron"])
    scored = [snnx.evaluate(model, one.test, loss=one.score) for model in models]
    assert scored[0].loss == scored[1].loss
    assert json.loads((folder / "test.json").read_text())["loss"] == pytest.approx(scored[1].loss, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("gradient", ["surrogate", "eventprop"])
def test_nir_has_no_word_for_it(gradient, runs, words, tmp_path):
    folder, _ = runs[gradient]
    code, _, err = call("export", folder, "-o", tmp_path / "model.nir")
    assert code == 1
    assert "method='exact'" in err
    assert not (tmp_path / "model.nir").exists()
    flags = ("--gradient", gradient, "--network", "recurrent", *SMALL, *QUICK)
    run = ("--run", tmp_path / "run", "--export", tmp_path / "model.nir")
    code, _, err = call("train", "shd", "--root", words, *flags, *run)
    assert code == 1
    assert "method='exact'" in err
    assert not (tmp_path / "run").exists()  # refused before the training


# The network


@pytest.mark.slow
def test_the_network_does_what_its_equations_say():
    """Synapse, membrane, threshold, reset to 0 and feedback, and the readout, as loops in double precision."""
    dt, tau_mem, tau_syn = 0.005, 0.02, 0.005
    config = config_of("shd", "eventprop", hidden=(9,))
    model = recurrent(config, (20,), 3, jax.random.key(0))
    linear, layer, out, _ = model.layers
    xs = (np.random.default_rng(0).random((80, 20)) < 0.1).astype(np.float32)
    a, b = np.exp(-dt / tau_mem), np.exp(-dt / tau_syn)
    gain = tau_syn / (tau_syn - tau_mem) * (b - a) / (1 - a)
    w, f, r = (np.asarray(weight, np.float64) for weight in (linear.weight, layer.feedback.weight, out.weight))
    v, i, s, u, j, outputs, count = np.zeros(9), np.zeros(9), np.zeros(9), np.zeros(3), np.zeros(3), [], 0
    for x in xs:
        i = b * i + w @ x + f @ s
        v = a * v + gain * i
        s = (v > 1.0).astype(float)
        v = np.where(s == 1, 0.0, v)
        j = b * j + r @ s
        u = a * u + gain * j
        outputs.append(u)
        count += s.sum()
    assert count > 20
    ys, _ = snnx.simulate(model, jnp.asarray(xs))
    np.testing.assert_allclose(ys, outputs, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("gradient", ["surrogate", "eventprop"])
@pytest.mark.parametrize("hertz", [6.0, 15.0])
def test_hidden_neurons_fire_at_the_start(gradient, hertz):
    """5 to 30 times a second, for inputs between those of mel bands and of a cochlea; else there is no exact gradient."""
    config = config_of("shd", gradient, hidden=(128,))
    model = recurrent(config, (700,), 10, jax.random.key(1))
    xs = (np.random.default_rng(0).random((200, 700)) < hertz * 0.005).astype(np.float32)
    _, _, spikes = snnx.simulate(model, jnp.asarray(xs), record=["1.neuron"])
    assert 3.0 < spikes["1.neuron"].mean() / 0.005 < 30.0


@pytest.mark.slow
def test_several_hidden_layers_are_each_recurrent():
    model = recurrent(config_of("fsdd", "eventprop", hidden=(6, 4)), (5,), 3, jax.random.key(0))
    shapes = [part.feedback.weight.shape for part in model.layers if isinstance(part, snnx.Recurrent)]
    assert shapes == [(6, 6), (4, 4)]
    assert [layer.weight.shape for layer in model.layers[::2][:3]] == [(6, 5), (4, 6), (3, 4)]


# Settings


def parsed(words):
    return read_arguments(words).config


@pytest.mark.parametrize(("name", "gradient"), CASES)
def test_settings_are_found_again(name, gradient, tmp_path):
    """In the run's folder, and from the command that is suggested."""
    config = config_of(name, gradient, root=str(tmp_path / "data"), hidden=(3, 4), epochs=7)
    new_folder(config, str(tmp_path / "run"))
    assert read_config(tmp_path / "run", None) == config
    assert parsed(shlex.split(as_command(config))[1:]) == config


@pytest.mark.parametrize("name", SOUNDS)
def test_without_a_word_everything_is_as_before(name):
    before = parsed(["train", name, "--root", "/data"])
    assert (before.network, before.gradient, before.neuron, before.dt) == ("feedforward", "surrogate", "AdLIF", 0.01)
    assert parsed(["train", name, "--root", "/data", "--gradient", "surrogate"]) == before
    assert parsed(["train", name, "--root", "/data", "--gradient", "EventProp"]).network == "recurrent"
    assert parsed(["train", name, "--root", "/data", "--network", "recurrent"]).gradient == "surrogate"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["shd", "--gradient", "evntprop"], "there is no gradient 'evntprop'. Did you mean 'eventprop'?"),
        (["shd", "--network", "deep"], "there is no network 'deep'."),
        (
            ["shd", "--root", "x", "--network", "feedforward", "--gradient", "eventprop"],
            "shd has no feedforward network with --gradient eventprop; there are --network feedforward --gradient surrogate;",
        ),
        (
            ["fsdd", "--root", "x", "--gradient", "eventprop", "--neuron", "LIF"],
            "fsdd with --network recurrent --gradient eventprop does not take --neuron; it takes --root, --gradient",
        ),
        (["fsdd", "--root", "x", "--gradient", "eventprop", "--surrogate", "ATan"], "does not take --surrogate"),
        (["fsdd", "--root", "x", "--gradient", "eventprop", "--blend", "on"], "does not take --blend"),
        (["shd", "--root", "x", "--gradient", "eventprop", "--blend", "yes"], "there is no answer 'yes'"),
        (["digits", "--gradient", "eventprop"], "digits does not take --gradient; it takes --neuron, "),
        (["nmnist", "--root", "x", "--gradient", "eventprop"], "nmnist does not take --gradient; it takes "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_call_is_answered_with_a_sentence(arguments, message):
    code, _, err = call("train", *arguments)
    assert code == 2
    assert message in err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gradient": "exact"}, "config.json: there is no recurrent network of shd with the gradient exact."),
        (
            {"network": "feedforward"},
            "config.json: there is no feedforward network of shd with the gradient eventprop.",
        ),
        ({"blend": "perhaps"}, "config.json, blend: there is no answer 'perhaps'."),
        ({"gradient": None}, "config.json: there is no recurrent network of shd with the gradient None."),
    ],
    ids=str,
)
def test_settings_that_were_damaged_are_refused(change, message, tmp_path):
    new_folder(config_of("shd", "eventprop", root=str(tmp_path)), str(tmp_path / "run"))
    path = tmp_path / "run" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    code, _, err = call("evaluate", tmp_path / "run")
    assert code == 1
    assert message in err


def test_the_help_tells_both():
    code, out, _ = call("train", "--help")
    assert code == 0
    text = " ".join(out.split())
    assert "--gradient eventprop --network recurrent --hidden 256" in text
    assert "--surrogate ATan --gradient surrogate --network recurrent --hidden 256" in text

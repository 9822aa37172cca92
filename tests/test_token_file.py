import pytest
import torch
from safetensors.torch import save_file

from inversion_kit.errors import InputError, StoreError
from inversion_kit.testing import synthetic_run
from inversion_kit.token_file import KEY, load_token, save_token


def test_a_token_comes_back_and_carries_where_it_is_from(tmp_path):
    from safetensors import safe_open

    tree = synthetic_run(seeds=2)
    seeds = tree["token"]["seed"].values.tolist()
    path = save_token(tree, tmp_path / "a.safetensors", seed=seeds[1])
    one = tree["token"].to_dataset().sel(seed=seeds[1])
    want = torch.from_numpy(one["embedding"].values[int(one["selected"])])
    assert torch.equal(load_token(path), want)
    with safe_open(path, "pt") as file:
        assert file.metadata()["classifier_hash"] == tree.attrs["classifier_hash"]


def test_diffusers_loads_the_token(make_pipeline, generator, classifier, tmp_path):
    from inversion_kit.run import invert

    tree = invert(
        classifier, "dog", generator=generator, steps=1, batch=1, samples=1, validation=1,
        restarts=0, progress=False,
    )  # fmt: skip
    path = save_token(tree, tmp_path / "dog.safetensors")
    pipeline = make_pipeline()
    pipeline.load_textual_inversion(path, token="<ik-dog>")
    row = pipeline.tokenizer.convert_tokens_to_ids("<ik-dog>")
    loaded = pipeline.text_encoder.get_input_embeddings().weight[row]
    assert torch.allclose(loaded, load_token(path)[0], atol=1e-6)


def test_a_wrong_ending_or_seed_is_refused(tmp_path):
    with pytest.raises(InputError, match="safetensors"):
        save_token(synthetic_run(), tmp_path / "a.bin")
    with pytest.raises(InputError, match="seed=99"):
        save_token(synthetic_run(), tmp_path / "a.safetensors", seed=99)


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"\xff" * 64])
def test_a_malformed_file_is_a_store_error(tmp_path, content):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="token file"):
        load_token(path)


def test_a_foreign_file_is_a_store_error(tmp_path):
    save_file({KEY: torch.zeros(1, 4), "more": torch.zeros(2)}, tmp_path / "a.safetensors")
    with pytest.raises(StoreError, match="more"):
        load_token(tmp_path / "a.safetensors")
    with pytest.raises(StoreError, match="not a readable"):
        load_token(tmp_path / "missing.safetensors")

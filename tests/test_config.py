from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field, ValidationError, model_validator

from deepstorm.config import Settings, by_dotted_name, read_settings, validated
from deepstorm.errors import InputError


class Inner(Settings):
    size_px: int = Field(default=3, ge=1)
    weights: tuple[float, ...] = ()


class Outer(Settings):
    name: str
    rate: float = Field(default=0.5, gt=0)
    inner: Inner = Inner()

    @model_validator(mode="after")
    def _check(self) -> Outer:
        if self.rate > 10 * self.inner.size_px:
            raise ValueError("rate is too high for this size; lower it")
        return self


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "settings.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_settings_are_read_with_defaults_for_the_rest(tmp_path: Path) -> None:
    settings = read_settings(Outer, write(tmp_path, 'name = "µ"\n[inner]\nweights = [1, 2.5]\n'))
    assert settings == Outer(name="µ", rate=0.5, inner=Inner(size_px=3, weights=(1.0, 2.5)))


def test_settings_survive_json() -> None:
    settings = Outer(name="a", rate=0.1 + 0.2, inner=Inner(weights=(1 / 3,)))
    assert Outer.model_validate_json(settings.model_dump_json()) == settings


def test_a_byte_order_mark_is_no_trouble(tmp_path: Path) -> None:
    # Some Windows editors write one.
    assert read_settings(Outer, write(tmp_path, b'\xef\xbb\xbfname = "a"\n')).name == "a"


def test_paths_may_be_strings(tmp_path: Path) -> None:
    assert read_settings(Outer, str(write(tmp_path, 'name = "a"'))).name == "a"


def test_settings_cannot_be_changed() -> None:
    settings = Inner()
    with pytest.raises(ValidationError, match="frozen"):
        settings.size_px = 4  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "a"\nrte = 1', "'rte': Extra inputs are not permitted"),
        ("rate = 1", "'name': Field required"),
        ('name = "a"\nrate = 0', "'rate': Input should be greater than 0"),
        ('name = "a"\nrate = inf', "'rate': Input should be a finite number"),
        ('name = "a"\nrate = nan', "'rate': Input should be a finite number"),
        ('name = "a"\n[inner]\nsize_px = 0', "'inner.size_px'"),
        ('name = "a"\n[inner]\nsize_px = 1.5', "'inner.size_px'"),
        ('name = "a"\n[inner]\nweights = [1, nan]', "'inner.weights.1'"),
        ('name = "a"\n[[inner]]\nsize_px = 2', "'inner'"),
        ('name = "a"\nrate = 40', "cannot be used: rate is too high for this size; lower it$"),
        ('name = "a"\nname = "b"', "is not readable TOML: Cannot overwrite"),
        ("name = ", "is not readable TOML: Invalid value"),
        (b'name = "\xff"', "is not readable TOML.*utf-8"),
        ("a = " + "[" * 100_000, "is not readable TOML"),
    ],
)
def test_what_is_wrong_is_said_with_the_file(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InputError, match=message) as caught:
        read_settings(Outer, path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere.toml' does not exist"):
        read_settings(Outer, tmp_path / "nowhere.toml")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not readable TOML"):
        read_settings(Outer, tmp_path)


def test_values_that_are_no_table_are_refused() -> None:
    with pytest.raises(InputError, match=r"settings in 'x.json' cannot be used"):
        validated(Outer, [1, 2], "'x.json'")


def test_a_long_list_of_problems_is_cut_short() -> None:
    with pytest.raises(InputError) as caught:
        validated(Outer, {"name": "a"} | {f"key{i}": 0 for i in range(40)}, "'x.json'")
    assert str(caught.value).count("Extra inputs") == 5


def test_nested_settings_have_dotted_names() -> None:
    values = Outer(name="a", inner=Inner(size_px=4)).model_dump(mode="json")
    wanted = {"name": "a", "rate": 0.5, "inner.size_px": 4, "inner.weights": []}
    assert dict(by_dotted_name(values)) == wanted

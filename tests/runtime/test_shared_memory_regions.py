"""Regions of shared memory: which are opened, what of them is read and written, and what is refused."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np

from tidegate_runtime.errors import AlreadyExists, BodyTooLarge, InvalidRequest, NotFound, NotServed
from tidegate_runtime.protocol.binary_tensors import blob_of
from tidegate_runtime.protocol.shared_tensors import stand_in
from tidegate_runtime.shared_memory.regions import Region, Regions, served
from tidegate_runtime.tensors import Datatype, RequestedOutput, SharedSlice, SharedTensor, Tensor

ROWS = np.arange(8, dtype=np.float32).reshape(2, 4)
SIZE = 64


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What stands for /dev/shm, with an object of 64 bytes that begins with two rows."""
    shm = tmp_path / "shm"
    shm.mkdir()
    (shm / "a").write_bytes(ROWS.tobytes() + bytes(SIZE - ROWS.nbytes))
    (tmp_path / "outside").write_bytes(bytes(SIZE))
    return shm


@pytest.fixture
def make(folder: Path) -> Iterator[Callable[..., Regions]]:
    made: list[Regions] = []

    def make(max_bytes: int = 1024, **options: Any) -> Regions:
        made.append(Regions(max_bytes, directory=str(folder), **options))
        return made[-1]

    yield make
    for regions in made:
        regions.unregister_all()


@pytest.fixture
def regions(make: Callable[..., Regions]) -> Regions:
    """With "r", the whole object, and "tail", its second half."""
    regions = make()
    regions.register(Region("r", "/a", 0, SIZE))
    regions.register(Region("tail", "/a", 32, 32))
    return regions


def an_input(region: str, offset: int = 0, shape: tuple[int, ...] = (2, 4)) -> SharedTensor:
    size = 4 * int(np.prod(shape))
    return stand_in("x", Datatype.FP32, shape, SharedSlice(region, offset, size), 'input "x"')


def read(regions: Regions, tensor: SharedTensor, max_bytes: int = 1024) -> Any:
    return regions.read([tensor], {"x": tensor.array}, max_bytes)["x"]


def write(regions: Regions, array: Any, place: SharedSlice, datatype: Datatype = Datatype.FP32) -> Tensor:
    (written,) = regions.write([Tensor("y", datatype, array)], [RequestedOutput("y", place=place)])
    return written


BAD_KEYS = [
    pytest.param("", "POSIX shared memory object", id="none"),
    pytest.param("/", "POSIX shared memory object", id="a slash alone"),
    pytest.param("//a", "POSIX shared memory object", id="two slashes"),
    pytest.param("/a/", "POSIX shared memory object", id="a slash behind it"),
    pytest.param("/sub/a", "POSIX shared memory object", id="a folder"),
    pytest.param("/..", "POSIX shared memory object", id="the folder above"),
    pytest.param("/.", "POSIX shared memory object", id="the folder itself"),
    pytest.param("/../outside", "POSIX shared memory object", id="a way out"),
    pytest.param("../outside", "POSIX shared memory object", id="a way out without a slash"),
    pytest.param("/a\0b", "POSIX shared memory object", id="NUL"),
    pytest.param("/\ud800", "not UTF-8", id="a lone surrogate"),
    pytest.param("/" + "k" * 256, "256 bytes; the limit is 255", id="too long"),
    pytest.param("/" + "é" * 128, "256 bytes; the limit is 255", id="too long in bytes"),
    pytest.param("/none", "No such file", id="nothing of that name"),
    pytest.param("/link", "can't be opened", id="a link out"),
    pytest.param("/inner", "can't be opened", id="a link inside"),
    pytest.param("/sub", "can't be opened", id="a directory"),
    pytest.param("/pipe", "something else", id="a pipe, which is not waited for"),
]


@pytest.mark.parametrize(("key", "message"), BAD_KEYS)
def test_a_key_is_refused_that_is(key: str, message: str, make: Callable[..., Regions], folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "a").write_bytes(bytes(SIZE))
    (folder / "link").symlink_to(folder.parent / "outside")
    (folder / "inner").symlink_to("a")
    os.mkfifo(folder / "pipe")
    opened = len(os.listdir("/proc/self/fd"))
    regions = make()
    with pytest.raises(InvalidRequest, match=message) as refusal:
        regions.register(Region("r", key, 0, 8))
    assert str(folder) not in str(refusal.value)
    assert regions.status() == []
    assert len(os.listdir("/proc/self/fd")) == opened


def test_a_key_may_lack_its_slash_as_the_c_library_takes_it(make: Callable[..., Regions]) -> None:
    regions = make()
    regions.register(Region("r", "a", 0, SIZE))
    assert np.array_equal(read(regions, an_input("r")), ROWS)


BAD_REGIONS = [
    pytest.param(0, 65, "reach beyond the 64 bytes", id="larger than the object"),
    pytest.param(64, 1, "reach beyond the 64 bytes", id="behind the object"),
    pytest.param(1, 64, "reach beyond the 64 bytes", id="one byte too far"),
    pytest.param(0, 0, '"byte_size" must be an integer from 1', id="empty"),
    pytest.param(0, -1, '"byte_size" must be an integer from 1', id="a negative size"),
    pytest.param(-1, 8, '"offset" must be an integer from 0', id="a negative offset"),
    pytest.param(2**63, 8, '"offset" must be an integer from 0', id="an offset that overflows"),
    pytest.param(2**64 - 4, 8, '"offset" must be an integer from 0', id="a sum that overflows to 4"),
    pytest.param(8, 2**64 - 8, '"byte_size" must be an integer from 1', id="a sum that overflows to 0"),
    pytest.param(2**48, 1, "reach beyond", id="the largest offset"),
]


@pytest.mark.parametrize(("offset", "size", "message"), BAD_REGIONS)
def test_a_region_is_refused_that_is(offset: int, size: int, message: str, make: Callable[..., Regions]) -> None:
    opened = len(os.listdir("/proc/self/fd"))
    regions = make()
    with pytest.raises(InvalidRequest, match=message):
        regions.register(Region("r", "/a", offset, size))
    assert regions.status() == []
    assert len(os.listdir("/proc/self/fd")) == opened


@pytest.mark.parametrize("name", ["", "n" * 257])
def test_a_region_needs_a_name_of_bounded_length(name: str, make: Callable[..., Regions]) -> None:
    with pytest.raises(InvalidRequest, match="1 to 256 characters"):
        make().register(Region(name, "/a", 0, 8))


def test_a_name_is_registered_once(regions: Regions) -> None:
    with pytest.raises(AlreadyExists, match='"r" is registered already; unregister it first'):
        regions.register(Region("r", "/a", 0, 8))
    regions.unregister("r")
    regions.register(Region("r", "/a", 0, 8))
    assert regions.status("r") == [Region("r", "/a", 0, 8)]


def test_regions_are_bounded_in_number_and_together_in_bytes(make: Callable[..., Regions]) -> None:
    few = make(max_regions=1)
    few.register(Region("r", "/a", 0, 8))
    with pytest.raises(InvalidRequest, match="1 regions are registered, which is the limit"):
        few.register(Region("s", "/a", 0, 8))
    small = make(100)
    small.register(Region("r", "/a", 0, 60))
    with pytest.raises(InvalidRequest, match=r"of the 100 bytes that --shared-memory-bytes allows .* 40 are left"):
        small.register(Region("s", "/a", 0, 41))
    small.register(Region("s", "/a", 0, 40))


def test_status_tells_one_or_all_and_unregistering_forgets_one_or_all(regions: Regions) -> None:
    opened = len(os.listdir("/proc/self/fd"))
    r, tail = Region("r", "/a", 0, SIZE), Region("tail", "/a", 32, 32)
    assert (regions.status(), regions.status("tail")) == ([r, tail], [tail])
    with pytest.raises(NotFound, match='no region "none"'):
        regions.status("none")
    regions.unregister("none")
    regions.unregister("r")
    assert regions.status() == [tail]
    regions.unregister_all()
    assert regions.status() == []
    assert len(os.listdir("/proc/self/fd")) == opened - 2


def test_where_there_are_none_the_option_is_named() -> None:
    with pytest.raises(NotServed, match="--shared-memory-bytes"):
        served(None)


def test_an_input_is_what_is_in_the_region_at_that_moment(regions: Regions, folder: Path) -> None:
    found = read(regions, an_input("r"))
    with (folder / "a").open("r+b") as changed:
        changed.write(bytes(SIZE))
    assert np.array_equal(found, ROWS)
    assert not read(regions, an_input("r")).any()


def test_offsets_of_region_and_tensor_add_up(regions: Regions, folder: Path) -> None:
    with (folder / "a").open("r+b") as changed:
        changed.seek(32 + 16)
        changed.write(np.array([9, 8, 7, 6], np.float32).tobytes())
    assert read(regions, an_input("tail", 16, (1, 4))).tolist() == [[9, 8, 7, 6]]
    write(regions, np.array([[5]], np.float32), SharedSlice("tail", 4, 4))
    assert (folder / "a").read_bytes()[36:40] == np.float32(5).tobytes()


BAD_PLACES = [
    pytest.param(SharedSlice("none", 0, 32), 'no region "none" is registered', id="of no region"),
    pytest.param(SharedSlice("tail", 1, 32), "reach beyond the 32 bytes of region", id="beyond a region by offset"),
    pytest.param(SharedSlice("tail", 2**48, 32), "reach beyond the 32 bytes of region", id="far beyond a region"),
]


@pytest.mark.parametrize(("place", "message"), BAD_PLACES)
def test_neither_input_nor_output_may_be(place: SharedSlice, message: str, regions: Regions) -> None:
    tensor = stand_in("x", Datatype.FP32, (2, 4), place, 'input "x"')
    with pytest.raises(InvalidRequest, match=f'input "x": .*{message}'):
        read(regions, tensor)
    with pytest.raises(InvalidRequest, match=f'output "y": .*{message}'):
        regions.check_outputs([RequestedOutput("y", place=place)])
    with pytest.raises(InvalidRequest, match=f'output "y": .*{message}'):
        write(regions, ROWS, place)


def test_an_object_cut_short_after_it_was_registered_fails_the_request_and_does_not_grow(
    regions: Regions, folder: Path
) -> None:
    os.truncate(folder / "a", 16)
    with pytest.raises(InvalidRequest, match='input "x": the shared memory of region "r" was cut short'):
        read(regions, an_input("r"))
    with pytest.raises(InvalidRequest, match='output "y": the shared memory of region "r" was cut short'):
        write(regions, ROWS, SharedSlice("r", 0, 32))
    assert (folder / "a").stat().st_size == 16
    assert read(regions, an_input("r", shape=(1, 4))).tolist() == [[0, 1, 2, 3]]


def test_an_object_that_its_owner_has_removed_is_still_there(regions: Regions, folder: Path) -> None:
    (folder / "a").unlink()
    assert np.array_equal(read(regions, an_input("r")), ROWS)


def test_inputs_are_bounded_before_any_is_read(regions: Regions) -> None:
    with pytest.raises(BodyTooLarge, match="have 32 bytes; the limit is 31"):
        read(regions, an_input("r"), 31)
    assert read(regions, an_input("r"), 32).shape == (2, 4)


def test_an_input_that_is_not_in_shared_memory_stays_what_it_is(regions: Regions) -> None:
    other = np.ones(3)
    tensors = [Tensor("o", Datatype.FP64, other), an_input("r")]
    feeds = regions.read(tensors, {"o": other, "x": tensors[1].array}, 1024)
    assert feeds["o"] is other
    assert np.array_equal(feeds["x"], ROWS)


def test_an_output_tells_how_much_of_its_place_it_took(regions: Regions, folder: Path) -> None:
    written = write(regions, ROWS[:1], SharedSlice("tail", 8, 24))
    assert isinstance(written, SharedTensor)
    assert written.place == SharedSlice("tail", 8, 16)
    assert (folder / "a").read_bytes()[40:56] == ROWS[:1].tobytes()


def test_if_one_output_s_region_is_gone_none_is_written(regions: Regions, folder: Path) -> None:
    before = (folder / "a").read_bytes()
    tensors = [Tensor("y", Datatype.FP32, ROWS + 1), Tensor("z", Datatype.FP32, ROWS)]
    wanted = [
        RequestedOutput("y", place=SharedSlice("r", 0, 32)),
        RequestedOutput("z", place=SharedSlice("gone", 0, 32)),
    ]
    with pytest.raises(InvalidRequest, match='output "z": no region "gone" is registered'):
        regions.write(tensors, wanted)
    assert (folder / "a").read_bytes() == before


def test_if_one_output_does_not_fit_none_is_written(regions: Regions, folder: Path) -> None:
    before = (folder / "a").read_bytes()
    tensors = [Tensor("y", Datatype.FP32, ROWS + 1), Tensor("z", Datatype.FP32, ROWS)]
    wanted = [RequestedOutput("y", place=SharedSlice("r", 0, 32)), RequestedOutput("z", place=SharedSlice("r", 32, 31))]
    with pytest.raises(InvalidRequest, match=r'output "z" of shape \[2, 4\] takes 32 bytes, .*is 31'):
        regions.write(tensors, wanted)
    assert (folder / "a").read_bytes() == before


def test_a_full_file_system_fails_the_request(regions: Regions, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(InvalidRequest, match="can't be used: No space left on device"):
        write(regions, ROWS, SharedSlice("r", 0, 32))


def test_what_comes_back_in_pieces_is_read_and_written_whole(
    regions: Regions, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_read, real_write = os.preadv, os.pwrite
    monkeypatch.setattr(os, "preadv", lambda file, buffers, offset: real_read(file, [buffers[0][:5]], offset))
    monkeypatch.setattr(os, "pwrite", lambda file, data, offset: real_write(file, data[:5], offset))
    assert np.array_equal(read(regions, an_input("r")), ROWS)
    write(regions, ROWS * 3, SharedSlice("r", 8, 32))
    assert (folder / "a").read_bytes()[8:40] == (ROWS * 3).tobytes()


def test_bytes_that_are_not_of_the_datatype_are_refused(regions: Regions, folder: Path) -> None:
    (folder / "a").write_bytes(b"\x02" + bytes(SIZE - 1))
    with pytest.raises(InvalidRequest, match="BOOL is 0 or 1"):
        read(regions, stand_in("x", Datatype.BOOL, (1,), SharedSlice("r", 0, 1), 'input "x"'))
    (folder / "a").write_bytes(b"\xff\xff\xff\xff" + bytes(SIZE - 4))
    with pytest.raises(InvalidRequest, match="claims 4294967295 bytes, but 4 are left"):
        read(regions, stand_in("x", Datatype.BYTES, (1,), SharedSlice("r", 0, 8), 'input "x"'))


NUMBERS = [datatype for datatype in Datatype if datatype not in (Datatype.BYTES, Datatype.BF16)]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_is_written_is_read_bit_by_bit(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    datatype = data.draw(st.sampled_from([*NUMBERS, Datatype.BYTES]))
    shape = data.draw(st_np.array_shapes(max_dims=3, max_side=4))
    if datatype is Datatype.BYTES:
        count = int(np.prod(shape))
        array = np.array(data.draw(st.lists(st.text(max_size=4), min_size=count, max_size=count)), object).reshape(
            shape
        )
    else:
        array = data.draw(st_np.arrays(datatype.numpy, shape))
    blob = bytes(blob_of(array, datatype))
    folder, offset = tmp_path_factory.mktemp("shm"), data.draw(st.integers(0, 9))
    (folder / "k").write_bytes(bytes(2048))
    regions = Regions(4096, directory=str(folder))
    regions.register(Region("r", "/k", 3, 2045))
    try:
        place = SharedSlice("r", offset, len(blob))
        written = write(regions, array, place, datatype)
        found = read(regions, stand_in("x", datatype, shape, place, "x"), 4096)
    finally:
        regions.unregister_all()
    assert isinstance(written, SharedTensor)
    assert written.place == place
    assert (folder / "k").read_bytes() == bytes(3 + offset) + blob + bytes(2045 - offset - len(blob))
    assert bytes(blob_of(found, datatype)) == blob

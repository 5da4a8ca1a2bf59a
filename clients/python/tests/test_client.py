"""The client against a server in the same process: needs no build of the real one."""

import pickle
import socket

import fake_server
import numpy as np
import pytest
from conftest import is_settled
from exemplar_client import Client, ConnectionFailed, ExemplarError, ModelChanged, ProtocolError
from fake_server import DIMENSION, PATCH_SHAPE, FakeServer, expected, failure, patches, result


def test_embeds_patches_in_order(client):
    array = patches(7)
    vectors = client.embed(array)
    assert vectors.dtype == np.float32 and vectors.shape == (7, DIMENSION)
    np.testing.assert_array_equal(vectors, expected(array))


def test_one_patch_is_a_row(client):
    array = patches(1)
    np.testing.assert_array_equal(client.embed(array[0]), expected(array))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_stand_for_255_times_as_much(client, server, dtype):
    array = patches(3) // 255 * 255
    np.testing.assert_allclose(client.embed((array / 255).astype(dtype)), expected(array), rtol=1e-6)
    assert server.requests[-1]["params"]["dtype"] == "f32"


def test_strided_and_big_endian_arrays(client):
    array = patches(6)
    np.testing.assert_array_equal(client.embed(array[::2]), expected(array[::2]))
    np.testing.assert_array_equal(client.embed(array.transpose(0, 2, 1, 3)), expected(array.transpose(0, 2, 1, 3)))
    whole = (array // 255).astype(">f4")
    np.testing.assert_allclose(client.embed(whole), expected(array // 255 * 255), rtol=1e-6)


def test_parameters_go_out_as_given_and_no_others(client, server):
    client.embed(patches(1))
    assert set(server.requests[-1]["params"]) == {"patches", "shape"}
    assert server.requests[-1]["params"]["shape"] == list(PATCH_SHAPE)
    client.embed(patches(1), layers=("conv1", "conv2"), model="m", normalize="l2", deadline_ms=5)
    params = dict(server.requests[-1]["params"])
    del params["patches"], params["shape"]
    assert params == {"layers": ["conv1", "conv2"], "model": "m", "normalize": "l2", "deadline_ms": 5}
    client.embed(patches(1), layers="all")
    assert server.requests[-1]["params"]["layers"] == "all"
    client.embed(patches(1), layers="conv1")
    assert server.requests[-1]["params"]["layers"] == ["conv1"]


def test_large_inputs_are_split_below_the_line_limit():
    with FakeServer() as server, Client(port=server.port, timeout=10, max_line_bytes=8192) as client:
        array = patches(300)
        np.testing.assert_array_equal(client.embed(array), expected(array))
        assert len(server.requests) > 1
        assert max(server.line_lengths) <= 8192


def test_large_inputs_keep_their_order_when_replies_do_not():
    with FakeServer(hold=4) as server, Client(port=server.port, timeout=10) as client:
        array = patches(4 * 256)
        np.testing.assert_array_equal(client.embed(array), expected(array))
        assert [request["method"] for request in server.requests] == ["model"] + ["embed"] * 4


@pytest.mark.parametrize(
    "ask, differences",
    [
        (lambda c: c.embed(patches(300)), {"model": "another"}),
        (lambda c: c.embed(patches(300)), {"layers": ["fc"]}),
        (lambda c: c.embed(patches(300)), {"dim": 1, "embeddings": ["AAAAAA=="] * 44}),
        (lambda c: c.classify(patches(300)), {"model": "another"}),
        (lambda c: c.transform(patches(200), samples=2), {"parameters": [{"hue": 0.5}] * 2}),
    ],
)
def test_parts_of_different_models_are_not_put_together(ask, differences):
    def answer(request, server):
        reply = fake_server.standard_answer(request, server)
        if sum(earlier["method"] == request["method"] for earlier in server.requests) > 1:
            reply["result"] |= differences
        return reply

    with FakeServer(answer) as server, Client(port=server.port, timeout=10) as client:
        with pytest.raises(ModelChanged, match="ask again"):
            ask(client)
        assert client.live() == {"status": "ok"} and is_settled(client)


def test_replies_larger_than_the_socket_buffers_do_not_stall():
    def answer(request, server):
        return result(request, {"text": "x" * 3_000_000, "sent": len(request["params"]["text"])})

    with FakeServer(answer) as server, Client(port=server.port, timeout=10) as client:
        ids = [client._requests.send("echo", {"text": "y" * 3_000_000}) for _ in range(8)]
        assert [client._requests.receive(request)["sent"] for request in ids] == [3_000_000] * 8


def test_an_overloaded_server_is_asked_again_for_the_parts_it_refused():
    refused = set()

    def answer(request, server):
        key = request["params"].get("patches", [None])[0]
        if key is not None and key not in refused:
            refused.add(key)
            return failure(request, -32000, "The queue is full.", retry_after_ms=1)
        return fake_server.standard_answer(request, server)

    with FakeServer(answer) as server, Client(port=server.port, timeout=10) as client:
        array = patches(1000)
        np.testing.assert_array_equal(client.embed(array), expected(array))
        assert len(refused) == 4
        np.testing.assert_array_equal(client.embed(array[7]), expected(array[7:8]))


@pytest.mark.parametrize("timeout, deadline_ms", [(0.5, None), (10, 500)])
def test_a_server_that_stays_overloaded_is_not_asked_for_ever(timeout, deadline_ms):
    def answer(request, server):
        return failure(request, -32000, "The queue is full.", retry_after_ms=1)

    with FakeServer(answer) as server, Client(port=server.port, timeout=10) as client:
        client._requests.timeout = timeout  # Of the patience alone, so that a slow machine does not fail the test.
        with pytest.raises(ExemplarError) as caught:
            client.embed(patches(1), deadline_ms=deadline_ms)
        assert caught.value.code == -32000 and caught.value.data == {"retry_after_ms": 1}
        assert len(server.requests) > 1
        with pytest.raises(ExemplarError):
            client.call("embed", patches=["AAAA"])
        assert is_settled(client)


def test_the_other_methods(client):
    assert client.live() == client.ready() == {"status": "ok"}
    assert client.model()["name"] == "fake" and client.model("other")["name"] == "other"
    assert client.models()["default"] == "fake"
    assert client.stats()["requests"] > 0
    assert client.call("model", model="third")["name"] == "third"


def test_errors_carry_code_message_and_data(client):
    with pytest.raises(ExemplarError) as caught:
        client.embed(np.zeros((2, 2, 8, 3), np.uint8))
    assert caught.value.code == -32602
    assert caught.value.data == {"param": "shape"}
    assert "4×4" in caught.value.message and "4×4" in str(caught.value)
    with pytest.raises(ExemplarError) as caught:
        client.call("nonsense")
    assert caught.value.code == -32601 and caught.value.data == {}
    # The connection goes on.
    assert client.live() == {"status": "ok"}
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.code, again.message, again.data) == (-32601, caught.value.message, {})


def test_an_error_in_one_part_leaves_the_connection_usable():
    def answer(request, server):
        if request["method"] == "embed" and len(server.requests) == 2:
            return failure(request, -32603, "The server failed.")
        return fake_server.standard_answer(request, server)

    with FakeServer(answer) as server, Client(port=server.port, timeout=10) as client:
        with pytest.raises(ExemplarError):
            client.embed(patches(2000))
        array = patches(3)
        np.testing.assert_array_equal(client.embed(array), expected(array))
        assert is_settled(client)


@pytest.mark.parametrize(
    "wrong", [np.zeros((0, 4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8), np.zeros((1, 1, 4, 4, 3), np.uint8)]
)
def test_wrong_shapes_are_refused_here(client, server, wrong):
    with pytest.raises(ValueError, match=r"\[n, H, W, C\]"):
        client.embed(wrong)
    assert not server.requests


def test_wrong_types_are_refused_here(client):
    with pytest.raises(TypeError, match="uint8"):
        client.embed(np.zeros((1, 4, 4, 3), np.int64))


def test_no_server_says_how_to_start_one():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionFailed, match=rf"no server at 127.0.0.1:{port}.*exemplar serve"):
        Client(port=port, timeout=10)
    with pytest.raises(ConnectionFailed, match="exemplar serve"):
        Client(unix="/nonexistent/socket", timeout=10)


def test_a_wrong_address_is_named():
    with pytest.raises(ConnectionFailed, match="256.256.256.256"):
        Client(host="256.256.256.256", timeout=10)


def test_unix_sockets(tmp_path):
    path = str(tmp_path / "socket")
    with FakeServer(unix=path), Client(unix=path, timeout=10) as client:
        assert client.live() == {"status": "ok"}


def test_a_silent_server_times_out():
    with FakeServer(lambda request, server: None) as server, Client(port=server.port, timeout=0.05) as client:
        with pytest.raises(TimeoutError, match="0.05 s"):
            client.live()


def test_a_server_that_hangs_up():
    with FakeServer(lambda request, server: None, close_after=1) as server:
        with Client(port=server.port, timeout=10) as client:
            with pytest.raises(ConnectionFailed, match="before the reply"):
                client.live()


def test_an_error_about_the_connection_is_raised():
    line = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32009,"message":"Too many connections."}}\n'
    with FakeServer(greeting=line) as server, Client(port=server.port, timeout=10) as client:
        with pytest.raises(ExemplarError) as caught:
            client.live()
        assert caught.value.code == -32009


@pytest.mark.parametrize("line", [b"HTTP/1.1 400 Bad Request\r\n", b"[]\n", b"{}\n", b'{"error":7,"id":null}\n'])
def test_other_protocols_are_told_apart(line):
    with FakeServer(lambda request, server: line) as server, Client(port=server.port, timeout=10) as client:
        with pytest.raises(ProtocolError):
            client.live()


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"dim": 1, "embeddings": []},
        {"dim": 1, "embeddings": ["AAAA"]},
        {"dim": 2, "embeddings": ["AAAAAA=="]},
        {"dim": 1, "embeddings": ["AAAAAA==", "AAAAAA=="]},
        {"dim": 1, "embeddings": ["AA*AAA=="]},
        {"dim": 1, "embeddings": 7},
    ],
)
def test_results_that_are_no_embeddings(value):
    with FakeServer(lambda request, server: result(request, value)) as server:
        with Client(port=server.port, timeout=10) as client:
            with pytest.raises(ProtocolError):
                client.embed(patches(1))


def test_replies_to_nobody_are_passed_over():
    def answer(request, server):
        stray = b'{"jsonrpc":"2.0","id":999,"result":1}\n{"jsonrpc":"2.0","id":"x","result":1}\n'
        return stray + b'{"jsonrpc":"2.0","id":%d,"result":"mine"}\n' % request["id"]

    with FakeServer(answer) as server, Client(port=server.port, timeout=10) as client:
        assert client.call("anything") == "mine"
        assert is_settled(client)


def test_lines_that_are_too_long_fail_no_later_call():
    def answer(request, server):
        if request["method"] == "embed":
            return failure(None, -32007, "The line is too long.")
        return fake_server.standard_answer(request, server)

    with FakeServer(answer) as server, Client(port=server.port, timeout=10) as client:
        for _ in range(2):
            with pytest.raises(ExemplarError) as caught:
                client.embed(patches(2000))
            assert caught.value.code == -32007
            assert client.live() == client.live() == {"status": "ok"}
        assert is_settled(client)


def test_a_refusal_that_ends_the_connection_is_raised():
    """It has no id, so that it is no refusal of one request, which might be sent again."""
    with FakeServer(lambda request, server: failure(None, -32000, "There is no room."), close_after=1) as server:
        with Client(port=server.port, timeout=10) as client:
            with pytest.raises(ExemplarError, match="no room"):
                client.embed(patches(1))


def test_layers_may_be_any_sequence(client, server):
    names = np.array(["conv1", "conv3"])
    np.testing.assert_array_equal(client.embed(patches(2), layers=names), expected(patches(2)))
    assert server.requests[-1]["params"]["layers"] == ["conv1", "conv3"]


def test_a_client_that_is_closed_says_so(server):
    client = Client(port=server.port, timeout=10)
    client.close()
    client.close()
    with pytest.raises(ConnectionFailed, match="closed"):
        client.live()
    assert is_settled(client)

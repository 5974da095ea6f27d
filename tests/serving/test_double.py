"""The double keeps TF Serving's rules of REST: paths, row and column form, base64, numbers, error bodies."""

import json

import pytest

requests = pytest.importorskip("requests")

ROWS = {"signature_name": "generate", "instances": [{"source": "a", "max_new_tokens": n} for n in (1, 3)]}
COLUMNS = {"signature_name": "generate", "inputs": {"source": ["a", "a"], "max_new_tokens": [1, 3]}}


@pytest.fixture(scope="module")
def http(double):
    with requests.Session() as session:
        session.trust_env = False

        def ask(path, body=None):
            data = body if isinstance(body, (str, bytes, type(None))) else json.dumps(body)
            reply = session.request("GET" if body is None else "POST", double.urls[0] + path, data=data)
            assert reply.headers["Content-Type"] == "application/json"
            return reply.status_code, reply

        yield ask


@pytest.fixture(scope="module")
def predict(http):
    return lambda body, model="tasks": http(f"/v1/models/{model}:predict", body)


def test_a_row_in_a_row_out(predict):
    status, reply = predict(ROWS)
    third = {"completion": "a>1", "num_new_tokens": 1, "log_prob": -0.333333343}
    assert status == 200
    assert reply.json() == {"predictions": [third, {"completion": "a>3", "num_new_tokens": 3, "log_prob": -1.0}]}
    assert '"log_prob": -0.33333334' in reply.text and '"log_prob": -1.0' in reply.text  # all digits, a point


def test_columns_in_columns_out(predict):
    status, reply = predict(COLUMNS)
    outputs = reply.json()["outputs"]
    assert status == 200 and outputs["completion"] == ["a>1", "a>3"] and outputs["num_new_tokens"] == [1, 3]
    beam = {"source": ["x"], "max_new_tokens": [3], "length_penalty": [0.5]}
    outputs = predict({"signature_name": "beam", "inputs": beam})[1].json()["outputs"]
    assert outputs["completions"] == [["x>3", "x"]] and outputs["scores"] == [[0.5, -0.5]]


def test_a_single_input_and_a_single_output_need_no_name(predict):
    for instances in (["abc", "de"], [{"text": "abc"}, {"text": "de"}], [{"b64": "YWJj"}, {"b64": "ZGU="}]):
        rows = predict({"signature_name": "embed", "instances": instances})[1].json()
        assert rows["predictions"] == [[1.0, -3.0, 3e20], [0.666666687, -2.0, 2e20]]
    columns = predict({"signature_name": "embed", "inputs": ["abc"]})[1].json()
    assert columns == {"outputs": [[1.0, -3.0, 3e20]]}
    assert predict({"instances": ["a"]}, "two")[1].json() == {"predictions": [2]}  # of serving_default


def test_bytes_and_numbers_that_are_none(predict):
    row = {"x": 1.0, "n": 4, "yes": True, "raw": {"b64": "/wA="}}
    rows = [row, row | {"x": -1, "raw": "é\u0000"}, row | {"x": 0.0, "n": 2**40}]
    status, reply = predict({"signature_name": "types", "instances": rows})
    first, second, third = reply.json()["predictions"]
    assert status == 200 and first["raw_bytes"] == {"b64": "/wA="} and second["raw_bytes"] == {"b64": "w6kA"}
    for word in (
        '"x": Infinity',
        '"x": -Infinity',
        '"x": NaN',
        '"yes": false',
        '"n": 2199023255552',
        '"half": 1.3333',
    ):
        assert word in reply.text
    body = json.dumps({"signature_name": "types", "instances": [row | {"x": float("nan"), "yes": False}]})
    assert "NaN" in body and '"x": NaN' in predict(body)[1].text


def test_paths_of_versions_and_labels(http):
    body = {"instances": ["a"]}
    for where, number in (("", 2), ("/versions/1", 1), ("/labels/stable", 1), ("/labels/canary", 2)):
        assert http(f"/v1/models/two{where}:predict", body)[1].json() == {"predictions": [number]}
    for where in ("/versions/7", "/versions/7/metadata"):
        status, reply = http(f"/v1/models/two{where}", None)
        assert status == 404 and "version 7" in reply.json()["error"] or "two, 7" in reply.json()["error"]
    status, reply = http("/v1/models/two/labels/none:predict", body)
    assert status == 400 and "Unrecognized servable version label: none" in reply.json()["error"]


def test_status_and_metadata(http):
    (one,) = http("/v1/models/two/versions/1")[1].json()["model_version_status"]
    assert one == {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    told = http("/v1/models/tasks/metadata")[1].json()
    assert told["model_spec"] == {"name": "tasks", "signature_name": "", "version": "1"}
    same = told["metadata"]["signature_def"]["signature_def"]["same"]
    shape = {"dim": [{"size": "-1", "name": ""}, {"size": "2", "name": ""}], "unknown_rank": False}
    assert same["inputs"]["x"]["dtype"] == "DT_FLOAT" and same["inputs"]["x"]["tensor_shape"] == shape
    assert same["method_name"] == "tensorflow/serving/predict"


@pytest.mark.parametrize(
    "body, message",
    [
        ("{", "JSON Parse error"),
        ("", "JSON Parse error"),
        ("[]", "Is not object"),
        (COLUMNS | {"signature_name": "none"}, '"none" not found in signature def'),
        (COLUMNS | {"signature_name": 5}, "'signature_name' key must be a string"),
        (COLUMNS | ROWS, "only one of 'inputs' or 'instances'"),
        ({"signature_name": "generate"}, "Missing 'inputs' or 'instances' key"),
        (ROWS | {"instances": []}, "No values in 'instances'"),
        (ROWS | {"instances": "a"}, "to be an list/array"),
        (ROWS | {"instances": ["a"]}, "instances is a plain list"),
        (ROWS | {"instances": [*ROWS["instances"], "a"]}, "item 2 of input list"),
        (ROWS | {"instances": [{"source": "a"}]}, "element: 0 of 'instances' list"),
        (COLUMNS | {"inputs": {"source": ["a"]}}, "Missing named input: max_new_tokens"),
        (COLUMNS | {"inputs": ["a"]}, "inputs is a plain value/list"),
        (COLUMNS | {"inputs": {"source": [5], "max_new_tokens": [1]}}, "not of expected type: string"),
        (COLUMNS | {"inputs": {"source": ["a"], "max_new_tokens": [1.0]}}, "not of expected type: int32"),
        (COLUMNS | {"inputs": {"source": ["a"], "max_new_tokens": [True]}}, "not of expected type: int32"),
        (COLUMNS | {"inputs": {"source": ["a"], "max_new_tokens": [2**31]}}, "not of expected type: int32"),
        (COLUMNS | {"inputs": {"source": [{"b64": "?"}], "max_new_tokens": [1]}}, "Unable to base64 decode"),
        (COLUMNS | {"inputs": {"source": [["a"], "b"], "max_new_tokens": [1]}}, "incorrect level"),
        (COLUMNS | {"inputs": {"source": [["a"], ["b", "c"]], "max_new_tokens": [1]}}, "unexpected size: 2"),
        ({"signature_name": "total", "inputs": [2**24]}, "without loss of precision"),
        ({"signature_name": "total", "inputs": [1e39]}, "without loss of precision"),
        ({"signature_name": "embed", "inputs": [["a"]]}, "shape"),
        ({"signature_name": "beam", "inputs": {"source": ["x"] * 3, "max_new_tokens": [1] * 2,
                                               "length_penalty": [0.0]}}, "[3]"),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_a_bad_request_with_an_error_body(predict, body, message):
    status, reply = predict(body)
    assert status == 400 and list(reply.json()) == ["error"] and message in reply.json()["error"]


def test_unknown_models_and_paths(http):
    for path, body in (
        ("/v1/models/none", None),
        ("/v1/models/none/metadata", None),
        ("/v1/models/none:predict", ROWS),
    ):
        status, reply = http(path, body)
        assert status == 404 and "none" in reply.json()["error"]
    for path, body in (("/v2/models/two", None), ("/v1/models/two:explain", ROWS), ("/v1/models/two:predict", None)):
        status, reply = http(path, body)
        assert status == 400 and "Malformed request" in reply.json()["error"]


def test_neither_keras_nor_the_library_is_in_the_double(http):
    told = http("/double", "{}")[1].json()["modules"]
    assert "tensorflow" in told and not {"keras", "tf_keras", "lm_keras"} & set(told)

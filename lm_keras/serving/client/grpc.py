"""Requests to TF Serving's gRPC interface, in the messages of tensorflow-serving-api."""

import math
import re
import time
from urllib.parse import urlsplit

from lm_keras.errors import InputError
from lm_keras.serving.client.results import ServingError, Tensor, VersionStatus, redacted
from lm_keras.utils.quiet import load_tensorflow

OPTIONS = {
    "grpc.max_send_message_length": -1,
    "grpc.enable_http_proxy": 0,  # as by REST: the address is the server's
    # Only a plain answer has a size that is known before it is in memory.
    "grpc.compression_enabled_algorithms_bitset": 1,
    "grpc.per_message_decompression": 0,
    # A server that comes back is found again before the pauses of `retried` are over.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.min_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1000,
}
TOO_LARGE = re.compile(r"larger than max|exceeds|too large", re.IGNORECASE)  # said of messages and metadata
SERVICE = "/tensorflow.serving."


class Grpc:
    """One server, one model of it. Threads may share it."""

    def __init__(self, url, model, version, label, timeout, limit):
        try:
            import grpc

            load_tensorflow()
            from tensorflow_serving.apis import predict_pb2  # noqa: F401
        except ImportError:
            raise InputError("a gRPC client needs tensorflow-serving-api: pip install 'lm_keras[serving]'") from None
        parts = urlsplit(url)
        self._url, self._spec = redacted(url), (model, version, label)
        self._timeout, self._limit = timeout, limit
        options = list((OPTIONS | {"grpc.max_receive_message_length": limit}).items())
        if parts.scheme == "grpcs":
            self._channel = grpc.secure_channel(parts.netloc, grpc.ssl_channel_credentials(), options)
        else:
            self._channel = grpc.insecure_channel(parts.netloc, options)
        self._error = grpc.RpcError

    def status(self, until):
        from tensorflow_serving.apis import get_model_status_pb2 as messages

        request = messages.GetModelStatusRequest()
        found = self._call("ModelService/GetModelStatus", request, messages.GetModelStatusResponse(), until)
        states = messages.ModelVersionStatus.State
        try:
            return [
                VersionStatus(one.version, states.Name(one.state), one.status.error_message)
                for one in found.model_version_status
            ]
        except ValueError as error:
            raise self._strange(error) from None

    def signatures(self, until):
        from tensorflow_serving.apis import get_model_metadata_pb2 as messages

        request = messages.GetModelMetadataRequest(metadata_field=["signature_def"])
        answer = messages.GetModelMetadataResponse()
        answer = self._call("PredictionService/GetModelMetadata", request, answer, until)
        found = messages.SignatureDefMap()
        try:
            if "signature_def" not in answer.metadata or not answer.metadata["signature_def"].Unpack(found):
                raise ValueError("without the signatures")
            return {
                name: {
                    part: {key: _tensor(info) for key, info in getattr(each, part).items()}
                    for part in ("inputs", "outputs")
                }
                for name, each in found.signature_def.items()
                if not name.startswith("__")
            }
        except Exception as error:  # of protobuf there is no common class of errors in all versions
            raise self._strange(error) from None

    def predict(self, name, columns, signature, until):
        """`{output: nested list}`; text as str, except in outputs whose name ends in "_bytes" (as REST has it)."""
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        request.model_spec.signature_name = name
        for key, values in columns.items():
            dtype = tf.dtypes.as_dtype(signature["inputs"][key].dtype)
            try:
                request.inputs[key].CopyFrom(tf.make_tensor_proto(values, dtype))
            except ValueError:
                raise InputError(f"the lists in {key} have different lengths; a request is a full table") from None
        answer = self._call("PredictionService/Predict", request, predict_pb2.PredictResponse(), until).outputs
        try:
            values = {key: self._values(answer[key]) if key in signature["outputs"] else None for key in answer}
        except Exception as error:  # a type, a shape or a size that no tensor has: as many kinds of errors
            raise self._strange(error) from None
        return {key: each if key.endswith("_bytes") else _text(each) for key, each in values.items()}

    def close(self):
        self._channel.close()

    def _values(self, tensor):
        """A TensorProto as a nested list. A few bytes can claim a shape of any size: that is looked at before."""
        import tensorflow as tf

        shape, dtype = tensor.tensor_shape, tf.dtypes.as_dtype(tensor.dtype)
        sizes = [dim.size for dim in shape.dim]
        size = 8 if dtype == tf.string else dtype.size
        if shape.unknown_rank or min(sizes, default=0) < 0 or math.prod(sizes) * size > self._limit:
            raise ValueError(f"a tensor of shape {sizes}")
        return tf.make_ndarray(tensor).tolist()

    def _strange(self, error):
        return ServingError("UNKNOWN", f"{self._url}: not an answer of TF Serving's ({error})")

    def _call(self, method, request, answer, until):
        """`answer`, a message that is filled by what the server says to the request."""
        name, version, label = self._spec
        request.model_spec.name = name
        if version is not None:
            request.model_spec.version.value = version
        elif label:
            request.model_spec.version_label = label
        # Bytes are parsed here: gRPC would log a traceback of those that are no message.
        ask = self._channel.unary_unary(
            SERVICE + method, request_serializer=type(request).SerializeToString, response_deserializer=bytes
        )
        try:
            content = ask(request, timeout=max(until - time.monotonic(), 1e-3))
        except self._error as error:
            raise self._failure(error) from None
        except ValueError:  # gRPC says so of a closed channel
            raise InputError("the client is closed; make another one") from None
        try:
            answer.ParseFromString(content)
        except Exception as error:  # protobuf's DecodeError, of which there are several classes
            raise self._strange(error) from None
        return answer

    def _failure(self, error):
        code, told = error.code().name, error.details() or error.code().name
        if code == "DEADLINE_EXCEEDED":
            return ServingError(code, f"{self._url} did not answer in {self._timeout} s")
        if code == "UNAVAILABLE" and "failed to connect" in told:
            reason = "connection refused" if "refused" in told else told
            return ServingError(code, f"{self._url} cannot be reached: {reason}")
        if code == "RESOURCE_EXHAUSTED" and TOO_LARGE.search(told):
            more = f"; max_response_bytes is {self._limit:,}" if "Received message" in told else ""
            return ServingError(code, f"{self._url}: {told}{more}", again=False)
        return ServingError(code, f"{self._url}: {told}")


def _tensor(info):
    import tensorflow as tf

    shape = info.tensor_shape
    sizes = None if shape.unknown_rank else [None if dim.size < 0 else dim.size for dim in shape.dim]
    return Tensor(tf.dtypes.as_dtype(info.dtype).name, sizes)


def _text(value):
    if isinstance(value, list):
        return [_text(each) for each in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value

"""Runs requests on an export through TensorFlow's C interface, as a server would.

python c_loader.py LIBRARY EXPORT_DIR REQUESTS RESULTS

Of Python's packages it imports numpy only. REQUESTS is a pickled list of (inputs, outputs):
serialized TensorProtos by tensor name, and tensor names. RESULTS gets a list with an array per
output for each request, or the text of its error.
"""

import ctypes
import pickle
import sys

import numpy as np

DTYPES = {1: np.float32, 3: np.int32, 4: np.uint8}
Pointer = ctypes.c_void_p


class Buffer(ctypes.Structure):
    """TF_Buffer."""

    _fields_ = [("data", Pointer), ("length", ctypes.c_size_t), ("deallocator", Pointer)]


class Output(ctypes.Structure):
    """TF_Output."""

    _fields_ = [("operation", Pointer), ("index", ctypes.c_int)]


def main(library, export_dir, requests_file, results_file):
    tf = ctypes.CDLL(library)
    for name in ("NewStatus", "NewGraph", "NewSessionOptions", "LoadSessionFromSavedModel"):
        getattr(tf, f"TF_{name}").restype = Pointer
    for name in ("GraphOperationByName", "AllocateTensor", "TensorData"):
        getattr(tf, f"TF_{name}").restype = Pointer
    tf.TF_Message.restype = ctypes.c_char_p
    tf.TF_Dim.restype = ctypes.c_int64
    tf.TF_TensorByteSize.restype = ctypes.c_size_t
    status, graph = Pointer(tf.TF_NewStatus()), Pointer(tf.TF_NewGraph())

    def check():
        if tf.TF_GetCode(status):
            raise RuntimeError(tf.TF_Message(status).decode(errors="replace"))

    session = Pointer(
        tf.TF_LoadSessionFromSavedModel(
            Pointer(tf.TF_NewSessionOptions()),
            None,
            export_dir.encode(),
            (ctypes.c_char_p * 1)(b"serve"),
            1,
            graph,
            None,
            status,
        )
    )
    check()

    def output(name):
        operation, _, index = name.partition(":")
        found = tf.TF_GraphOperationByName(graph, operation.encode())
        assert found, name
        return Output(found, int(index or 0))

    def to_tensor(proto):
        data = ctypes.create_string_buffer(proto, len(proto))
        buffer = Buffer(ctypes.cast(data, Pointer), len(proto), None)
        tensor = Pointer(tf.TF_AllocateTensor(3, (ctypes.c_int64 * 1)(0), 1, ctypes.c_size_t(0)))
        tf.TF_TensorFromProto(ctypes.byref(buffer), tensor, status)
        check()
        return tensor

    def to_array(tensor):
        shape = [tf.TF_Dim(tensor, axis) for axis in range(tf.TF_NumDims(tensor))]
        data = ctypes.string_at(tf.TF_TensorData(tensor), tf.TF_TensorByteSize(tensor))
        return np.frombuffer(data, DTYPES[tf.TF_TensorType(tensor)]).reshape(shape)

    def run(inputs, names):
        feeds = (Output * len(inputs))(*map(output, inputs))
        values = (Pointer * len(inputs))(*map(to_tensor, inputs.values()))
        fetches = (Output * len(names))(*map(output, names))
        results = (Pointer * len(names))()
        tf.TF_SessionRun(
            session,
            None,
            *(feeds, values, len(inputs)),
            *(fetches, results, len(names)),
            *(None, 0, None, status),
        )
        check()
        return [to_array(Pointer(result)) for result in results]

    with open(requests_file, "rb") as file:
        requests = pickle.load(file)
    results = []
    for inputs, names in requests:
        try:
            results.append(run(inputs, names))
        except RuntimeError as error:
            results.append(str(error))
    assert not {"tensorflow", "keras", "adl_tf"} & set(sys.modules)
    with open(results_file, "wb") as file:
        pickle.dump(results, file)


if __name__ == "__main__":
    main(*sys.argv[1:])

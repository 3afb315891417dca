"""The activations that the kernels have, by name."""

# The number of each activation in csrc/micro/micro.h.
ACTIVATIONS = {
    None: 0,
    "linear": 0,
    "gelu": 1,
    "gelu_python": 1,
    "gelu_10": 2,
    "gelu_accurate": 3,
    "gelu_fast": 3,
    "gelu_new": 3,
    "gelu_pytorch_tanh": 3,
    "laplace": 4,
    "leaky_relu": 5,
    "mish": 6,
    "quick_gelu": 7,
    "relu": 8,
    "relu2": 9,
    "relu6": 10,
    "sigmoid": 11,
    "silu": 12,
    "swish": 12,
    "tanh": 13,
}

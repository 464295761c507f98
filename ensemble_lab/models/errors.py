"""What can go wrong between asking for a model and having its reply."""


class ModelError(RuntimeError):
    """A model could not be loaded or did not reply; the message says why and what fixes it."""


class PickledWeights(ModelError):
    """The only weights are pickles, which can run code when they are opened."""


class HubUnreachable(ModelError):
    """The Hugging Face Hub does not answer, and its cache does not hold the model."""


class NotEnoughMemory(ModelError):
    """The weights are larger than the memory that is free."""


class EndpointError(ModelError):
    """An endpoint gave no usable reply."""


class EndpointUnreachable(EndpointError):
    """Nothing answers at the endpoint's address, or the connection broke."""


class EndpointStatus(EndpointError):
    """The endpoint answered with an HTTP error."""


class EndpointTimeout(EndpointError):
    """The endpoint took the request and did not finish its answer in time."""


class EndpointNonsense(EndpointError):
    """The endpoint answered with something other than a chat completion."""

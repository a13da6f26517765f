"""The operators of a simulated CANN, as Python functions over views of device memory."""

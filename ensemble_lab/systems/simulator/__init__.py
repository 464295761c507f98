"""The simulator of queues, and the closed forms that it must agree with."""

"""Rules for one model on several machines: where to cut, when to send, who takes which layers."""

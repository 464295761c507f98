"""An OpenAI-compatible gateway: votes, cascades and routers behind one address."""
